"""Access control.

On a loopback address there is no login: everybody with an account on the machine may count. Other
sites must not misuse the browser of that person, so Host and Origin are checked (DNS rebinding). On
any other address, or behind a reverse proxy, every page, image and call needs a session or an API
token, except /healthz, the login, the set-up and their style sheets.
"""

import secrets
from collections.abc import Callable
from urllib.parse import urlsplit

from apiflask import APIFlask
from flask import Response, current_app, g, redirect, request, session, url_for
from flask.typing import ResponseReturnValue
from flask_login import LoginManager, UserMixin, current_user
from flask_wtf.csrf import CSRFError, CSRFProtect
from werkzeug.datastructures import Authorization

from device.errors import ForbiddenError
from device.store.access import SHARED_USER
from device.web.current import service
from device.web.errors import sentence
from device.web.peer import is_owner, is_person

SESSION_KEY = "session"
"""Under which Flask's signed cookie carries the session that the store knows."""
OPEN_ENDPOINTS = frozenset(
    {
        "health.healthz",
        "login.login",
        "login.log_in",
        "login.setup",
        "login.set_up",
        "static",
    }
)
_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
_LOCAL_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})
_CSP = (
    "default-src 'self'; img-src 'self' blob: data:; object-src 'none'; base-uri 'none'; "
    "frame-ancestors 'none'; form-action 'self'"
)
_HEADERS = {
    "Content-Security-Policy": _CSP,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
}

_PROXY_HEADERS = (
    "Forwarded",
    "Via",
    "X-Forwarded-For",
    "X-Forwarded-Host",
    "X-Forwarded-Proto",
    "X-Forwarded-Port",
    "X-Real-IP",
)
_BY_PROXY = (
    "A proxy forwards to this page, but the settings do not allow that, because anybody could get in without a login; "
    "set web.behind_proxy, or send an API token, see docs/access.md."
)


class _Logins(LoginManager):  # type: ignore[misc]
    """Sessions only: nothing here remembers a login, and Flask-Login fails on a forged cookie for that."""

    def _load_user_from_remember_cookie(self, cookie: str) -> None:
        del cookie


_csrf = CSRFProtect()
_logins = _Logins()


class Person(UserMixin):  # type: ignore[misc]
    """Whoever logged in: the account that is shared, or somebody under a name."""

    def __init__(self, name: str) -> None:
        self.id = name


def passing_secret() -> str:
    """A session secret that ends with the process."""
    return secrets.token_hex(32)


def install(app: APIFlask, *, needs_login: bool) -> None:
    """Register the guard and the headers.

    Args:
        app: with the service in its extensions.
        needs_login: False only if nothing but this machine can reach the page.
    """
    app.config["NEEDS_LOGIN"] = needs_login
    app.config["WTF_CSRF_CHECK_DEFAULT"] = False
    app.config["WTF_CSRF_TIME_LIMIT"] = None
    _csrf.init_app(app)
    _logins.init_app(app)
    app.before_request(_guard)
    app.after_request(_secure)
    app.register_error_handler(CSRFError, _csrf_failed)
    app.context_processor(lambda: _describe_login(needs_login))


def _describe_login(needs_login: bool) -> dict[str, object]:
    """For the templates: whether somebody is logged in, and the name under which that person corrects."""
    signed_in = needs_login and current_user.is_authenticated
    return {"signed_in": signed_in, "user_name": own_name() if signed_in else None}


def own_name() -> str | None:
    """Who is logged in under a name; None for the shared account, a token, or without a login."""
    if not current_app.config["NEEDS_LOGIN"] or request.authorization is not None:
        return None
    name = current_user.get_id()
    return None if name is None or name == SHARED_USER else str(name)


def who(said: str | None) -> str:
    """The author of a correction: who is logged in, else the given name, else the name of the token, else `page`."""
    return own_name() or (said or "").strip() or g.get("token_name") or "page"


def sender() -> str:
    """Who hands in an image: the account that is logged in, or the name of the token; empty without a login."""
    if not current_app.config["NEEDS_LOGIN"]:
        return ""
    return str(g.get("token_name") or current_user.get_id() or "")


def require_administrator() -> None:
    """Refuse whoever may not change what concerns everybody.

    Raises:
        ForbiddenError: an API token, no administrator, or (loopback) not the account that fluocount runs under.
    """
    if request.authorization is not None:
        raise ForbiddenError(
            "API tokens may not do this; use the page as an administrator, or the command line."
        )
    if not current_app.config["NEEDS_LOGIN"]:
        if not is_owner(request.environ):
            raise ForbiddenError(
                "Without a login only the account that started fluocount may do this; use its command line."
            )
        return
    name = current_user.get_id()
    if name is None or not service().require_store().access.is_administrator(name):
        raise ForbiddenError("Only an administrator may do this; log in as one.")


