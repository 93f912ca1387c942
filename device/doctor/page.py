"""Where the page is, and who answers there."""

import errno
import http.client
import socket
from pathlib import Path

from device.doctor.verdict import Verdict, failure, ok, warning

SOCKET_UNITS = (
    "etc/systemd/system/fluocount.socket.d/override.conf",
    "etc/systemd/system/fluocount.socket",
)
_TIMEOUT_S = 5.0


def port(root: Path, otherwise: int) -> int:
    """The port systemd holds for the page, else the one of the settings."""
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
    answer = _ask(port)
    if answer is None:
        return _try_to_bind(port)
    if answer == http.HTTPStatus.OK:
        return ok(f"answers on port {port}")
    return failure(
        f"port {port} is taken by another program",
        "Stop that program, or give fluocount another port (docs/appliance.md).",
    )


def _ask(port: int) -> int | None:
    """Status of fluocount's /healthz, 0 for an answer that is not HTTP, None for no answer."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_TIMEOUT_S)
    try:
        connection.request("GET", "/healthz")
        return connection.getresponse().status
    except ConnectionRefusedError:
        return None
    except (OSError, http.client.HTTPException):
        return 0
    finally:
        connection.close()


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
