"""Sick disks under the data folder: full, read-only, slow, and one that fails every access.

Uploads go on while the disk is sick for some seconds. The page must answer all the time; afterwards everything that was
accepted must be there and counted once.
"""

import contextlib
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import requests

from attacks.disk import Disk
from attacks.figures import HANG_S, Figures
from attacks.server import Server
from attacks.uploads import Uploads, check, wait_until_counted

DEFAULT_SIZE = 60
"""Uploads for each of the four sicknesses."""
SICK_S = 3.0
_SLOW_S = 0.2
"""Each sync of the slow disk takes so long."""


def attack(folder: Path, size: int) -> Figures:
    """`size` uploads for each sickness."""
    figures = Figures()
    for sickness in (_full, _read_only, _failing, _slow):
        place = folder / sickness.__name__
        place.mkdir()
        with Disk(place, 200) as disk, ThreadPoolExecutor(8) as pool:
            data_dir = disk.place / "data"
            server = Server(data_dir, slow_sync_s=_SLOW_S if sickness is _slow else 0.0)
            with server, _page_is_watched(server, figures):
                uploads = Uploads(server.url, figures)
                sending = [pool.submit(uploads.send, number) for number in range(size)]
                time.sleep(0.5)
                sickness(disk, server)
                for future in sending:
                    future.result()
                server.check_alive(figures)
                wait_until_counted(server.url)
            check(data_dir, uploads.accepted, figures)
            figures.tried += size
    return figures


@contextlib.contextmanager
def _page_is_watched(server: Server, figures: Figures) -> Iterator[None]:
    """Ask for the page all the time; a restart that the attack makes itself is no fault."""
    ended = threading.Event()

    def ask() -> None:
        while not ended.wait(0.1):
            begin_s = time.monotonic()
            try:
                figures.answered(
                    requests.get(f"{server.url}/healthz", timeout=2 * HANG_S).status_code
                )
            except requests.ConnectionError:
                continue
            except requests.Timeout:
                pass
            figures.took(time.monotonic() - begin_s)

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _full(disk: Disk, server: Server) -> None:
    del server
    ballast = disk.fill()
    time.sleep(SICK_S)
    ballast.unlink()


def _read_only(disk: Disk, server: Server) -> None:
    disk.fall_ill()
    _exchange(disk, server)


def _failing(disk: Disk, server: Server) -> None:
    """Nothing can be read or written."""
    disk.cut_power()
    _exchange(disk, server)


def _exchange(disk: Disk, server: Server) -> None:
    """Such a disk is repaired or exchanged, and the service restarted."""
    time.sleep(SICK_S)
    server.kill()
    disk.unmount()
    disk.mount()
    server.start()


def _slow(disk: Disk, server: Server) -> None:
    del disk, server
    time.sleep(SICK_S)
