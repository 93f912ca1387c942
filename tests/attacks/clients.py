"""Slow, half-open and greedy connections; meanwhile an honest browser asks for the page and uploads an image."""

import contextlib
import random
import socket
import time
from collections.abc import Callable
from pathlib import Path

import requests
from appliance import png

from attacks.figures import Figures
from attacks.server import Server

DEFAULT_SIZE = 3000
_HELD = 250
"""Connections held open at a time, more than the server has places."""
Address = tuple[str, int]


def attack(folder: Path, size: int) -> Figures:
    """`size` connections from up to 250 addresses of this machine."""
    figures, chance = Figures(), random.Random(size)
    with Server(folder / "data") as server, contextlib.ExitStack() as closing:
        held: list[socket.socket] = []
        for number in range(size):
            connection = _dial(server.address, chance)
            if connection is not None:
                held.append(closing.enter_context(connection))
                with contextlib.suppress(OSError):
                    chance.choice(_TRICKS)(connection, chance)
            while len(held) > _HELD:
                held.pop(chance.randrange(len(held))).close()
            if number % 50 == 49:
                _honest(server, figures, number)
            figures.tried += 1
        server.check_alive(figures)
        figures.notes.append(f"{server.usage()['descriptors']} descriptors at the end")
    return figures


def _dial(address: Address, chance: random.Random) -> socket.socket | None:
    source = f"127.{chance.choice((1, 9))}.0.{chance.randrange(1, 126)}"
    try:
        return socket.create_connection(address, timeout=5, source_address=(source, 0))
    except OSError:
        return None


def _honest(server: Server, figures: Figures, number: int) -> None:
    """The page and an upload, as a browser that nobody warned."""
    begin_s = time.monotonic()
    try:
        page = requests.get(server.url, timeout=60)
        image = {"image": (f"{number}.png", png() + number.to_bytes(8, "big"))}
        upload = requests.post(f"{server.url}/api/v1/counts", files=image, timeout=60)
    except requests.RequestException as error:
        figures.check(False, f"an honest request failed: {type(error).__name__}")
        return
    figures.took(time.monotonic() - begin_s)
    for answer in (page, upload):
        figures.answered(answer.status_code)
        figures.check(answer.ok, f"an honest request got {answer.status_code}")


_UPLOAD = b"POST /api/v1/counts HTTP/1.1\r\nHost: localhost\r\nContent-Type: multipart/form-data; boundary=b\r\n"
_TRICKS: tuple[Callable[[socket.socket, random.Random], object], ...] = (
    lambda connection, chance: None,
    lambda connection, chance: connection.sendall(b"GET / HT"),
    lambda connection, chance: connection.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nX: "),
    lambda connection, chance: connection.sendall(
        _UPLOAD + b"Content-Length: 100000000\r\n\r\n--b"
    ),
    lambda connection, chance: connection.sendall(
        _UPLOAD + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhe"
    ),
    lambda connection, chance: connection.sendall(
        _UPLOAD + b"Expect: 100-continue\r\nContent-Length: 9\r\n\r\n"
    ),
    lambda connection, chance: connection.sendall(
        b"GET /static/js/viewer.js HTTP/1.1\r\nHost: localhost\r\n\r\n" * 50
    ),
    lambda connection, chance: connection.sendall(chance.randbytes(chance.randrange(1, 5000))),
    lambda connection, chance: connection.sendall(b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 5000),
    lambda connection, chance: connection.shutdown(socket.SHUT_WR),
)
