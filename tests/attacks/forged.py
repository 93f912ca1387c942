"""Forged sessions, tokens, cookies and Hosts on a page that needs a login: nobody gets in, nothing breaks."""

import base64
import json
import random
import time
from collections.abc import Callable
from pathlib import Path

import requests
from flask.sessions import SecureCookieSessionInterface
from itsdangerous import URLSafeTimedSerializer

from attacks.figures import Figures
from attacks.server import Server

DEFAULT_SIZE = 5000
_PATHS = ("/api/v1/counts", "/api/v1/status", "/", "/counts/x", "/api/v1/camera/preview.jpg")
_REFUSED = (302, 400, 401, 403, 404, 405, 411, 413, 415, 431)


def attack(folder: Path, size: int) -> Figures:
    """`size` requests that pretend."""
    figures, chance = Figures(), random.Random(size)
    with Server(folder / "data", behind_proxy=True) as server, requests.Session() as client:
        for _ in range(size):
            headers = chance.choice(_TRICKS)(chance)
            method = chance.choice(("GET", "POST", "DELETE", "PATCH"))
            begin_s = time.monotonic()
            try:
                answer = client.request(
                    method,
                    server.url + chance.choice(_PATHS),
                    headers=headers,
                    allow_redirects=False,
                    timeout=60,
                )
            except (requests.RequestException, UnicodeError, ValueError):
                continue  # the client itself refuses to send that
            client.cookies.clear()
            figures.tried += 1
            figures.took(time.monotonic() - begin_s)
            figures.answered(answer.status_code)
            figures.check(
                answer.status_code in _REFUSED, f"{method} got {answer.status_code} with {headers}"
            )
        server.check_alive(figures)
    return figures


def _text(chance: random.Random, longest: int = 60) -> str:
    letters = range(33, 127), range(160, 256)  # what a header can carry
    length = chance.randrange(1, longest)
    return "".join(chr(chance.choice(chance.choice(letters))) for _ in range(length))


def _signed(chance: random.Random) -> str:
    """A session signed with a secret that an attacker may try: empty, `dev`, random."""
    made = SecureCookieSessionInterface()
    signer = URLSafeTimedSerializer(
        chance.choice(("dev", "secret", "fluocount", "0" * 64, _text(chance))),
        salt=made.salt,
        serializer=made.serializer,
        signer_kwargs={"key_derivation": made.key_derivation, "digest_method": made.digest_method},
    )
    return signer.dumps({"_user_id": "lab", "_fresh": True, "session": _text(chance)})


def _unsigned(chance: random.Random) -> str:
    claim = json.dumps({"_user_id": "lab", "session": chance.choice(("", None, [], "x" * 10_000))})
    return base64.urlsafe_b64encode(claim.encode()).decode().rstrip("=") + "." + _text(chance)


_TRICKS: tuple[Callable[[random.Random], dict[str, str]], ...] = (
    lambda chance: {"Cookie": f"fluocount={_signed(chance)}"},
    lambda chance: {"Cookie": f"fluocount={_unsigned(chance)}"},
    lambda chance: {
        "Cookie": f"fluocount={_text(chance, 3000)}; fluocount-browser={_text(chance)}"
    },
    lambda chance: {"Cookie": f"remember_token=lab|{_text(chance, 130)}"},
    lambda chance: {"Authorization": f"Bearer flc_{_text(chance, 80)}"},
    lambda chance: {"Authorization": f"Bearer {_text(chance, 3000)}"},
    lambda chance: {"Authorization": f"Basic {base64.b64encode(_text(chance).encode()).decode()}"},
    lambda chance: {"Authorization": _text(chance)},
    lambda chance: {
        "Host": chance.choice(("localhost", "127.0.0.1", "[::1", "a b", _text(chance)))
    },
    lambda chance: {"Origin": chance.choice(("null", "http://127.0.0.1", _text(chance)))},
    lambda chance: {
        "X-Forwarded-For": chance.choice(("127.0.0.1", _text(chance))),
        "X-Forwarded-Proto": "https",
    },
    lambda chance: {
        "X-Forwarded-Host": chance.choice(("localhost", _text(chance))),
        "X-CSRFToken": _text(chance),
    },
)
