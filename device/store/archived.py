"""Reading a backup that cannot be trusted: every name, size and id is checked before anything is written.

with open_archive(path) as archive:         names, kinds and sizes hold
    archive.extract(DATABASE_MEMBER, target)
    check_database(target, ...)             nothing in it names a path or runs by itself
"""

import os
import re
import shutil
import sqlite3
import tarfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path, PurePosixPath
from typing import BinaryIO

import msgspec

from device.counting.records import DECODE_ERRORS
from device.errors import InputError
from device.models.card import NAME_PATTERN
from device.store import rows
from device.store.backup import (
    CAMERA_NAME,
    DATABASE_MEMBER,
    FORMAT,
    MANIFEST_NAME,
    MODELS_MEMBER,
    RESULTS_MEMBER,
    SETTINGS_MEMBER,
    Manifest,
)
from device.store.database import migrations
from device.store.results import SUFFIXES, is_count_id

_MEMBER = re.compile(
    rf"{re.escape(SETTINGS_MEMBER)}|{re.escape(DATABASE_MEMBER)}|{re.escape(MANIFEST_NAME)}"
    rf"|data/{re.escape(CAMERA_NAME)}"
    rf"|{MODELS_MEMBER}/{NAME_PATTERN}\.(tflite|json)"
    rf"|{RESULTS_MEMBER}/[0-9a-f]{{16}}/([0-9]{{1,9}}/)?[a-z]+(\.[a-z]+)?"
)
_SMALL = (SETTINGS_MEMBER, MANIFEST_NAME, f"data/{CAMERA_NAME}")
_SMALL_BYTES = 1_000_000
_MOST_MEMBERS = 2_000_000
"""Some 200,000 counts; far above that the list of names alone would fill the memory of a Pi."""


class Archive:
    """A backup whose names, kinds and sizes were checked.

    Attributes:
        manifest: what it says about itself.
        names: of its members; where one came twice, the later one counts.
    """

    def __init__(self, stream: BinaryIO, path: Path) -> None:
        self._stream = stream
        self._path = path
        self._places = _check_places(stream, path)
        self.manifest = self._read_manifest()
        if DATABASE_MEMBER not in self._places:
            raise InputError(
                f"{path} is not a complete backup: it contains no database; use another backup."
            )

    @property
    def names(self) -> set[str]:
        """Of all members."""
        return set(self._places)

    def size(self, names: set[str]) -> int:
        """Bytes of these members together."""
        return sum(self._places[name][1] for name in names)

    def extract(self, name: str, target: Path) -> None:
        """Write one member; it is on the disk when this returns."""
        offset, left = self._places[name]
        target.parent.mkdir(parents=True, exist_ok=True)
        self._stream.seek(offset)
        with target.open("wb") as copy:
            while left > 0:
                block = self._stream.read(min(left, 1 << 20))
                if not block:
                    raise InputError(f"{self._path} changed while it was read; try again.")
                copy.write(block)
                left -= len(block)
            copy.flush()
            os.fsync(copy.fileno())

    def _read_manifest(self) -> Manifest:
        if MANIFEST_NAME not in self._places:
            raise InputError(
                f"{self._path} is not a complete backup: its end is missing; use another backup."
            )
        offset, size = self._places[MANIFEST_NAME]
        self._stream.seek(offset)
        try:
            manifest = msgspec.json.decode(self._stream.read(size), type=Manifest)
        except DECODE_ERRORS as error:
            raise InputError(
                f"{self._path} is not a complete backup of fluocount ({error}); use another backup."
            ) from None
        if manifest.format != FORMAT:
            raise InputError(
                f"{self._path} was written by the newer fluocount {manifest.version}; upgrade fluocount first."
            )
        return manifest


@contextmanager
def open_archive(path: Path) -> Iterator[Archive]:
    """Open and check a backup; nothing is written.

    Raises:
        InputError: not a whole backup, or it holds what no backup holds.
        OSError: it cannot be read.
    """
    if not path.is_file():
        raise InputError(f"There is no file {path}; check the name.")
    with path.open("rb") as stream:
        yield Archive(stream, path)


def require_room(folder: Path, needed_bytes: int) -> None:
    """Refuse what the disk cannot hold beside a tenth that stays free.

    Raises:
        InputError: with the figures.
    """
    usage = shutil.disk_usage(folder)
    if needed_bytes > usage.free * 0.9:
        raise InputError(
            f"The backup needs {needed_bytes / 1e6:.0f} MB and the disk of {folder} has {usage.free / 1e6:.0f} MB "
            "free; make room first."
        )


