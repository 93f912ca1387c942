"""Finds the port of the page and checks who answers there."""

import errno
import http.client
import socket
from contextlib import closing
from pathlib import Path

import msgspec

from device.counting.records import DECODE_ERRORS
from device.doctor.verdict import Verdict, failure, ok, warning

SOCKET_UNITS = (
    "etc/systemd/system/fluocount.socket.d/override.conf",
    "etc/systemd/system/fluocount.socket",
)
_TIMEOUT_S = 5.0
_MOST_BYTES = 10_000


class Health(msgspec.Struct, frozen=True):
    """What /healthz answers."""

    status: str


def port(root: Path, otherwise: int) -> int:
    """The port that systemd opens for the page, else the port in the settings."""
    for unit in SOCKET_UNITS:
        path = root / unit
        lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
        named = [
            line.partition("=")[2].strip() for line in lines if line.startswith("ListenStream")
        ]
        numbers = [int(name.rpartition(":")[2]) for name in named if name]
        if numbers:
            return numbers[0]
    return otherwise


def check(port: int) -> Verdict:
    """Ask the port of this machine."""
    try:
        status = _ask(port)
    except ConnectionRefusedError:
        return _try_to_bind(port)
    except (OSError, http.client.HTTPException):
        status = None
    if status == "ok":
        return ok(f"answers on port {port}")
    if status == "degraded":
        return warning(f"answers on port {port} and reports a problem", "Open its Status page.")
    return failure(
        f"port {port} is in use by another program",
        "Stop that program, or give fluocount another port (docs/appliance.md).",
    )


def _ask(port: int) -> str | None:
    """What fluocount answers about its health; None when another program answers."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_TIMEOUT_S)
    with closing(connection):
        connection.request("GET", "/healthz")
        answer = connection.getresponse()
        try:
            return msgspec.json.decode(answer.read(_MOST_BYTES), type=Health).status
        except DECODE_ERRORS:
            return None


def _try_to_bind(port: int) -> Verdict:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            if error.errno != errno.EACCES:
                raise
            return warning(
                f"nothing answers on port {port}", "Start it: sudo systemctl start fluocount"
            )
    return ok(f"port {port} is free; the page is not running")
