"""Which database keeps the counts of a data folder.

A folder stays with the database that it began with: with another one, its images would belong to no count.
"""

from pathlib import Path

from device.config import StorageSettings
from device.errors import StorageError
from device.machine.files import write_atomic
from device.store.database import SqliteDatabase
from device.store.protocols import Database

DATABASE_NAME = "fluocount.sqlite"
SHARED_NAME = "database.id"
"""In a data folder whose counts are in a PostgreSQL database: that database's own id."""


def may_exist(settings: StorageSettings) -> bool:
    """False where no count can be stored yet: neither a file in the data folder nor another database keeps them."""
    folder = Path(settings.data_dir).expanduser()
    return settings.database is not None or (folder / DATABASE_NAME).is_file()


def open_database(data_dir: Path, settings: StorageSettings) -> Database:
    """The database of a data folder; made or brought up to date if necessary.

    Raises:
        StorageError: it cannot be used, or it is not that of this folder.
        UnavailableError: it does not answer now.
    """
    if settings.database is None:
        require_own(data_dir, "name the same database in the settings, [storage] database")
        return SqliteDatabase(data_dir / DATABASE_NAME)
    if (data_dir / DATABASE_NAME).exists():
        raise StorageError(
            f"{data_dir} has counts in a file of its own, {DATABASE_NAME}, which the database in the settings does not "
            "know; move them there with `fluocount move`, name another data folder, or remove [storage] database."
        )
    database = open_postgres(settings.database)
    _require_same(database, database.name, data_dir)
    return database


def open_postgres(url: str) -> Database:
    """A PostgreSQL database, whatever it holds; its tables are made if it has none.

    Raises:
        StorageError: it cannot be used.
        UnavailableError: it does not answer now.
    """
    try:
        from device.store.postgres import PostgresDatabase
    except ImportError as error:
        raise StorageError(
            f"PostgreSQL cannot be used ({error}); it needs the extra `postgres`: pip install 'fluocount[postgres]'."
        ) from None
    return PostgresDatabase(url)


def require_own(data_dir: Path, instead: str) -> None:
    """Refuse what concerns only a database that is a file of the data folder.

    Args:
        data_dir: the folder.
        instead: what to do.

    Raises:
        StorageError: the counts of this folder are in a PostgreSQL database.
    """
    if (data_dir / SHARED_NAME).exists():
        raise StorageError(f"The counts of {data_dir} are in a PostgreSQL database; {instead}.")


def _require_same(database: Database, name: str, data_dir: Path) -> None:
    with database.transaction() as connection:
        own = str(connection.execute("SELECT instrument FROM identity").fetchone()[0])
        path = data_dir / SHARED_NAME
        if not path.exists():
            if connection.execute("SELECT 1 FROM counts LIMIT 1").fetchone() is not None:
                raise StorageError(
                    f"{name} has counts whose images are not in {data_dir}; all servers need the same data folder, "
                    "on a shared file system: name or mount that one."
                )
            write_atomic(path, f"{own}\n".encode())
        elif path.read_text(encoding="ascii", errors="replace").strip() != own:
            raise StorageError(
                f"The images in {data_dir} belong to another database than {name}; name that database in the settings, "
                "or another data folder."
            )
