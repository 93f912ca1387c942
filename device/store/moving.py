"""Moves the counts of a data folder from its SQLite file into the PostgreSQL database that the settings name.

Everything is copied in one transaction, and only then does the folder belong to the database: whatever stops it, the
folder has one database or the other, and moving again goes on.
"""

import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

from device.config import StorageSettings
from device.errors import ConflictError, InputError, StorageError
from device.machine.files import sync_folder, write_atomic
from device.store.database import SqliteDatabase
from device.store.kind import DATABASE_NAME, SHARED_NAME, open_postgres
from device.store.lock import WORKER_LOCK, FileLock
from device.store.protocols import Connection, Database

_MADE_FULL = ("identity", "changes")
"""Tables that have their one row from the beginning; the row of the file takes its place."""
_AT_ONCE = 500


def move_counts(settings: StorageSettings) -> dict[str, int]:
    """Copy every table, compare the numbers of rows, and give the folder to the database.

    The file stays in the folder under another name. No service may run on the folder.

    Args:
        settings: with the data folder and the database.

    Returns:
        Rows by the name of the table.

    Raises:
        InputError: the settings name no database, or the folder has no counts of its own.
        ConflictError: a service is running, or the database has other counts.
        StorageError: one of the databases cannot be used; nothing is changed.
    """
    data_dir = Path(settings.data_dir).expanduser()
    file = data_dir / DATABASE_NAME
    if settings.database is None:
        raise InputError(
            "The settings name no database to move the counts to; add [storage] database, see docs/scale.md."
        )
    if not file.is_file():
        raise InputError(
            f"{data_dir} has no counts of its own ({DATABASE_NAME}); there is nothing to move."
        )
    with _alone(data_dir), closing(SqliteDatabase(file)) as source:
        target = open_postgres(settings.database)
        with closing(target):
            numbers = _copy(source, target)
            own = str(source.connection().execute("SELECT instrument FROM identity").fetchone()[0])
        # What is still in the -wal belongs to the file that is kept.
        source.connection().execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    write_atomic(data_dir / SHARED_NAME, f"{own}\n".encode())
    _set_aside(file)
    return numbers


@contextmanager
def _alone(data_dir: Path) -> Iterator[None]:
    lock = FileLock(data_dir / WORKER_LOCK)
    if not lock.try_acquire():
        raise ConflictError(
            f"A running service uses {data_dir}; stop it first: sudo systemctl stop fluocount."
        )
    try:
        yield
    finally:
        lock.release()


def _copy(source: Database, target: Database) -> dict[str, int]:
    here = source.connection()
    tables = _in_order_of_reference(here)
    with target.transaction() as there:
        if not _is_copied(here, there):
            _require_empty(there, target.name, tables)
            # The number of a change stays: whoever was told up to it asks for what came later.
            there.execute("ALTER TABLE counts DISABLE TRIGGER USER")
            for table in _MADE_FULL:
                there.execute(f"DELETE FROM {table}")
            for table in tables:
                _copy_table(here, there, table)
            there.execute("ALTER TABLE counts ENABLE TRIGGER USER")
        return {table: _require_equal(here, there, table) for table in tables}


def _in_order_of_reference(here: Connection) -> list[str]:
    """All tables of the file, each after those that its rows name."""
    found = here.execute(
        "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY name"
    )
    left = {str(row[0]) for row in found}
    ordered: list[str] = []
    while left:
        ready = sorted(table for table in left if not _referenced(here, table) & left - {table})
        ordered += ready
        left -= set(ready)
    return ordered


def _referenced(here: Connection, table: str) -> set[str]:
    return {str(row["table"]) for row in here.execute(f"PRAGMA foreign_key_list({table})")}


def _is_copied(here: Connection, there: Connection) -> bool:
    """An earlier move was stopped between the database and the folder."""
    numbers = [
        str(one.execute("SELECT instrument FROM identity").fetchone()[0]) for one in (here, there)
    ]
    return numbers[0] == numbers[1]


def _require_empty(there: Connection, name: str, tables: Sequence[str]) -> None:
    for table in tables:
        if table in _MADE_FULL:
            continue
        if there.execute(f"SELECT 1 FROM {table} LIMIT 1").fetchone() is not None:
            raise ConflictError(
                f"{name} is not empty (it has {table}); nothing was moved. Name an empty database in the settings."
            )


def _copy_table(here: Connection, there: Connection, table: str) -> None:
    order = " ORDER BY rowid" if _has_rowid(here, table) else ""
    sql, rows = "", []
    for row in here.execute(f"SELECT * FROM {table}{order}"):
        if not sql:
            names = ", ".join(f'"{name}"' for name in row.keys())  # noqa: SIM118 - a row gives its values
            sql = f"INSERT INTO {table} ({names}) VALUES ({', '.join('?' for _ in row)})"
        rows.append(tuple(row))
        if len(rows) == _AT_ONCE:
            there.executemany(sql, rows)
            rows = []
    if rows:
        there.executemany(sql, rows)
    for column in _numbered(there, table):
        there.execute(
            f"SELECT setval(pg_get_serial_sequence('{table}', '{column}'), (SELECT MAX({column}) FROM {table})) "
            f"WHERE EXISTS (SELECT 1 FROM {table})"
        )


def _has_rowid(here: Connection, table: str) -> bool:
    sql = here.execute("SELECT sql FROM sqlite_master WHERE name = ?", (table,)).fetchone()[0]
    return "WITHOUT ROWID" not in sql.upper()


def _numbered(there: Connection, table: str) -> list[str]:
    """Columns whose values the database gives out."""
    found = there.execute(
        "SELECT column_name FROM information_schema.columns "
        "WHERE table_schema = current_schema() AND table_name = ? AND is_identity = 'YES'",
        (table,),
    )
    return [str(row[0]) for row in found]


def _require_equal(here: Connection, there: Connection, table: str) -> int:
    numbers = [
        int(one.execute(f"SELECT COUNT(*) FROM {table}").fetchone()[0]) for one in (here, there)
    ]
    if numbers[0] != numbers[1]:
        raise StorageError(
            f"The database has {numbers[1]} rows of {table}, the file {numbers[0]}; nothing was moved. Empty the "
            "database and try again."
        )
    return numbers[0]


def _set_aside(file: Path) -> None:
    """Under a name that nothing opens, with what another reader may have left in its -wal."""
    kept = file.with_name(f"{file.name}.moved-{time.strftime('%Y%m%d-%H%M%S')}")
    wal, index = (file.with_name(f"{file.name}{ending}") for ending in ("-wal", "-shm"))
    if wal.exists():
        wal.rename(kept.with_name(f"{kept.name}-wal"))
    index.unlink(missing_ok=True)
    file.rename(kept)
    sync_folder(file.parent)
