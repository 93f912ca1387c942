"""What the store needs of a database, whichever it is.

The SQL of the store is what SQLite and PostgreSQL both understand, with SQLite's marks: `?` and `:name`.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

Parameters = Sequence[Any] | Mapping[str, Any]


class ConstraintError(Exception):
    """A row breaks a rule of the schema: the name is taken, or the log of a review would change."""


class Row(Protocol):
    """A row by the names and by the places of its columns."""

    def keys(self) -> Any:
        """Names of the columns, in order."""

    def __getitem__(self, key: Any, /) -> Any: ...

    def __iter__(self) -> Iterator[Any]: ...


class Cursor(Protocol):
    """The answer to a statement."""

    @property
    def rowcount(self) -> int:
        """How many rows were changed."""

    def fetchone(self) -> Any:
        """The next row, None after the last."""

    def fetchall(self) -> list[Any]:
        """The rows that are left."""

    def __iter__(self) -> Iterator[Any]: ...


class Connection(Protocol):
    """Of one thread. Every statement outside a transaction is one of its own.

    Raises:
        UnavailableError: it may work later.
        StorageError: the database cannot be used.
        ConstraintError: a row breaks a rule.
    """

    def execute(self, sql: str, parameters: Any = (), /) -> Cursor:
        """Run one statement."""

    def executemany(self, sql: str, parameters: Any, /) -> Any:
        """Run one statement with each of several sets of parameters."""


class Database(Protocol):
    """Connections and transactions; SqliteDatabase describes the methods."""

    @property
    def name(self) -> str:
        """What a sentence calls it; without a password."""

    def connection(self) -> Connection:
        """This thread's connection; every commit is on the disk when it returns."""

    def hasty_connection(self) -> Connection:
        """For values that a power cut may lose."""

    def transaction(self) -> AbstractContextManager[Connection]:
        """One writer at a time, among all threads and processes; any exception rolls back."""

    def problem(self) -> str | None:
        """Why nothing must be accepted now; cheap enough for every request."""

    def require_sound(self) -> None:
        """Refuse while there is a `problem`."""

    def be_patient(self, seconds: float) -> None:
        """How long this thread waits for another writer."""

    def look_over(self) -> None:
        """Look for damage; what is wrong becomes a `problem`."""

    def check(self) -> list[str]:
        """What is damaged; empty if the database is intact."""

    def close(self) -> None:
        """Close this thread's connections."""
