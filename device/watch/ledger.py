"""Records the files read from a watched folder and their outcomes, in the database of the store."""

from pathlib import Path, PurePath
from typing import Literal

import msgspec

from device.machine.files import display_name
from device.store.protocols import Database
from device.watch.settling import Version

State = Literal["taken", "counted", "failed", "duplicate"]

_SAME = "out_dir = :out_dir AND path = :path AND size = :size AND mtime_ns = :mtime_ns"


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One version of one file.

    Attributes:
        path: relative to the watched folder, as text for people and tables.
        size, mtime_ns: the version.
        sha256: of its bytes.
        once_key: key under which the store accepts it only once.
        count_id: its count in the store, None until accepted.
        state: taken (no line yet), counted (line in counts.csv), failed (line in errors.csv),
            duplicate (line in duplicates.csv).
    """

    path: str
    size: int
    mtime_ns: int
    sha256: str
    once_key: str
    count_id: str | None
    state: State


class Ledger:
    """The entries of one output folder.

    Args:
        database: the store's.
        out_dir: names the ledger; absolute.
    """

    def __init__(self, database: Database, out_dir: Path) -> None:
        self._database = database
        self._out_dir = display_name(out_dir)

    def knows(self, path: PurePath, version: Version) -> bool:
        """True if this version was read and reached the store."""
        found = self._database.connection().execute(
            "SELECT 1 FROM watched WHERE out_dir = ? AND path = ? AND size = ? AND mtime_ns = ? "
            "AND NOT (state = 'taken' AND count_id IS NULL)",
            (self._out_dir, display_name(path), version.size, version.mtime_ns),
        )
        return found.fetchone() is not None

    def first_with(self, sha256: str) -> Entry | None:
        """The entry of this content that is not a duplicate."""
        entries = self._select(
            "sha256 = ? AND state IN ('taken', 'counted') AND count_id IS NOT NULL", sha256
        )
        return entries[0] if entries else None

    def of_path(self, path: str) -> list[Entry]:
        """Every version of one file."""
        return self._select("path = ?", path)

    def in_state(self, state: State) -> list[Entry]:
        """All entries of a state."""
        return self._select("state = ?", state)

    def put(self, entry: Entry) -> None:
        """Add an entry or replace the one of the same version."""
        values = {"out_dir": self._out_dir, **msgspec.structs.asdict(entry)}
        marks = ", ".join(f":{name}" for name in values)
        with self._database.transaction() as connection:
            connection.execute(f"DELETE FROM watched WHERE {_SAME}", values)
            connection.execute(
                f"INSERT INTO watched ({', '.join(values)}) VALUES ({marks})", values
            )

    def drop(self, entry: Entry) -> None:
        """Delete one entry, so that the file counts as new."""
        with self._database.transaction() as connection:
            values = {"out_dir": self._out_dir, **msgspec.structs.asdict(entry)}
            connection.execute(f"DELETE FROM watched WHERE {_SAME}", values)

    def release(self, sha256: str) -> int:
        """Files that were skipped for another of this content count as new; returns how many."""
        with self._database.transaction() as connection:
            return connection.execute(
                "DELETE FROM watched WHERE out_dir = ? AND sha256 = ? AND state = 'duplicate'",
                (self._out_dir, sha256),
            ).rowcount

    def forget(self, *states: State) -> None:
        """Delete all entries in these states, so that their files count as new."""
        with self._database.transaction() as connection:
            for state in states:
                connection.execute(
                    "DELETE FROM watched WHERE out_dir = ? AND state = ?", (self._out_dir, state)
                )

    def _select(self, condition: str, value: str) -> list[Entry]:
        found = self._database.connection().execute(
            "SELECT path, size, mtime_ns, sha256, once_key, count_id, state FROM watched "
            f"WHERE out_dir = ? AND {condition} ORDER BY rowid",
            (self._out_dir, value),
        )
        return [msgspec.convert(dict(row), type=Entry) for row in found]
