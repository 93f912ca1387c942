"""The assays: every version stays, the newest is used."""

import sqlite3

import msgspec

from device.counting.assay import Assay
from device.counting.records import DECODE_ERRORS
from device.errors import DamagedError, NotFoundError
from device.machine import clock
from device.store.database import Database


class AssayVersion(msgspec.Struct, frozen=True, kw_only=True):
    """Who made a version of an assay, and when (seconds since 1970, UTC)."""

    version: int
    who: str
    created_s: float
    taught_frames: int


class Assays:
    """The table of assays. Safe to use from any thread and process."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def find(self, name: str, version: int | None = None) -> Assay | None:
        """The newest version of that name, or the given one; None where there is none.

        Raises:
            DamagedError: what is stored is no assay.
        """
        row = self._row(self._database.connection(), name, version)
        return None if row is None else _to_assay(row)

    def get(self, name: str, version: int | None = None) -> Assay:
        """As `find`.

        Raises:
            NotFoundError: there is none.
            DamagedError: what is stored is no assay.
        """
        found = self.find(name, version)
        if found is None:
            known = ", ".join(assay.name for assay in self.newest()) or "none"
            which = f"the assay {name!r}" if version is None else f"a version {version} of {name!r}"
            raise NotFoundError(f"There is no such thing as {which}; the assays are: {known}.")
        return found

    def newest(self) -> list[Assay]:
        """The newest version of every assay, by name."""
        found = self._database.connection().execute(
            "SELECT * FROM assays AS one WHERE version = "
            "(SELECT MAX(version) FROM assays WHERE name = one.name) ORDER BY name"
        )
        return [_to_assay(row) for row in found]

    def versions(self, name: str) -> list[AssayVersion]:
        """The versions of an assay, newest first; empty where there is none of that name."""
        found = self._database.connection().execute(
            "SELECT * FROM assays WHERE name = ? ORDER BY version DESC", (name,)
        )
        return [
            AssayVersion(
                version=row["version"],
                who=row["who"],
                created_s=row["created_s"],
                taught_frames=assay.taught.frames if (assay := _to_assay(row)).taught else 0,
            )
            for row in found
        ]

    def save(self, assay: Assay, who: str) -> Assay:
        """Keep it as the newest version of its name; returns it with its number.

        What changes nothing makes no new version.
        """
        return self._save(assay, who, None)

    def follow_settings(self, present: Assay) -> Assay:
        """Bring the default up to date with the settings file; what was changed elsewhere stays.

        Args:
            present: what the settings file says now.
        """
        row = self._row(self._database.connection(), present.name)
        if row is None:
            return self._save(present, "settings", present)
        seed = self._seed(present.name)
        then = msgspec.structs.asdict(seed) if seed is not None else {}
        now = msgspec.structs.asdict(present)
        changed = {name: value for name, value in now.items() if then.get(name) != value}
        if not changed:
            return _to_assay(row)
        merged = msgspec.structs.replace(_to_assay(row), **changed)
        return self._save(merged, "settings", present)

    def _seed(self, name: str) -> Assay | None:
        """What the settings file said when the default was last made of it."""
        row = (
            self._database.connection()
            .execute(
                "SELECT seed AS content FROM assays WHERE name = ? AND seed IS NOT NULL ORDER BY version DESC LIMIT 1",
                (name,),
            )
            .fetchone()
        )
        return None if row is None else _decode(row["content"], name)

    def _save(self, assay: Assay, who: str, seed: Assay | None) -> Assay:
        with self._database.transaction() as connection:
            row = self._row(connection, assay.name)
            newest = 0 if row is None else row["version"]
            numbered = msgspec.structs.replace(assay, version=newest)
            if row is not None and seed is None and numbered == _to_assay(row):
                return numbered
            numbered = msgspec.structs.replace(assay, version=newest + 1)
            connection.execute(
                "INSERT INTO assays (name, version, content, who, created_s, seed) "
                "VALUES (?, ?, ?, ?, ?, ?)",
                (
                    assay.name,
                    numbered.version,
                    _encode(numbered),
                    who,
                    clock.now_s(),
                    None if seed is None else _encode(seed),
                ),
            )
        return numbered

    @staticmethod
    def _row(
        connection: sqlite3.Connection, name: str, version: int | None = None
    ) -> sqlite3.Row | None:
        found: sqlite3.Row | None = connection.execute(
            "SELECT * FROM assays WHERE name = ? AND (? IS NULL OR version = ?) "
            "ORDER BY version DESC LIMIT 1",
            (name, version, version),
        ).fetchone()
        return found


def _encode(assay: Assay) -> str:
    return msgspec.json.encode(assay).decode()


def _to_assay(row: sqlite3.Row) -> Assay:
    return _decode(row["content"], row["name"])


def _decode(text: str, name: str) -> Assay:
    try:
        return msgspec.json.decode(text, type=Assay)
    except DECODE_ERRORS as error:
        raise DamagedError(
            f"The stored assay {name} is damaged ({error}); restore a backup, or import it again from a file."
        ) from None
