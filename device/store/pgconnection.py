"""Connections of psycopg that take the SQL of the store and give rows as sqlite3 does."""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
from typing import Any

import psycopg
from psycopg.types.numeric import FloatLoader, IntDumper
from psycopg.types.string import StrDumperUnknown

from device.errors import StorageError, UnavailableError
from device.store.protocols import Parameters

_WRITER = 0x666C636F  # "flco": the advisory lock of whoever writes


class _Row:
    """A row by names and places of its columns, as sqlite3.Row."""

    __slots__ = ("_places", "_values")

    def __init__(self, values: Any, places: dict[str, int]) -> None:
        self._values, self._places = values, places

    def keys(self) -> list[str]:
        """Names of the columns."""
        return list(self._places)

    def __getitem__(self, key: Any) -> Any:
        return self._values[self._places[key] if isinstance(key, str) else key]

    def __iter__(self) -> Iterator[Any]:
        return iter(self._values)


def make_rows(cursor: Any) -> Any:
    """A row factory of psycopg."""
    places = {column.name: place for place, column in enumerate(cursor.description or ())}
    return lambda values: _Row(values, places)


class _FlagDumper(IntDumper):
    """The columns of flags are integers, as in SQLite."""

    def dump(self, obj: Any) -> bytes:
        return b"1" if obj else b"0"

    quote = dump


class _TextDumper(StrDumperUnknown):
    """PostgreSQL keeps no zero character, which a name of a file from outside may have."""

    def dump(self, obj: str) -> Any:
        return super().dump(obj.replace("\0", "\N{REPLACEMENT CHARACTER}"))


@lru_cache(maxsize=512)
def _with_marks(sql: str) -> str:
    """`?` and `:name` as psycopg writes them."""
    text = sql.replace("%", "%%").replace("?", "%s").replace(" LIKE ", " ILIKE ")
    return re.sub(r"(?<![:\w]):([a-z]\w*)", r"%(\1)s", text)


class PostgresConnection:
    """The connection of one thread, which connects again where it was lost.

    Args:
        connect: makes a connection of psycopg; raises psycopg.Error.
        translate: what such an error means here.
    """

    def __init__(
        self,
        connect: Callable[[], "psycopg.Connection[Any]"],
        translate: Callable[[psycopg.Error], Exception],
    ) -> None:
        self._connect, self._translate = connect, translate
        self._raw: psycopg.Connection[Any] | None = None
        self._writing = False

    def execute(self, sql: str, parameters: Parameters = (), /) -> Any:
        """Run one statement; outside a transaction it is one of its own.

        Raises:
            UnavailableError, StorageError, ConstraintError: see protocols.Connection.
        """
        if self._writing:
            return self._run(sql, parameters)
        if sql.lstrip().startswith("SELECT"):
            return self._again(lambda: self._run(sql, parameters))
        with self.writing():
            return self._run(sql, parameters)

    def run_script(self, script: str) -> None:
        """Run the statements of a file within the transaction of the caller."""
        self._run(script, None)

    def executemany(self, sql: str, parameters: Any, /) -> None:
        """Run one statement with each of several sets of parameters."""
        for one in parameters:
            self.execute(sql, one)

    @contextmanager
    def writing(self) -> Iterator[None]:
        """A transaction of the only writer."""
        self._again(self._begin)
        self._writing = True
        try:
            yield
            done = self._run("COMMIT", ()).statusmessage
            if (
                done != "COMMIT"
            ):  # after an error that somebody kept silent about PostgreSQL rolls back
                raise StorageError(
                    f"The database did not keep what was written ({done}); try again."
                )
        except BaseException:
            self._roll_back()
            raise
        finally:
            self._writing = False

    def close(self) -> None:
        """Close it; the next use opens it again."""
        raw, self._raw = self._raw, None
        if raw is not None:
            with suppress(psycopg.Error):
                raw.close()

    def _begin(self) -> None:
        self._run("BEGIN", ())
        try:
            self._run("SELECT pg_advisory_xact_lock(?)", (_WRITER,))
        except BaseException:
            self._roll_back()
            raise

    def _again(self, step: Callable[[], Any]) -> Any:
        """A connection that was lost while nothing depended on it (the database was restarted) is made anew, once."""
        known = self._raw
        try:
            return step()
        except UnavailableError:
            if known is None or self._raw is not None:
                raise
        return step()

    def _run(self, sql: str, parameters: Parameters | None) -> Any:
        """With no parameters at all (None) the text is several statements as they are."""
        try:
            if self._raw is None:
                if self._writing:
                    raise psycopg.OperationalError("the connection was lost")
                self._raw = self._connect()
            text = sql if parameters is None else _with_marks(sql)
            return self._raw.execute(text, parameters)
        except psycopg.Error as error:
            if self._raw is not None and self._raw.closed:
                self.close()
            raise self._translate(error) from error

    def _roll_back(self) -> None:
        if self._raw is None:
            return
        try:
            self._raw.execute("ROLLBACK")
        except psycopg.Error:
            self.close()


def teach(made: "psycopg.Connection[Any]") -> None:
    """Let a connection take and give values as SQLite does."""
    adapters = made.adapters
    adapters.register_dumper(bool, _FlagDumper)
    adapters.register_dumper(str, _TextDumper)
    adapters.register_loader("numeric", FloatLoader)
