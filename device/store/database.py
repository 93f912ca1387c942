"""The SQLite file: connections, transactions and migrations.

Migrations are plain numbered SQL files. Each runs in one transaction together with the change of
`PRAGMA user_version`, so that a kill or a power cut leaves the old or the new schema and no lock.
"""

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from device.errors import StorageError
from device.machine.files import sync_folder

MIGRATIONS_DIR = Path(__file__).parent / "migrations"
BUSY_TIMEOUT_S = 30.0


def migrations() -> list[tuple[int, str]]:
    """(version, SQL) of every schema step, in order."""
    files = sorted(MIGRATIONS_DIR.glob("[0-9]*.sql"))
    return [(int(path.name.split("_")[0]), path.read_text(encoding="utf-8")) for path in files]


class Database:
    """One SQLite file in WAL mode, one connection per thread.

    Args:
        path: the file; made and migrated to the newest schema if need be, with a copy of the old
            file beside it (`NAME.before-N`) when there was one.

    Raises:
        StorageError: the file is damaged, or newer than this software, or cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._local = threading.local()
        try:
            self._migrate()
        except sqlite3.Error as error:
            raise StorageError(
                f"The database {path} cannot be used ({error}); restore a backup with `fluocount "
                "restore`, "
                "or move the file away to start with an empty database."
            ) from None

    def connection(self) -> sqlite3.Connection:
        """This thread's connection: every commit is on the disk when it returns."""
        return self._open("durable", "FULL")

    def hasty_connection(self) -> sqlite3.Connection:
        """For what may be lost with the power (progress): commits do not wait for the disk."""
        return self._open("hasty", "NORMAL")

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """BEGIN IMMEDIATE ... COMMIT; any exception rolls back.

        Raises:
            StorageError: the disk is full or the database is damaged.
        """
        connection = self.connection()
        try:
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
            except BaseException:
                connection.execute("ROLLBACK")
                raise
            connection.execute("COMMIT")
        except (sqlite3.OperationalError, sqlite3.DatabaseError) as error:
            if isinstance(error, sqlite3.IntegrityError):
                raise
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise StorageError(
                f"The database {self.path} could not be written ({error}); check free space and run "
                "`fluocount doctor`."
            ) from error

    def check(self) -> list[str]:
        """What `PRAGMA integrity_check` finds; empty when sound."""
        rows = self.connection().execute("PRAGMA integrity_check").fetchall()
        return [row[0] for row in rows if row[0] != "ok"]

    def backup(self, target: Path) -> None:
        """Write a consistent copy, whatever others write meanwhile."""
        with closing(sqlite3.connect(target)) as copy:
            self.connection().backup(copy)

    def close(self) -> None:
        """Close this thread's connections."""
        for connection in list(self._local.__dict__.values()):
            connection.close()
        self._local.__dict__.clear()

    def _open(self, name: str, synchronous: str) -> sqlite3.Connection:
        known: sqlite3.Connection | None = self._local.__dict__.get(name)
        if known is None:
            known = sqlite3.connect(self.path, timeout=BUSY_TIMEOUT_S, isolation_level=None)
            known.row_factory = sqlite3.Row
            known.execute("PRAGMA journal_mode = WAL")
            known.execute(f"PRAGMA synchronous = {synchronous}")
            known.execute("PRAGMA foreign_keys = ON")
            self._local.__dict__[name] = known
        return known

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
            if self._version(connection) < number:  # else another process was faster
                for statement in _statements(sql):
                    connection.execute(statement)
                connection.execute(f"PRAGMA user_version = {number}")

    def _copy_before(self, version: int) -> None:
        target = self.path.with_name(f"{self.path.name}.before-{version + 1}")
        if not target.exists():
            partial = target.with_name(target.name + ".part")
            partial.unlink(missing_ok=True)
            self.backup(partial)
            partial.replace(target)
            sync_folder(target.parent)

    @staticmethod
    def _version(connection: sqlite3.Connection) -> int:
        return int(connection.execute("PRAGMA user_version").fetchone()[0])


def _statements(sql: str) -> Iterator[str]:
    """Single statements of a script: sqlite3's own executescript would commit between them."""
    pending = ""
    for line in sql.splitlines(keepends=True):
        pending += line
        if sqlite3.complete_statement(pending):
            yield pending
            pending = ""
