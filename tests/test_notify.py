import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from device.machine.notify import Watchdog, inherited_sockets, notify, watchdog_s

ROOT = Path(__file__).parent.parent


@pytest.fixture
def systemd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    """The end that systemd listens on."""
    address = tmp_path / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(address))
        listener.settimeout(5)
        monkeypatch.setenv("NOTIFY_SOCKET", str(address))
        yield listener


def test_assignments_arrive_as_one_datagram(systemd: socket.socket) -> None:
    assert notify("READY=1", "STATUS=idle")
    assert systemd.recv(100) == b"READY=1\nSTATUS=idle"


def test_nobody_listens(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    assert not notify("READY=1")
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "gone"))
    assert not notify("READY=1")


def test_watchdog_is_for_the_process_systemd_means(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WATCHDOG_USEC", raising=False)
    assert watchdog_s() is None
    monkeypatch.setenv("WATCHDOG_USEC", "180000000")
    assert watchdog_s() == 180
    monkeypatch.setenv("WATCHDOG_PID", str(os.getpid() + 1))
    assert watchdog_s() is None


def test_watchdog_is_fed_while_there_is_progress(systemd: socket.socket) -> None:
    watchdog = Watchdog(lambda: 0.0, limit_s=0.04)
    assert watchdog.start()
    assert [systemd.recv(100) for _ in range(3)] == [b"WATCHDOG=1"] * 3
    watchdog.stop()


def test_watchdog_starves_without_progress(systemd: socket.socket) -> None:
    begin_s = time.monotonic()
    watchdog = Watchdog(lambda: time.monotonic() - begin_s, limit_s=0.2)
    watchdog.start()
    systemd.settimeout(0.4)
    assert systemd.recv(100) == b"WATCHDOG=1"
    heard = 1
    with suppress(TimeoutError):  # longer than the limit without a word: it starves
        while systemd.recv(100):
            heard += 1
    assert heard <= 3
    watchdog.stop()


def test_no_watchdog_outside_systemd(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WATCHDOG_USEC", raising=False)
    watchdog = Watchdog(lambda: 0.0)
    assert not watchdog.start()
    watchdog.stop()


def test_no_inherited_sockets_outside_systemd(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LISTEN_PID", raising=False)
    assert inherited_sockets() == []


def test_inherited_socket_takes_connections() -> None:
    child = """
import os, sys
os.environ["LISTEN_PID"] = str(os.getpid())
from device.machine.notify import inherited_sockets
(listener,) = inherited_sockets()
connection, _ = listener.accept()
connection.sendall(b"hello")
"""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]
        keep = os.dup(listener.fileno())
        process = subprocess.Popen(
            [sys.executable, "-c", f"import os; os.dup2({keep}, 3, inheritable=True)\n{child}"],
            env=os.environ | {"LISTEN_FDS": "1"},
            pass_fds=[keep],
            cwd=ROOT,
        )
        os.close(keep)
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        assert connection.recv(10) == b"hello"
    assert process.wait(10) == 0


def test_folder_watch_reports_to_systemd(systemd: socket.socket, tmp_path: Path) -> None:
    data, folder, out = (tmp_path / name for name in ("data", "in", "out"))
    folder.mkdir()
    process = subprocess.Popen(
        [sys.executable, ROOT / "tests/watch_child.py", data, folder, out],
        env=os.environ | {"WATCHDOG_USEC": "400000", "PYTHONPATH": str(ROOT)},
    )
    systemd.settimeout(60)
    try:
        assert systemd.recv(1000).startswith(b"READY=1")
        assert systemd.recv(1000) == b"WATCHDOG=1"
        process.terminate()
        while systemd.recv(1000) != b"STOPPING=1":
            pass
        assert process.wait(60) == 0
    finally:
        process.kill()
