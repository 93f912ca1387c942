"""A PostgreSQL database that several servers share, behind the same interface as the SQLite file.

One writer at a time, as with SQLite: every transaction that may write begins by taking one advisory lock of the
database. So whatever holds for one server with its threads holds for several, and changes are numbered in the order in
which they become visible. psycopg is imported only here, and this module only where the settings name such a database.
"""

import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg

from device.errors import StorageError, UnavailableError
from device.store.pgconnection import PostgresConnection, make_rows, teach
from device.store.protocols import Connection, ConstraintError

_SCHEMA_DIR = Path(__file__).parent / "migrations" / "postgresql"
_BUSY_S = 30
"""How long a writer waits for another one, as with SQLite."""
_FROZEN_S = 60
"""So long in the middle of a transaction, then the database ends it: a frozen computer must not hold up the others."""
_CONNECT_S = 3
"""To find out that nobody answers. For as long as that again nobody else tries, so that requests do not queue up."""
# A computer that was switched off says no goodbye: these find it within half a minute.
_SIGNS_OF_LIFE = {
    "keepalives_idle": 10, "keepalives_interval": 5, "keepalives_count": 3, "tcp_user_timeout": 25_000,
}  # fmt: skip
_NOT_ALLOWED, _LOCK_HELD, _DISK_FULL = "42501", "55P03", "53100"


