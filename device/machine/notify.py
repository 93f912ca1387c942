"""Talks to systemd, see sd_notify(3) and sd_listen_fds(3): one datagram, two variables, no library.

    sockets = inherited_sockets()          from fluocount.socket, or none
    notify("READY=1")
    watchdog = Watchdog(lambda: service.worker.state.silent_s)
    watchdog.start()

Without systemd every function does nothing and returns False, None or [].
"""

import os
import socket
import threading
from collections.abc import Callable

_FIRST_DESCRIPTOR = 3


def notify(*assignments: str) -> bool:
    """Send assignments such as READY=1; False if systemd does not listen."""
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return False
    if address.startswith("@"):
        address = "\0" + address[1:]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as channel:
        try:
            channel.connect(address)
            channel.sendall("\n".join(assignments).encode())
        except OSError:  # systemd is restarting or gone; its watchdog decides what happens
            return False
    return True


def watchdog_s() -> float | None:
    """How long systemd waits for a sign of life, in seconds; None without a watchdog."""
    if os.environ.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return None
    microseconds = os.environ.get("WATCHDOG_USEC", "")
    return int(microseconds) / 1e6 if microseconds.isdigit() and int(microseconds) else None


def inherited_sockets() -> list[socket.socket]:
    """The listening sockets that systemd opened for this process; [] when there are none."""
    if os.environ.get("LISTEN_PID") != str(os.getpid()):
        return []
    number = int(os.environ.get("LISTEN_FDS", "0"))
    return [socket.socket(fileno=_FIRST_DESCRIPTOR + index) for index in range(number)]


class Watchdog:
    """Feeds systemd's watchdog while something makes progress, and stops feeding when it does not.

    Args:
        silent_s: seconds since the last sign of progress.
        limit_s: how long systemd waits; None takes it from the environment.
    """

    def __init__(self, silent_s: Callable[[], float], limit_s: float | None = None) -> None:
        self._silent_s = silent_s
        self._limit_s = watchdog_s() if limit_s is None else limit_s
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watchdog", daemon=True)

    def start(self) -> bool:
        """Start feeding; False if systemd does not watch this process."""
        if self._limit_s is None:
            return False
        self._thread.start()
        return True

    def stop(self) -> None:
        """Stop feeding; does nothing if it never started."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        assert self._limit_s is not None
        while True:
            if self._silent_s() < self._limit_s / 2:
                notify("WATCHDOG=1")
            if self._stop.wait(self._limit_s / 4):
                return
