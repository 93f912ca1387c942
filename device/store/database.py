"""The SQLite file: connections, transactions and migrations.

Migrations are plain numbered SQL files. Each runs in one transaction together with the change of
`PRAGMA user_version`, so that after a kill or power cut the schema is either old or new, without a lock.
"""

import logging
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from device.errors import StorageError, UnavailableError
from device.store.connection import (
    DAMAGED,
    PRIMARY_CODE,
    StoreConnection,
    damage_sentence,
    translate,
)
from device.store.inplace import InPlace, copy_whole
from device.store.order import teach_natural_key

MIGRATIONS_DIR = Path(__file__).parent / "migrations"
BUSY_TIMEOUT_S = 30.0
_CHECKPOINT_S = 3.0
"""A checkpoint copies some 1000 pages (4 MB): longer than that it is half-way only on a slow or busy disk."""
_CHECKPOINTS = 3
"""Another thread may begin a checkpoint just after ours, but not each time."""
_log = logging.getLogger(__name__)


def migrations() -> list[tuple[int, str]]:
    """(version, SQL) of every schema step, in order."""
    files = sorted(MIGRATIONS_DIR.glob("[0-9]*.sql"))
    return [(int(path.name.split("_")[0]), path.read_text(encoding="utf-8")) for path in files]