class PostgresDatabase:
    """Connections to one PostgreSQL database, one per thread.

    Args:
        url: as libpq takes it, with or without the password.

    Raises:
        UnavailableError: it does not answer now.
        StorageError: it cannot be used: no permission, another encoding, written by a newer fluocount.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self.name, self._secret = _describe(url)
        self._local = threading.local()
        self._silent_until_s, self._silence = 0.0, ""
        self._migrate()

    def connection(self) -> PostgresConnection:
        """This thread's connection: every commit is on the disk of the database when it returns."""
        known: PostgresConnection | None = self._local.__dict__.get("connection")
        if known is None:
            known = self._local.connection = PostgresConnection(self.connect, self.translate)
        return known

    def hasty_connection(self) -> Connection:
        """The same: what is hasty is seldom."""
        return self.connection()

    @contextmanager
    def transaction(self) -> Iterator[PostgresConnection]:
        """BEGIN ... COMMIT of the only writer; any exception rolls back.

        Raises:
            UnavailableError: it may work later.
            StorageError: the database cannot be used.
        """
        connection = self.connection()
        with connection.writing():
            yield connection

    def problem(self) -> str | None:
        """Why nothing must be accepted now."""
        try:
            self.connection().execute("SELECT 1").fetchone()
        except StorageError as error:
            return str(error)
        return None

    def require_sound(self) -> None:
        """Refuse while the database does not answer.

        Raises:
            UnavailableError: it does not.
        """
        self.connection().execute("SELECT 1").fetchone()

    def be_patient(self, seconds: float) -> None:
        """How long this thread waits for another writer."""
        if self._local.__dict__.get("patience_s") != seconds:
            self._local.patience_s = seconds
            self.connection().close()

    def look_over(self) -> None:
        """Nothing: PostgreSQL looks after its own files."""

    def check(self) -> list[str]:
        """Nothing that fluocount could find."""
        return []

    def close(self) -> None:
        """Close this thread's connection."""
        if (known := self._local.__dict__.get("connection")) is not None:
            known.close()

    def connect(self) -> "psycopg.Connection[Any]":
        """A new connection.

        Raises:
            psycopg.OperationalError: nobody answers, or the name or password is wrong.
        """
        if time.monotonic() < self._silent_until_s:
            raise psycopg.OperationalError(self._silence)
        options: dict[str, Any] = {"connect_timeout": _CONNECT_S, **_SIGNS_OF_LIFE}
        given = psycopg.conninfo.conninfo_to_dict(self._url)
        try:
            made = psycopg.connect(
                self._url,
                autocommit=True,
                cursor_factory=psycopg.ClientCursor,
                row_factory=make_rows,
                **{name: value for name, value in options.items() if name not in given},
            )
        except psycopg.OperationalError as error:
            self._silence, self._silent_until_s = str(error), time.monotonic() + _CONNECT_S
            raise
        teach(made)
        patience_s = self._local.__dict__.get("patience_s", _BUSY_S)
        made.execute(
            f"SET lock_timeout = {round(patience_s * 1000)}; SET idle_in_transaction_session_timeout = '{_FROZEN_S}s'; "
            "SET synchronous_commit = on"
        )
        return made

    def translate(self, error: psycopg.Error) -> Exception:
        """What an error of PostgreSQL means here; `error` itself where it is a mistake of the program."""
        whole = str(error)
        said = " ".join((whole.replace(self._secret, "***") if self._secret else whole).split())
        if isinstance(error, psycopg.IntegrityError):
            return ConstraintError(said)
        if error.sqlstate == _LOCK_HELD:
            return UnavailableError(f"Others are writing to {self.name}; try again in a minute.")
        if error.sqlstate == _NOT_ALLOWED or isinstance(error, psycopg.DataError):
            return StorageError(
                f"{self.name} cannot be used ({said}); tell whoever looks after it."
            )
        if error.sqlstate == _DISK_FULL:
            return StorageError(f"The disk of {self.name} is full; tell whoever looks after it.")
        if isinstance(error, psycopg.ProgrammingError):
            return error
        return UnavailableError(
            f"{self.name} does not answer ({said}). Nothing that was accepted is lost; fluocount goes on by itself "
            "when it is back."
        )

    def _migrate(self) -> None:
        try:
            with closing(self), self.transaction() as connection:
                self._follow_steps(connection)
        except psycopg.Error as error:
            raise StorageError(
                f"The tables of {self.name} could not be made ({' '.join(str(error).split())}); make an empty database "
                "that belongs to fluocount's user."
            ) from None

    def _follow_steps(self, connection: PostgresConnection) -> None:
        steps = [(int(path.name[:4]), path) for path in sorted(_SCHEMA_DIR.glob("[0-9]*.sql"))]
        if connection.execute("SHOW server_encoding").fetchone()[0] != "UTF8":
            raise StorageError(f"{self.name} is not encoded in UTF8; make one that is.")
        version = _version(connection)
        if version > steps[-1][0]:
            raise StorageError(
                f"{self.name} was written by a newer fluocount (schema {version}, this version knows "
                f"{steps[-1][0]}); upgrade fluocount."
            )
        for number, path in steps:
            if number > version:
                connection.run_script(path.read_text(encoding="utf-8"))
                connection.execute("INSERT INTO schema_version VALUES (?)", (number,))


def _version(connection: PostgresConnection) -> int:
    if connection.execute("SELECT to_regclass('schema_version')").fetchone()[0] is None:
        return 0
    return int(connection.execute("SELECT MAX(version) FROM schema_version").fetchone()[0])


def _describe(url: str) -> tuple[str, str | None]:
    """(name for people, password) of an address.

    Raises:
        StorageError: it is none, in a sentence without the password.
    """
    unusable = StorageError(
        "The address of the database cannot be read; it is postgresql://NAME:PASSWORD@HOST/DATABASE, and signs such as "
        "@ / : # ? % in the password are written %40 %2F %3A %23 %3F %25."
    )
    try:
        parts = urlsplit(url)
        _ = parts.port
        given = psycopg.conninfo.conninfo_to_dict(url)
    except (ValueError, psycopg.Error):
        raise unusable from None
    if parts.scheme not in ("postgresql", "postgres"):
        raise unusable
    if parts.netloc.count("@") > 1 or "@" in parts.path + parts.fragment:
        raise unusable
    password = given.get("password")
    where = given.get("host") or "this computer"
    return f"The database {given.get('dbname') or ''} on {where}".replace("  ", " "), (
        None if password is None else str(password)
    )
