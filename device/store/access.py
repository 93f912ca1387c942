"""Who has access: users with passwords, API tokens, and the secrets of the web server.

Tokens are 256 random bits, so a plain SHA-256 is as good as a slow hash; passwords
arrive here hashed already.
"""

import hashlib
import secrets

import msgspec

from device.errors import ConflictError, NotFoundError
from device.machine import clock
from device.store.protocols import Connection, ConstraintError, Database
from device.store.records import TokenInfo, UserInfo

TOKEN_PREFIX = "flc_"
SHARED_USER = "lab"
"""The account that the set-up page makes."""
_LAST_USED_EVERY_S = 60.0
_RESET = "reset"
"""Stands among the secrets while the set-up page is open again."""


class Access:
    """Users, tokens and secrets in the database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def has_users(self) -> bool:
        """False until the set-up page was used, and again after the shared password was forgotten."""
        return _is_set_up(self._database.connection())

    def password_hash(self, name: str) -> str | None:
        """The stored hash, None for an unknown user."""
        found = self._database.connection().execute(
            "SELECT password_hash FROM users WHERE name = ?", (name,)
        )
        row = found.fetchone()
        return None if row is None else str(row[0])

    def first_user(self, name: str, password_hash: str) -> None:
        """Store the first user.

        Raises:
            ConflictError: there is one already, or a token has the name.
        """
        with self._database.transaction() as connection:
            if _is_set_up(connection):
                raise ConflictError("The password is already set; log in instead.")
            connection.execute("DELETE FROM secrets WHERE name = ?", (_RESET,))
            _insert_user(connection, name, password_hash, administrator=True)

    def users(self) -> list[UserInfo]:
        """Everybody who may log in, by name."""
        found = self._database.connection().execute(
            "SELECT name, administrator, created_s FROM users ORDER BY name"
        )
        return [msgspec.convert(dict(row), type=UserInfo, strict=False) for row in found]

    def add_user(self, name: str, password_hash: str, *, administrator: bool) -> None:
        """Let another person log in.

        Raises:
            ConflictError: the name is in use, for a user or a token: an image has one owner.
        """
        try:
            with self._database.transaction() as connection:
                _insert_user(connection, name, password_hash, administrator=administrator)
        except ConstraintError:
            raise ConflictError(f"There is already a user {name!r}; choose another name.") from None

    def change_user(
        self, name: str, *, password_hash: str | None = None, administrator: bool | None = None
    ) -> None:
        """Change what is not None; a new password ends the sessions of that user.

        Raises:
            NotFoundError: there is no such user.
            ConflictError: no administrator would be left.
        """
        with self._database.transaction() as connection:
            changed = connection.execute(
                "UPDATE users SET password_hash = COALESCE(?, password_hash), "
                "administrator = COALESCE(?, administrator) WHERE name = ?",
                (password_hash, administrator, name),
            ).rowcount
            _require_user(changed, name)
            _require_administrator(connection)
            if password_hash is not None:
                connection.execute('DELETE FROM sessions WHERE "user" = ?', (name,))

    def remove_user(self, name: str) -> None:
        """Close the account; what the person corrected keeps the name.

        Raises:
            NotFoundError: there is no such user.
            ConflictError: no administrator would be left.
        """
        with self._database.transaction() as connection:
            changed = connection.execute("DELETE FROM users WHERE name = ?", (name,)).rowcount
            _require_user(changed, name)
            _require_administrator(connection)
            connection.execute('DELETE FROM sessions WHERE "user" = ?', (name,))

    def is_administrator(self, name: str) -> bool:
        """True for a user who may change what concerns everybody."""
        found = self._database.connection().execute(
            "SELECT administrator FROM users WHERE name = ?", (name,)
        )
        row = found.fetchone()
        return row is not None and bool(row[0])

    def forget_shared_user(self) -> None:
        """Remove the shared account and end every session; the set-up page opens again, the people stay."""
        with self._database.transaction() as connection:
            connection.execute("DELETE FROM users WHERE name = ?", (SHARED_USER,))
            connection.execute("DELETE FROM sessions")
            connection.execute("DELETE FROM secrets")
            connection.execute("INSERT INTO secrets VALUES (?, ?)", (_RESET, ""))

    def secret(self, name: str) -> str:
        """A random secret, created on first use, that survives restarts."""
        known = self._database.connection().execute(
            "SELECT value FROM secrets WHERE name = ?", (name,)
        )
        if (row := known.fetchone()) is not None:  # readable on a read-only disk too
            return str(row[0])
        with self._database.transaction() as connection:
            connection.execute(
                "INSERT INTO secrets VALUES (?, ?) ON CONFLICT (name) DO NOTHING",
                (name, secrets.token_hex(32)),
            )
            return str(
                connection.execute("SELECT value FROM secrets WHERE name = ?", (name,)).fetchone()[
                    0
                ]
            )

    def begin_session(self, idle_s: float, user: str) -> str:
        """A new session of a user; those that were idle for longer than `idle_s` are removed."""
        session, now_s = secrets.token_urlsafe(32), clock.now_s()
        with self._database.transaction() as connection:
            connection.execute("DELETE FROM sessions WHERE used_s < ?", (now_s - idle_s,))
            connection.execute(
                'INSERT INTO sessions (sha256, created_s, used_s, "user") VALUES (?, ?, ?, ?)',
                (_hash(session), now_s, now_s, user),
            )
        return session

    def session_holds(self, session: str, idle_s: float, user: str) -> bool:
        """True until this session of a user is ended or was idle for `idle_s`; notes the use at most once a minute."""
        connection = self._database.hasty_connection()
        row = connection.execute(
            'SELECT used_s FROM sessions JOIN users ON users.name = "user" '
            'WHERE sha256 = ? AND "user" = ?',
            (_hash(session), user),
        ).fetchone()
        now_s = clock.now_s()
        if row is None or now_s - row["used_s"] > idle_s:
            return False
        if abs(now_s - row["used_s"]) > _LAST_USED_EVERY_S:
            connection.execute(
                "UPDATE sessions SET used_s = ? WHERE sha256 = ?", (now_s, _hash(session))
            )
        return True

    def end_session(self, session: str) -> None:
        """The session's cookie is worthless from now on, wherever it is."""
        with self._database.transaction() as connection:
            connection.execute("DELETE FROM sessions WHERE sha256 = ?", (_hash(session),))

    def create_token(self, name: str) -> str:
        """A new API token, which is shown once; only its hash is stored.

        Raises:
            ConflictError: the name is in use, for a token or a user.
        """
        token = TOKEN_PREFIX + secrets.token_urlsafe(32)
        try:
            with self._database.transaction() as connection:
                if connection.execute("SELECT 1 FROM users WHERE name = ?", (name,)).fetchone():
                    raise ConflictError(
                        f"There is a user {name!r}; choose another name for the token."
                    )
                connection.execute(
                    "INSERT INTO tokens (name, sha256, created_s) VALUES (?, ?, ?)",
                    (name, _hash(token), clock.now_s()),
                )
        except ConstraintError:
            raise ConflictError(
                f"There is already a token {name!r}; revoke it first or choose another name."
            ) from None
        return token

    def tokens(self) -> list[TokenInfo]:
        """Every token that is valid, by name."""
        found = self._database.connection().execute(
            "SELECT name, created_s, last_used_s FROM tokens ORDER BY name"
        )
        return [msgspec.convert(dict(row), type=TokenInfo) for row in found]

    def revoke_token(self, name: str) -> None:
        """Revoke a token.

        Raises:
            NotFoundError: no token has this name.
        """
        with self._database.transaction() as connection:
            if not connection.execute("DELETE FROM tokens WHERE name = ?", (name,)).rowcount:
                raise NotFoundError(
                    f"There is no token {name!r}; `fluocount token list` shows all tokens."
                )

    def token_name(self, token: str) -> str | None:
        """Name of a valid token, else None; records the use at most once a minute."""
        connection = self._database.hasty_connection()
        row = connection.execute(
            "SELECT name, last_used_s FROM tokens WHERE sha256 = ?", (_hash(token),)
        ).fetchone()
        if row is None:
            return None
        now_s = clock.now_s()
        if row["last_used_s"] is None or abs(now_s - row["last_used_s"]) > _LAST_USED_EVERY_S:
            connection.execute(
                "UPDATE tokens SET last_used_s = ? WHERE name = ?", (now_s, row["name"])
            )
        return str(row["name"])


def _is_set_up(connection: Connection) -> bool:
    found = connection.execute(
        "SELECT 1 FROM users WHERE NOT EXISTS (SELECT 1 FROM secrets WHERE name = ?) LIMIT 1",
        (_RESET,),
    )
    return found.fetchone() is not None


def _insert_user(
    connection: Connection, name: str, password_hash: str, *, administrator: bool
) -> None:
    if connection.execute("SELECT 1 FROM tokens WHERE name = ?", (name,)).fetchone():
        raise ConflictError(
            f"There is a token {name!r}; choose another name, or revoke it with `fluocount token revoke`."
        )
    connection.execute(
        "INSERT INTO users (name, password_hash, created_s, administrator) VALUES (?, ?, ?, ?)",
        (name, password_hash, clock.now_s(), administrator),
    )


def _require_user(changed: int, name: str) -> None:
    if not changed:
        raise NotFoundError(f"There is no user {name!r}; reload the page.")


def _require_administrator(connection: Connection) -> None:
    if (
        connection.execute("SELECT 1 FROM users WHERE administrator != 0 LIMIT 1").fetchone()
        is None
    ):
        raise ConflictError(
            "Somebody must stay administrator; make another person administrator first."
        )


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
