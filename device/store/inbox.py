"""Finished counts that other instruments send: each is here once, however often and in which order it comes."""

import secrets
import threading
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

import msgspec

from device.config import StorageSettings
from device.counting.records import CountResult
from device.errors import UnavailableError
from device.machine import clock
from device.store import rows
from device.store.corrections import write_log
from device.store.disk import require_space
from device.store.forwarded import (
    ORIGINAL,
    ForwardedCount,
    Hello,
    Instrument,
    Receipt,
    check_count,
    check_files,
    check_sender,
)
from device.store.outcome import result_columns, to_json
from device.store.protocols import Connection, Database
from device.store.regions import check_regions
from device.store.results import ResultFolders, remove_unaccepted


class Heard(msgspec.Struct, frozen=True, kw_only=True):
    """An instrument as the Status page shows it.

    Attributes:
        name, version, waiting, problems: as it said last.
        counts: how many of its counts are here.
        silent_s: seconds since it spoke last.
    """

    name: str
    version: str
    waiting: int
    problems: tuple[str, ...]
    counts: int
    silent_s: float


class Inbox:
    """Receives. Safe to use from any thread."""

    def __init__(
        self, database: Database, folders: ResultFolders, settings: StorageSettings
    ) -> None:
        self._database = database
        self._folders = folders
        self._settings = settings
        self._one_at_a_time = threading.Lock()

    def require_room(self, needed_bytes: int = 0) -> None:
        """Raise if a count with files of that size would not be received now.

        Raises:
            StorageError: why not.
        """
        self._database.require_sound()
        require_space(self._folders.root, self._settings, needed_bytes)

    def hear(self, sender: Instrument) -> Hello:
        """An instrument says that it is there.

        Raises:
            InputError: it has no usable id or name.
        """
        check_sender(sender)
        now_s = clock.now_s()
        with self._database.transaction() as connection:
            connection.execute(
                "INSERT INTO instruments VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id, name) DO UPDATE SET "
                "version = excluded.version, waiting = excluded.waiting, problems = excluded.problems, "
                "heard_s = excluded.heard_s",
                (
                    sender.id,
                    sender.name,
                    sender.version,
                    sender.waiting,
                    to_json(sender.problems),
                    now_s,
                    now_s,
                ),
            )
            found = connection.execute(
                "SELECT COALESCE(MAX(stamp), 0) FROM received WHERE instrument = ?", (sender.id,)
            )
            return Hello(instrument=sender.id, stamp=found.fetchone()[0])

    def instruments(self) -> list[Heard]:
        """Everybody who ever spoke, by name."""
        now_s = clock.now_s()
        found = self._database.connection().execute(
            "SELECT *, (SELECT COUNT(*) FROM counts WHERE counts.instrument = instruments.name) AS counts "
            "FROM instruments ORDER BY name, id"
        )
        return [
            Heard(
                name=row["name"],
                version=row["version"],
                waiting=row["waiting"],
                problems=tuple(msgspec.json.decode(row["problems"])),
                counts=row["counts"],
                silent_s=round(max(0.0, now_s - row["heard_s"]), 1),
            )
            for row in found
        ]

    def receive(
        self, sender: Instrument, count: ForwardedCount, files: Mapping[str, bytes]
    ) -> Receipt:
        """Keep a count, or what changed about it; when this returns, it is on the disk.

        Args:
            sender: the instrument.
            count: what it says.
            files: all that `count.files` names, or none.

        Raises:
            InputError: a file is not the one that was named, or the count contradicts its files.
            StorageError, UnavailableError: it cannot be kept now.
        """
        check_sender(sender)
        check_count(count)
        with self._one_at_a_time:
            known = self._find_known(sender, count)
            if known is not None and self._is_settled(known, count):
                with self._database.transaction() as connection:
                    _note(connection, sender, count, known)
                return _receipt(count, "known")
            if files:
                self._keep_files(sender, count, known, files)
            elif known is not None and known.revision == count.revision:
                self._check_regions(count, known.count_id)
                self._write(sender, count, known, _Kept(known.count_id, None))
            else:
                return _receipt(count, "send files")
        return _receipt(count, "kept")

    def _find_known(self, sender: Instrument, count: ForwardedCount) -> "_Known | None":
        found = self._database.connection().execute(
            "SELECT count_id, stamp, revision FROM received WHERE instrument = ? AND remote_id = ?",
            (sender.id, count.id),
        )
        row = found.fetchone()
        return None if row is None else _Known(*row)

    def _is_settled(self, known: "_Known", count: ForwardedCount) -> bool:
        """True where something newer came before, or the count was deleted here."""
        held = self._database.connection().execute(
            "SELECT 1 FROM counts WHERE id = ?", (known.count_id,)
        )
        return known.stamp >= count.stamp or held.fetchone() is None

    def _check_regions(self, count: ForwardedCount, count_id: str) -> None:
        """Without files the size of the image is what came with them before."""
        held = rows.get(self._database, count_id)
        check_regions(count.image, count.regions, held.width or 0, held.height or 0)

    def _keep_files(
        self,
        sender: Instrument,
        count: ForwardedCount,
        known: "_Known | None",
        files: Mapping[str, bytes],
    ) -> None:
        result = check_files(count, files)
        self.require_room(sum(map(len, files.values())))
        count_id = secrets.token_hex(8) if known is None else known.count_id
        products = {name: data for name, data in files.items() if name != ORIGINAL}
        try:
            self._folders.receive_original(count_id, count.suffix, files.get(ORIGINAL))
            # A revision of its own for every message: what a crash leaves of one is never taken for another.
            self._folders.keep_products(count_id, count.stamp, products)
            self._write(sender, count, known, _Kept(count_id, result))
        except BaseException:
            if known is None:
                remove_unaccepted(self._database, self._folders, count_id)
            raise
        self._folders.drop_revisions(count_id, below=count.stamp)

    def _write(
        self,
        sender: Instrument,
        count: ForwardedCount,
        known: "_Known | None",
        kept: "_Kept",
    ) -> None:
        with self._database.transaction() as connection:
            if self._find_known(sender, count) != known:
                raise UnavailableError("This count came twice at the same moment; send it again.")
            _write_row(connection, sender, count, kept)
            write_log(connection, kept.count_id, count.corrections)
            _note(connection, sender, count, _Known(kept.count_id, count.stamp, count.revision))
            _join_versions(connection, sender, count, kept.count_id)


