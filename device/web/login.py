"""Set-up, login and logout."""

import hmac
import logging
import re
import secrets
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

from flask import (
    Blueprint,
    current_app,
    make_response,
    redirect,
    render_template,
    request,
    session,
    url_for,
)
from flask.typing import ResponseReturnValue
from flask_login import login_user, logout_user
from werkzeug.security import check_password_hash, generate_password_hash

from device.errors import InputError
from device.machine.files import write_atomic
from device.store import Store
from device.store.access import SHARED_USER
from device.web.access import SESSION_KEY, Person
from device.web.current import service
from device.web.guessing import count_failure, refuse_guessing, remember_browser

login_pages = Blueprint("login", __name__)
_log = logging.getLogger(__name__)

SETUP_CODE_NAME = "setup-code"
MIN_PASSWORD_CHARS = 8
MAX_PASSWORD_CHARS = 200
_ALPHABET = "23456789ABCDEFGHJKLMNPQRSTUVWXYZ"
_NOBODY = generate_password_hash(secrets.token_hex(16))
"""Checked when there is no account, so that both answers take the same time."""


def setup_code(store: Store) -> str | None:
    """The one-time code, which survives restarts; None once the set-up is done.

    It is stored in DATA_DIR/setup-code, readable by the user of the service only.
    """
    path = store.data_dir / SETUP_CODE_NAME
    if store.access.has_users():
        path.unlink(missing_ok=True)
        return None
    if not path.is_file():
        code = "-".join("".join(secrets.choice(_ALPHABET) for _ in range(4)) for _ in range(3))
        _write_private(path, f"{code}\n")
    return path.read_text(encoding="ascii").strip()


@login_pages.get("/login")
def login() -> ResponseReturnValue:
    """The login form."""
    if not current_app.config["NEEDS_LOGIN"]:
        return redirect(_address("/"))
    if not service().require_store().access.has_users():
        return redirect(url_for("login.setup"))
    return _login_form(False, request.args)


def _login_form(failed: bool, sent: Mapping[str, str]) -> str:
    """A name is asked for only where people have names of their own."""
    named = any(user.name != SHARED_USER for user in service().require_store().access.users())
    wrong = f"This {'name or password' if named else 'password'} is wrong; try again."
    return render_template(
        "login.html",
        error=wrong if failed else None,
        next=_local(sent.get("next")),
        named=named,
        name=sent.get("name", ""),
    )


def password_holds(name: str, password: str) -> bool:
    """True if this is the user's password; takes the same time for unknown names."""
    stored = service().require_store().access.password_hash(name)
    holds = check_password_hash(stored or _NOBODY, password[: MAX_PASSWORD_CHARS + 1])
    return holds and stored is not None


@login_pages.post("/login")
def log_in() -> ResponseReturnValue:
    """Check the password."""
    too_many = refuse_guessing()
    if too_many is not None:
        return too_many
    name = request.form.get("name", "").strip() or SHARED_USER
    if not password_holds(name, request.form.get("password", "")):
        count_failure()
        return _login_form(True, request.form), 403
    _begin_session(name)
    return remember_browser(make_response(redirect(_address(_local(request.form.get("next"))))))


@login_pages.get("/setup")
def setup() -> ResponseReturnValue:
    """The form for the first password."""
    if not current_app.config["NEEDS_LOGIN"] or service().require_store().access.has_users():
        return redirect(_address("/"))
    return render_template("setup.html", error=None)


@login_pages.post("/setup")
def set_up() -> ResponseReturnValue:
    """Store the first password."""
    too_many = refuse_guessing(in_all=False)
    if too_many is not None:
        return too_many
    store = service().require_store()
    code, given = setup_code(store), request.form.get("code", "").strip().upper()
    if code is None:
        return redirect(url_for("login.login"))
    if not hmac.compare_digest(_letters(given).encode(), _letters(code).encode()):
        count_failure()
        text = "This set-up code is wrong; the log of the instrument shows the right one."
        return render_template("setup.html", error=text), 403
    try:
        password = _read_chosen_password()
    except InputError as error:
        return render_template("setup.html", error=str(error), code=given), 400
    store.access.first_user(SHARED_USER, generate_password_hash(password))
    setup_code(store)
    _log.info("the password was set by %s", request.remote_addr)
    _begin_session(SHARED_USER)
    return remember_browser(make_response(redirect(_address("/"))))


def _letters(code: str) -> str:
    """The code as it is typed, with or without dashes and spaces."""
    return re.sub(r"[\s-]", "", code)


@login_pages.post("/logout")
def logout() -> ResponseReturnValue:
    """End the session, also for a copy of its cookie."""
    service().require_store().access.end_session(session.get(SESSION_KEY, ""))
    logout_user()
    session.clear()
    return redirect(url_for("login.login"))


def _begin_session(name: str) -> None:
    """The session ends web.session_hours after the last request."""
    session.clear()
    session.permanent = True
    idle_s = current_app.permanent_session_lifetime.total_seconds()
    session[SESSION_KEY] = service().require_store().access.begin_session(idle_s, name)
    login_user(Person(name))


def _read_chosen_password() -> str:
    password, again = request.form.get("password", ""), request.form.get("password_again", "")
    if len(password) >= MIN_PASSWORD_CHARS and password != again:
        raise InputError("The two passwords differ; type the same password twice.")
    return usable_password(password)


def usable_password(password: str) -> str:
    """The password itself.

    Raises:
        InputError: it is too short or too long.
    """
    if not MIN_PASSWORD_CHARS <= len(password) <= MAX_PASSWORD_CHARS:
        raise InputError(
            f"The password must have {MIN_PASSWORD_CHARS} to {MAX_PASSWORD_CHARS} characters, "
            f"not {len(password)}."
        )
    return password


def _address(path: str) -> str:
    """Of a page by its path, also below a folder of a reverse proxy."""
    return f"{request.root_path}{path}"


def _local(target: str | None) -> str:
    """Only addresses of this page; others would send people to another site after the login."""
    target = target or "/"
    try:
        parts = urlsplit(target)
    except ValueError:
        return "/"
    usable = parts.scheme == "" and parts.netloc == "" and parts.path.startswith("/")
    # A line break would end the header.
    if not usable or "\\" in target or target.startswith("//") or not target.isprintable():
        return "/"
    return target


def _write_private(path: Path, text: str) -> None:
    """Write a file that only its owner can read; write_atomic creates its temporary file that way."""
    write_atomic(path, text.encode())
    path.chmod(0o600)