class SqliteDatabase:
    """One SQLite file in WAL mode, one connection per thread.

    Args:
        path: the file; created, or migrated to the newest schema after a copy of the old file
            (`NAME.before-N`).

    Raises:
        StorageError: the file is damaged, or newer than this software, or cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self.path, self.name = path, f"The database {path}"
        self._local = threading.local()
        self._damage: str | None = None
        self._files = InPlace(path)
        try:
            self._migrate()
            self._files.remember()
        except (sqlite3.Error, StorageError) as error:
            if isinstance(error, StorageError) and self._damage is None:
                raise
            raise StorageError(
                f"The database {path} cannot be used ({self._damage or error}); restore a backup with `fluocount "
                "restore`, or move the file away to start with an empty database."
            ) from None

    def connection(self) -> StoreConnection:
        """This thread's connection: every commit is on the disk when it returns.

        Raises:
            StorageError, UnavailableError: here and in every call of the connection.
        """
        return self._open("durable", "FULL")

    def hasty_connection(self) -> StoreConnection:
        """For values that a power cut may lose (progress): commits do not wait for the disk."""
        return self._open("hasty", "NORMAL")

    @contextmanager
    def transaction(self) -> Iterator[StoreConnection]:
        """BEGIN IMMEDIATE ... COMMIT; any exception rolls back.

        Raises:
            StorageError: the disk is full, the database is damaged, or its file is no longer in its place.
            UnavailableError: it may work later.
        """
        connection = self.connection()
        self._files.require(connection)
        connection.execute("BEGIN IMMEDIATE")
        try:
            yield connection
            connection.execute("COMMIT")
        except BaseException:
            self._roll_back(connection)
            raise
        self._files.require(connection)  # else the commit went into a file that is gone

    def problem(self) -> str | None:
        """Why nothing must be accepted now, in one sentence; cheap enough for every request."""
        if self._damage is not None:
            return damage_sentence(self.path, self._damage)
        try:
            self._files.require(self.connection())
            if self.path.stat().st_size == 0:
                self._note_damage("it is empty")
            else:
                self._read_head()
        except StorageError as error:
            return str(error)
        except OSError as error:
            return f"The database {self.path} cannot be read ({error.strerror}); check the disk."
        return None if self._damage is None else damage_sentence(self.path, self._damage)

    def _read_head(self) -> None:
        """Read the head as it is on the disk, whatever this process still has in memory.

        A checkpoint writes the first page before the file has grown: what looks damaged is looked at again.
        """
        end_s = time.monotonic() + _CHECKPOINT_S
        while found := self._damage_of_head():
            if time.monotonic() > end_s:
                self._judge_head(found)
                return
            time.sleep(_CHECKPOINT_S / 100)

    def _judge_head(self, found: sqlite3.Error) -> None:
        """Call a file of a wrong size damaged if it stays so after checkpoints of our own: a disk may be slow."""
        half = found.sqlite_errorcode & PRIMARY_CODE != sqlite3.SQLITE_NOTADB  # which none writes
        for _ in range(_CHECKPOINTS if half else 0):
            if self.connection().execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()["busy"]:
                return  # another one is still under way; whoever asks next looks again
            if self._damage_of_head() is None:
                return self.look_over()  # it wrote a good head over whatever was there
            time.sleep(_CHECKPOINT_S / 100)
        self._note_damage(str(found))  # others may read good pages in the -wal for a while

    def _damage_of_head(self) -> sqlite3.Error | None:
        """What is wrong with the head of the file.

        By SQLite, never by open(): POSIX lets go of all locks that a process has on a file when any of its descriptors
        of that file is closed, and another program would then take the -wal file away.
        """
        uri = f"{self.path.absolute().as_uri()}?mode=ro&immutable=1"
        try:
            with closing(sqlite3.connect(uri, uri=True)) as fresh:
                fresh.execute("PRAGMA schema_version").fetchone()
        except sqlite3.Error as error:
            if getattr(error, "sqlite_errorcode", 0) & PRIMARY_CODE in DAMAGED:
                return error
            raise translate(error, self.path, self._is_damaged) from error
        return None

    def require_sound(self) -> None:
        """Refuse while there is a `problem`.

        Raises:
            StorageError: with it.
        """
        if found := self.problem():
            raise StorageError(found)

    def be_patient(self, seconds: float) -> None:
        """How long this thread's connections wait for another program that holds the database (else BUSY_TIMEOUT_S)."""
        for connection in (self.connection(), self.hasty_connection()):
            connection.execute(f"PRAGMA busy_timeout = {round(seconds * 1000)}")

    def look_over(self) -> None:
        """Read the whole file as a program that starts now would; what is wrong becomes a `problem`."""
        if found := self._find_damage():
            self._note_damage(found)

    def _find_damage(self) -> str | None:
        """What a fresh connection finds; None where it is sound, or where the disk cannot be read now."""
        uri = f"{self.path.absolute().as_uri()}?mode=ro"
        try:
            with closing(sqlite3.connect(uri, uri=True, timeout=BUSY_TIMEOUT_S)) as fresh:
                found = str(fresh.execute("PRAGMA quick_check(1)").fetchone()[0])
        except sqlite3.Error as error:
            code = getattr(error, "sqlite_errorcode", 0) & PRIMARY_CODE
            return str(error) if code in DAMAGED else None
        return None if found == "ok" else found

    def _is_damaged(self) -> bool:
        """Look before saying so: who restores a backup for nothing loses what came after it."""
        if self._damage is None:
            self.look_over()
        return self._damage is not None

    def check(self) -> list[str]:
        """Findings of `PRAGMA integrity_check`; empty if the database is intact."""
        rows = self.connection().execute("PRAGMA integrity_check").fetchall()
        return [row[0] for row in rows if row[0] != "ok"]

    def backup(self, target: Path) -> None:
        """Write a consistent copy, even while others write."""
        with closing(sqlite3.connect(target)) as copy:
            self.connection().backup(copy)

    def close(self) -> None:
        """Close this thread's connections."""
        for connection in list(self._local.__dict__.values()):
            connection.close()
        self._local.__dict__.clear()

    def _open(self, name: str, synchronous: str) -> StoreConnection:
        known: StoreConnection | None = self._local.__dict__.get(name)
        if known is None:
            try:
                known = self._connect(synchronous)
            except (sqlite3.Error, UnavailableError) as error:
                said: Exception = error
                if isinstance(error, sqlite3.Error):
                    said = translate(error, self.path, self._is_damaged)
                raise self._files.explain(said) from error
            self._local.__dict__[name] = known
        return known

    def _connect(self, synchronous: str) -> StoreConnection:
        # Once it was there, a missing file is a fault: SQLite would quietly begin an empty one.
        mode = "rw" if self._files.made else "rwc"
        made = sqlite3.connect(
            f"{self.path.absolute().as_uri()}?mode={mode}",
            uri=True,
            timeout=BUSY_TIMEOUT_S,
            isolation_level=None,
            factory=StoreConnection,
        )
        made.path, made.on_damage = self.path, self._is_damaged
        try:
            made.row_factory = sqlite3.Row
            teach_natural_key(made)
            made.execute("PRAGMA journal_mode = WAL")
            made.execute(f"PRAGMA synchronous = {synchronous}")
            made.execute("PRAGMA foreign_keys = ON")
            made.execute("PRAGMA cache_size = -256")  # kB; 2 MB for each thread are too much
            made.execute("SELECT COUNT(*) FROM sqlite_master").fetchone()  # opens the -wal
            made.side_files = self._files.side_files()
        except BaseException:
            made.close()
            raise
        return made

    def _roll_back(self, connection: StoreConnection) -> None:
        """After a failed roll-back the connection would refuse every later transaction: open a new one then."""
        try:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
        except StorageError:
            self.close()

    def _note_damage(self, found: str) -> None:
        if self._damage is None:
            _log.error("the database %s is damaged: %s", self.path, found)
            self._damage = found

    def _migrate(self) -> None:
        connection = self.connection()
        damage = connection.execute("PRAGMA quick_check").fetchone()[0]
        if damage != "ok":
            raise sqlite3.DatabaseError(damage)
        version = self._version(connection)
        steps = migrations()
        if version > steps[-1][0]:
            raise StorageError(
                f"The database {self.path} was written by a newer fluocount (schema {version}, "
                f"this version knows {steps[-1][0]}); upgrade fluocount."
            )
        if 0 < version < steps[-1][0]:
            self._copy_before(version)
        for number, sql in steps:
            if number > version:
                self._step(number, sql)

    def _step(self, number: int, sql: str) -> None:
        with self.transaction() as connection:
            if self._version(connection) < number:  # else another process has migrated it already
                for statement in _statements(sql):
                    connection.execute(statement)
                connection.execute(f"PRAGMA user_version = {number}")

    def _copy_before(self, version: int) -> None:
        target = self.path.with_name(f"{self.path.name}.before-{version + 1}")
        if not target.exists():
            copy_whole(self.connection(), target)

    @staticmethod
    def _version(connection: sqlite3.Connection) -> int:
        return int(connection.execute("PRAGMA user_version").fetchone()[0])


def _statements(sql: str) -> Iterator[str]:
    """Single statements of a script, because executescript of sqlite3 would commit between them."""
    pending = ""
    for line in sql.splitlines(keepends=True):
        pending += line
        if sqlite3.complete_statement(pending):
            yield pending
            pending = ""
