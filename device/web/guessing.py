"""Slowing down whoever guesses passwords, without locking out who has logged in before.

Wrong passwords of unknown browsers share one allowance, since an attacker has many addresses. A browser that logged in
once carries a signed cookie and has an allowance of its own: strangers cannot use it up (OWASP: device cookie).
"""

import logging
import secrets

from flask import Response, current_app, request
from flask.typing import ResponseReturnValue
from itsdangerous import BadSignature, URLSafeSerializer
from limits import RateLimitItemPerMinute
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter

from device.web.current import service
from device.web.errors import sentence

COOKIE = "fluocount-browser"
_KEPT_S = 365 * 86_400
_EACH = RateLimitItemPerMinute(5)
"""For an address, or for a known browser."""
_IN_ALL = RateLimitItemPerMinute(30)
"""For all unknown browsers: 43,200 guesses a day, which eight random letters outlast by far."""
_log = logging.getLogger(__name__)


def new_limiter() -> MovingWindowRateLimiter:
    """Counts wrong passwords and codes, per app."""
    return MovingWindowRateLimiter(MemoryStorage())


def refuse_guessing(*, in_all: bool = True) -> ResponseReturnValue | None:
    """Refuse after too many wrong attempts.

    Args:
        in_all: count those of all addresses together; the set-up code (60 random bits) needs no such count.
    """
    limiter, browser = current_app.extensions["login_limiter"], _known_browser()
    allowed = limiter.test(_EACH, *_who(browser))
    if allowed and (browser is not None or not in_all or limiter.test(_IN_ALL, "all")):
        return None
    answer = sentence(429, "Too many wrong attempts; wait a minute and try again.")
    answer.headers["Retry-After"] = "60"
    return answer


def count_failure() -> None:
    """Note a wrong password or code."""
    limiter, browser = current_app.extensions["login_limiter"], _known_browser()
    limiter.hit(_EACH, *_who(browser))
    if browser is None:
        limiter.hit(_IN_ALL, "all")
    _log.warning("wrong password or set-up code from %s", request.remote_addr)


def remember_browser(answer: Response) -> Response:
    """Whoever gets this answer has logged in: from now on this browser has its own allowance."""
    answer.set_cookie(
        COOKIE,
        _signer().dumps(_known_browser() or secrets.token_hex(16)),
        max_age=_KEPT_S,
        httponly=True,
        samesite="Lax",
        secure=current_app.config["SESSION_COOKIE_SECURE"],
        path=current_app.config["SESSION_COOKIE_PATH"],
    )
    return answer


def _who(browser: str | None) -> tuple[str, str]:
    return ("browser", browser) if browser is not None else ("address", request.remote_addr or "")


def _known_browser() -> str | None:
    """The number in the cookie; None where there is none or its signature is not ours."""
    given = request.cookies.get(COOKIE)
    if given is None:
        return None
    try:
        return str(_signer().loads(given))
    except BadSignature:
        return None


def _signer() -> URLSafeSerializer:
    """With a secret that ends with the password: `token reset-password` forgets the browsers too."""
    return URLSafeSerializer(service().require_store().access.secret("browser"))