def check_database(database: Path, manifest: Manifest) -> set[str]:
    """Check a database from an archive; returns the ids of its counts.

    Raises:
        InputError: damaged, newer than this software, or with contents that fluocount never writes.
    """
    try:
        uri = f"{database.absolute().as_uri()}?mode=ro"
        with closing(sqlite3.connect(uri, uri=True)) as connection:
            connection.row_factory = sqlite3.Row
            connection.execute("PRAGMA trusted_schema = OFF")
            version = _check_schema(connection)
            ids = _check_rows(connection, version)
    except (sqlite3.Error, msgspec.MsgspecError, *DECODE_ERRORS) as error:
        raise InputError(f"The backup's database is damaged ({error}); use another one.") from None
    if len(ids) != manifest.counts:
        raise InputError(
            f"The backup should have {manifest.counts} counts, but its database has {len(ids)}; use another backup."
        )
    return ids


def _check_places(stream: BinaryIO, path: Path) -> dict[str, tuple[int, int]]:
    """(offset, size) of every member's bytes in the archive."""
    whole = os.fstat(stream.fileno()).st_size
    places: dict[str, tuple[int, int]] = {}
    try:
        with tarfile.open(fileobj=stream, mode="r:") as members:
            while (member := members.next()) is not None:
                members.members.clear()  # type: ignore[attr-defined]  # else all stay in memory
                _check_member(member, whole, path)
                places[member.name] = (member.offset_data, member.size)
                if len(places) > _MOST_MEMBERS:
                    raise InputError(
                        f"{path} is not a backup of fluocount: it contains too many files."
                    )
    except (tarfile.TarError, EOFError, ValueError, OverflowError) as error:
        raise InputError(
            f"{path} is not a complete backup of fluocount ({error}); use another backup."
        ) from None
    return places


def _check_member(member: tarfile.TarInfo, whole: int, path: Path) -> None:
    """Only plain files of the known names, whose bytes really lie in the archive: no links, no sparse files."""
    if not member.isreg() or member.issparse() or not _MEMBER.fullmatch(member.name):
        raise InputError(f"{path} is not a backup of fluocount: it contains {member.name[:200]!r}.")
    if member.size < 0 or member.offset_data + member.size > whole:
        raise InputError(
            f"{path} is not a complete backup: {member.name} is cut short; use another backup."
        )
    if member.name in _SMALL and member.size > _SMALL_BYTES:
        raise InputError(f"{path} is not a backup of fluocount: {member.name} is too large.")


def _check_schema(connection: sqlite3.Connection) -> int:
    """Exactly the tables that fluocount makes: a trigger or a view would run whatever its author liked."""
    damage = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
    if damage != "ok":
        raise sqlite3.DatabaseError(damage)
    version = int(connection.execute("PRAGMA user_version").fetchone()[0])
    steps = migrations()
    if version > steps[-1][0]:
        raise InputError(
            f"The backup comes from a newer fluocount (schema {version}, this one knows {steps[-1][0]}); upgrade first."
        )
    with closing(sqlite3.connect(":memory:")) as fresh:
        for number, sql in steps:
            if number <= version:
                fresh.executescript(sql)
        expected = _schema(fresh)
    if version < 1 or _schema(connection) != expected:
        raise InputError("The backup's database is not one of fluocount; use another one.")
    return version


def _schema(connection: sqlite3.Connection) -> set[tuple[str, str, str]]:
    found = connection.execute("SELECT type, name, sql FROM sqlite_master")
    return {
        (kind, name, " ".join((sql or "").split()))
        for kind, name, sql in found
        if not name.startswith("sqlite_stat")
    }


def _check_rows(connection: sqlite3.Connection, version: int) -> set[str]:
    """Whatever becomes a path or a record must be what fluocount writes there."""
    ids = set()
    newest = version == migrations()[-1][0]
    for row in connection.execute("SELECT * FROM counts"):
        known = isinstance(row["id"], str) and is_count_id(row["id"])
        known &= isinstance(row["revision"], int) and row["suffix"] in (*SUFFIXES, "")
        if not known:
            raise InputError(
                "The backup's database names files that fluocount never writes; use another one."
            )
        if newest:
            rows.to_row(row)
        ids.add(row["id"])
    if version > 1:  # watched folders came with the second schema
        for (path,) in connection.execute("SELECT path FROM watched"):
            parts = PurePosixPath(path)
            if parts.is_absolute() or ".." in parts.parts:
                raise InputError(
                    "The backup's database names files that fluocount never writes; use another one."
                )
    return ids