class _Known(NamedTuple):
    """What came about a count before; the revision is that of the instrument."""

    count_id: str
    stamp: int
    revision: int


class _Kept(NamedTuple):
    """Where a count is here; `result` is None if only what people said of it changed."""

    count_id: str
    result: CountResult | None


def _receipt(count: ForwardedCount, status: Literal["kept", "known", "send files"]) -> Receipt:
    return Receipt(id=count.id, stamp=count.stamp, status=status)


def _note(connection: Connection, sender: Instrument, count: ForwardedCount, known: _Known) -> None:
    """Also of what is not kept: the largest stamp tells the instrument that nothing was lost here."""
    connection.execute(
        "INSERT INTO received VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (instrument, remote_id) DO UPDATE SET "
        "stamp = CASE WHEN excluded.stamp > received.stamp THEN excluded.stamp ELSE received.stamp END, "
        "revision = excluded.revision",
        (sender.id, count.id, known.count_id, count.stamp, known.revision, count.version_of),
    )


def _join_versions(
    connection: Connection, sender: Instrument, count: ForwardedCount, count_id: str
) -> None:
    """Counts of one image find each other whichever came first, and whichever was deleted here."""
    of = """
        SELECT COALESCE(counts.version_of, counts.id) FROM received JOIN counts ON counts.id = count_id
        WHERE received.instrument = ? AND ? IN (remote_id, received.version_of) AND counts.id != ?
        ORDER BY remote_id = ? DESC, sequence LIMIT 1"""
    if count.version_of is not None:
        asked = (sender.id, count.version_of, count_id, count.version_of)
        first = connection.execute(of, asked).fetchone()
        if first is not None and first[0] != count_id:
            connection.execute(
                "UPDATE counts SET version_of = ? WHERE id = ?", (first[0], count_id)
            )
    own = connection.execute(
        "SELECT COALESCE(version_of, id) FROM counts WHERE id = ?", (count_id,)
    ).fetchone()[0]
    connection.execute(
        "UPDATE counts SET version_of = ? WHERE id != ? AND id IN "
        "(SELECT count_id FROM received WHERE instrument = ? AND version_of = ?)",
        (own, own, sender.id, count.id),
    )


_SAID = (
    "origin", "image", "image_sha256", "image_bytes", "suffix", "model", "settings", "capture", "sample", "notes",
    "created_s", "boot_id", "boot_s", "clock_correction_s", "started_s", "finished_s", "conditions", "relabels",
    "needs", "reviewed_by", "reviewed_s", "regions",
)  # fmt: skip


def _write_row(
    connection: Connection, sender: Instrument, count: ForwardedCount, kept: _Kept
) -> None:
    values: dict[str, Any] = {name: getattr(count, name) for name in _SAID}
    rows.encode_json(values)
    values |= {"id": kept.count_id, "status": "done", "progress": 1, "instrument": sender.name}
    if kept.result is not None:
        values |= result_columns(count.stamp, kept.result)
        values |= {name: getattr(count, name) for name in ("reviewed_by", "reviewed_s")}
    names = ", ".join(values)
    marks = ", ".join(f":{name}" for name in values)
    changes = ", ".join(f"{name} = excluded.{name}" for name in values if name != "id")
    connection.execute(
        f"INSERT INTO counts ({names}) VALUES ({marks}) ON CONFLICT (id) DO UPDATE SET {changes}",
        values,
    )
