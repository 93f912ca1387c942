"""The appliance as a process of its own, for attacks through its sockets."""

import os
import socket
import time
from pathlib import Path

import requests
from appliance import make_service, wait_for

from attacks.children import fork_server
from attacks.figures import Figures


class Server:
    """`with Server(data_dir) as server: server.url`; `restart` after a kill.

    Args:
        data_dir: of the appliance.
        slow_sync_s: how long each sync of a file takes in that process.
        web: settings, see appliance.make_settings.
    """

    def __init__(self, data_dir: Path, slow_sync_s: float = 0.0, **web: object) -> None:
        self._context = fork_server("attacks.server")
        self._data_dir, self._slow_sync_s, self._web = data_dir, slow_sync_s, web
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.address = probe.getsockname()
        self.url = f"http://127.0.0.1:{self.address[1]}"
        self.process = None

    def __enter__(self) -> "Server":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def start(self) -> None:
        """Start and wait until it answers."""
        web = {"port": self.address[1], **self._web}
        self.process = self._context.Process(
            target=serve, args=(self._data_dir, web, self._slow_sync_s)
        )
        self.process.start()
        wait_for(self._is_up, 120, "the start")

    def kill(self) -> None:
        """kill -9."""
        self.process.kill()
        self.process.join()

    def usage(self) -> dict[str, int]:
        """What the process holds."""
        process = Path("/proc") / str(self.process.pid)
        return {
            "memory_mb": round(held_kb(process) * 1024 / 1e6),
            "descriptors": len(list((process / "fd").iterdir())),
            "threads": len(list((process / "task").iterdir())),
        }

    def check_alive(self, figures: Figures) -> None:
        """It must have ended for no reason of its own, and answer."""
        if not self.process.is_alive():
            figures.crashes += 1
            return
        begin_s = time.monotonic()
        try:
            figures.answered(requests.get(f"{self.url}/healthz", timeout=60).status_code)
        except requests.RequestException as error:
            figures.check(False, f"no answer: {type(error).__name__}")
        figures.took(time.monotonic() - begin_s)

    def _is_up(self) -> bool:
        assert self.process.is_alive(), "the appliance ended by itself"
        try:
            return requests.get(f"{self.url}/healthz", timeout=20).ok
        except requests.RequestException:
            return False


def held_kb(process: Path) -> int:
    """Memory that a process (/proc/PID) was given.

    Not its pages of files, as of libraries: they belong to the system, and some 16 MB of them become "private" when
    another program that has the same files open ends.
    """
    lines = (process / "smaps_rollup").read_text().splitlines()
    kinds = ("Anonymous:", "Pss_Shmem:")
    return sum(int(line.split()[1]) for line in lines if line.startswith(kinds))


def serve(data_dir: Path, web: dict[str, object], slow_sync_s: float) -> None:
    """The child: serve until killed."""
    if slow_sync_s:
        sync = os.fsync
        os.fsync = lambda descriptor: (time.sleep(slow_sync_s), sync(descriptor))[1]
    from device.web.server import make_server

    service = make_service(data_dir, **web)
    service.start()
    make_server(service).run()