@_logins.user_loader  # type: ignore[untyped-decorator]
def _load_user(name: str) -> Person | None:
    """A session is valid as long as its account exists and it was not ended."""
    store = service().store
    if store is None:
        return None
    idle_s = current_app.permanent_session_lifetime.total_seconds()
    held = store.access.session_holds(str(session.get(SESSION_KEY, "")), idle_s, name)
    return Person(name) if held else None


def _guard() -> ResponseReturnValue | None:
    """Runs before every request; an answer here is a refusal."""
    return refuse_outsiders(_check_csrf)


def _check_csrf() -> None:
    if request.method not in _SAFE_METHODS:
        _csrf.protect()


def refuse_outsiders(check_body: Callable[[], None] = lambda: None) -> ResponseReturnValue | None:
    """Refuse whoever may not come in, by the headers alone.

    Args:
        check_body: called for browsers, before it is asked whether they are logged in.
    """
    if not current_app.config["NEEDS_LOGIN"]:
        return _not_local() or _foreign_origin() or _refuse_proxied()
    if (refused := _foreign_origin()) is not None:
        return refused
    if (authorization := request.authorization) is not None:
        return _by_token(authorization)
    check_body()
    if request.endpoint in OPEN_ENDPOINTS or current_user.is_authenticated:
        return None
    return _ask_to_log_in()


def _not_local() -> ResponseReturnValue | None:
    """The loopback guard."""
    bound = service().settings.web.host
    name = _host_name(request.host)
    if name not in _LOCAL_NAMES and name != bound:
        return sentence(
            403,
            f"This page can only be opened as http://localhost, not as {name}; to open it from the "
            "network see docs/access.md.",
        )
    if any(name in request.headers for name in _PROXY_HEADERS):
        return sentence(403, _BY_PROXY)
    return None


def _refuse_proxied() -> ResponseReturnValue | None:
    """A proxy that says nothing of its clients: a bare proxy_pass of nginx speaks HTTP/1.0, others run as system users.

    An API token is welcome from any program.
    """
    plain = request.environ.get("SERVER_PROTOCOL") != "HTTP/1.0"
    if request.endpoint == "health.healthz" or (plain and is_person(request.environ)):
        return None
    if (authorization := request.authorization) is not None:
        return _by_token(authorization)
    return sentence(403, _BY_PROXY)


def _foreign_origin() -> ResponseReturnValue | None:
    """Refuse requests that another site makes a browser send."""
    origin = request.headers.get("Origin")
    same = origin is None or _same_origin(origin)
    if same and request.headers.get("Sec-Fetch-Site") != "cross-site":
        return None
    if request.method in _SAFE_METHODS and origin is None and request.endpoint in _LANDINGS:
        return None  # a link on another site to one of the pages
    return sentence(403, f"Request refused: it came from another site ({origin or 'unnamed'}).")


_LANDINGS = frozenset(
    {
        "pages.capture",
        "pages.upload",
        "pages.result",
        "pages.history",
        "pages.status",
        "pages.administration",
        "login.login",
        "login.setup",
        "static",
    }
)


def _same_origin(origin: str) -> bool:
    parts = urlsplit(origin)
    return (parts.scheme, parts.netloc) == (request.scheme, request.host)


def _host_name(host: str) -> str:
    """The name or address of a Host header, without port and brackets."""
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return host


def _by_token(authorization: Authorization) -> ResponseReturnValue | None:
    """A token needs no CSRF check, because no browser sends it by itself."""
    store = service().require_store()
    if authorization.type == "bearer" and authorization.token:
        g.token_name = store.access.token_name(authorization.token)
    if g.get("token_name") is None:
        answer = sentence(
            401, "This API token is not valid; create a new one with `fluocount token create NAME`."
        )
        answer.headers["WWW-Authenticate"] = "Bearer"
        return answer
    return None


def _ask_to_log_in() -> ResponseReturnValue:
    if service().store is None:
        service().require_store()  # no login is possible: raise the reason instead
    if request.path.startswith("/api/"):
        answer = sentence(401, "Log in or send an API token (Authorization: Bearer ...).")
        answer.headers["WWW-Authenticate"] = "Bearer"
        return answer
    store = service().store
    if store is not None and not store.access.has_users():
        return redirect(url_for("login.setup"))
    return redirect(url_for("login.login", next=request.full_path.rstrip("?")))


def _csrf_failed(error: CSRFError) -> ResponseReturnValue:
    return sentence(403, f"{str(error.description).rstrip('.')}; reload the page and try again.")


def _secure(answer: Response) -> Response:
    for name, value in _HEADERS.items():
        answer.headers.setdefault(name, value)
    if request.endpoint != "static":
        answer.headers.setdefault("Cache-Control", "no-store")
    return answer
