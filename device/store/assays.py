"""The assays: every version stays, the newest is used."""

import math

import msgspec

from device.counting.assay import Assay, Objective
from device.counting.records import DECODE_ERRORS
from device.counting.settings import require_sane
from device.errors import DamagedError, InputError, NotFoundError
from device.machine import clock
from device.store.protocols import Connection, Database, Row


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
        row = _row(self._database.connection(), name, version)
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
        return newest_assays(self._database.connection())

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

        What changes nothing makes no new version. An objective of the list brings its pixel size.

        Raises:
            InputError: the assay gives its objective another pixel size than the list does, or has an odd number.
        """
        require_sane(assay)
        with self._database.transaction() as connection:
            return add_version(connection, _with_listed_size(connection, assay), who)

    def restore(self, name: str, version: int, who: str) -> Assay:
        """Make an earlier version the newest again; the pixel size of an objective of the list is that of today.

        Raises:
            NotFoundError: there is none.
        """
        assay = self.get(name, version)
        with self._database.transaction() as connection:
            if listed_objective(connection, assay.objective) is not None:
                assay = msgspec.structs.replace(assay, pixel_size_um=None)
            return add_version(connection, _with_listed_size(connection, assay), who)

    def follow_settings(self, present: Assay) -> Assay:
        """Bring the default up to date with the settings file; what was changed elsewhere stays.

        Args:
            present: what the settings file says now.
        """
        row = _row(self._database.connection(), present.name)
        if row is None:
            return self._follow(present, present)
        seed = self._seed(present.name)
        then = msgspec.structs.asdict(seed) if seed is not None else {}
        now = msgspec.structs.asdict(present)
        changed = {name: value for name, value in now.items() if then.get(name) != value}
        if not changed:
            return _to_assay(row)
        merged = msgspec.structs.replace(_to_assay(row), **changed)
        return self._follow(merged, present)

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

    def _follow(self, assay: Assay, seed: Assay) -> Assay:
        with self._database.transaction() as connection:
            return add_version(connection, assay, "settings", seed)


def newest_assays(connection: Connection) -> list[Assay]:
    """The newest version of every assay, by name."""
    found = connection.execute(
        "SELECT * FROM assays AS one WHERE version = "
        "(SELECT MAX(version) FROM assays WHERE name = one.name) ORDER BY name"
    )
    return [_to_assay(row) for row in found]


def add_version(connection: Connection, assay: Assay, who: str, seed: Assay | None = None) -> Assay:
    """Keep an assay as the newest version of its name, within a transaction; returns it with its number.

    Args:
        connection: of the transaction.
        assay: what it is now.
        who: changed it.
        seed: what the settings file said, where it is made of that; else what changes nothing makes no new version.
    """
    row = _row(connection, assay.name)
    newest = 0 if row is None else row["version"]
    numbered = msgspec.structs.replace(assay, version=newest)
    if row is not None and seed is None and numbered == _to_assay(row):
        return numbered
    numbered = msgspec.structs.replace(assay, version=newest + 1)
    held = None if seed is None else _encode(seed)
    connection.execute(
        "INSERT INTO assays (name, version, content, who, created_s, seed) VALUES (?, ?, ?, ?, ?, ?)",
        (assay.name, numbered.version, _encode(numbered), who, clock.now_s(), held),
    )
    return numbered


def listed_objective(connection: Connection, name: str) -> Objective | None:
    """The objective of that name in the list, whatever its capitals."""
    row = connection.execute("SELECT * FROM objectives WHERE name = ?", (name,)).fetchone()
    return row and Objective(name=row["name"], pixel_size_um=row["pixel_size_um"])


def _with_listed_size(connection: Connection, assay: Assay) -> Assay:
    listed = listed_objective(connection, assay.objective)
    if listed is None:
        return assay
    own_um, size_um = assay.pixel_size_um, listed.pixel_size_um
    if own_um is not None and not math.isclose(own_um, size_um, rel_tol=1e-3):
        raise InputError(
            f"The assay {assay.name} gives the objective {listed.name} {own_um:.3g} µm per pixel, but the list of "
            f"objectives says {size_um:.3g}: leave the pixel size of the assay empty, name another objective in it, or "
            "measure the objective again."
        )
    return msgspec.structs.replace(assay, objective=listed.name, pixel_size_um=size_um)


def _row(connection: Connection, name: str, version: int | None = None) -> Row | None:
    found: Row | None = connection.execute(
        "SELECT * FROM assays WHERE name = ? AND (? IS NULL OR version = ?) "
        "ORDER BY version DESC LIMIT 1",
        (name, version, version),
    ).fetchone()
    return found


def _encode(assay: Assay) -> str:
    return msgspec.json.encode(assay).decode()


def _to_assay(row: Row) -> Assay:
    return _decode(row["content"], row["name"])


def _decode(text: str, name: str) -> Assay:
    try:
        return msgspec.json.decode(text, type=Assay)
    except DECODE_ERRORS as error:
        raise DamagedError(
            f"The stored assay {name} is damaged ({error}); restore a backup, or import it again from a file."
        ) from None
