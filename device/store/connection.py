"""sqlite3 connections that speak fluocount's errors, so that no caller needs to know SQLite's.

A fault that may pass (another program holds the file, too many open files, one failed read) becomes an
UnavailableError, a full disk a StorageError, and a file that is no sound database any more is also told to `on_damage`.
A broken rule of the schema becomes a ConstraintError; wrong SQL stays what it is.
"""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from device.errors import StorageError, UnavailableError
from device.store.protocols import ConstraintError

PRIMARY_CODE = 0xFF
"""SQLite's extended result codes carry the primary one in the low byte."""

_HELD = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
_PASSING = (
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_CANTOPEN,  # also what too many open files look like
    sqlite3.SQLITE_NOMEM,
    sqlite3.SQLITE_PROTOCOL,
)


class StoreConnection(sqlite3.Connection):
    """A connection to one database file.

    Attributes:
        path: the file, for the sentences.
        on_damage: asked at such a fault whether the file on the disk is really damaged.
        side_files: identities of the -wal and -shm files that this connection uses.
    """

    path: Path
    on_damage: Callable[[], bool]
    side_files: tuple[object, ...] = ()

    def execute(self, sql: str, parameters: Any = (), /) -> sqlite3.Cursor:
        """As sqlite3's.

        Raises:
            UnavailableError: it may work later.
            StorageError: disk full, read-only or damaged.
        """
        return self.cursor(_StoreCursor).execute(sql, parameters)


class _StoreCursor(sqlite3.Cursor):
    connection: StoreConnection

    def execute(self, sql: str, parameters: Any = (), /) -> "_StoreCursor":
        with self._translate_errors():
            super().execute(sql, parameters)
        return self

    def fetchone(self) -> Any:
        with self._translate_errors():
            return super().fetchone()

    def fetchall(self) -> list[Any]:
        with self._translate_errors():
            return super().fetchall()

    def __next__(self) -> Any:
        with self._translate_errors():
            return super().__next__()

    @contextmanager
    def _translate_errors(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise translate(error, self.connection.path, self.connection.on_damage) from error


def translate(error: sqlite3.Error, path: Path, on_damage: Callable[[], bool]) -> Exception:
    """What an error of SQLite means here; `error` itself where it is a mistake of the program."""
    if isinstance(error, sqlite3.IntegrityError):
        return ConstraintError(str(error))
    if isinstance(error, sqlite3.ProgrammingError):
        return error
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & PRIMARY_CODE
    if code in _HELD:
        return UnavailableError(
            f"Another program uses the database {path} ({error}); close it, or try again in a minute."
        )
    if code in DAMAGED and on_damage():
        return StorageError(damage_sentence(path, str(error)))
    if code in _PASSING or code in DAMAGED:  # a disk that dies looks like a damaged file too
        return UnavailableError(
            f"The database {path} could not be used just now ({error}); try again. If this stays, "
            "check the disk with `fluocount doctor`."
        )
    return StorageError(
        f"The database {path} could not be used ({error}); check free space, permissions and "
        "`fluocount doctor`."
    )


def damage_sentence(path: Path, found: str) -> str:
    """What to tell a person about a damaged database."""
    return (
        f"The database {path} is damaged ({found}); nothing is accepted. Stop fluocount, restore a backup with "
        "`fluocount restore`, and start it again."
    )
