"""Fifty clients hand in full frames at once to `fluocount serve --server`, which is killed on the way."""

import hashlib
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import requests
from appliance import make_settings, wait_for

from attacks.figures import Figures
from attacks.server import held_kb
from attacks.uploads import Uploads, wait_until_counted
from device.batch.items import Item, count_item
from device.bench.frames import synthetic_frames
from device.counting.records import CountSettings
from device.models.auto import open_model
from device.store import open_store

DEFAULT_SIZE = 1000
_CLIENTS = 50
_CELLS = (0, 10, 50, 150)
"""Of the frames that are handed in over and over, each time with other bytes behind its end."""
_GROWTH_MB = 60
"""What the page's process may hold more at the end than half-way: allocator, caches, a history of 1,000 images."""


class Instance:
    """`fluocount serve --server` as a process, on a free port."""

    def __init__(self, data_dir: Path) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        words = ["--server", "--port", str(port), "--data-dir", str(data_dir)]
        self._command = [sys.executable, "-m", "device.cli", "serve", *words]
        self.start()

    def start(self) -> None:
        """Start and wait until it answers."""
        self._process = subprocess.Popen(
            self._command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        wait_for(self._is_up, 240, "the start")

    def kill(self) -> None:
        """kill -9."""
        self._process.kill()
        self._process.wait()

    def memory_mb(self) -> int:
        """Of the page's process."""
        return round(held_kb(Path("/proc") / str(self._process.pid)) * 1024 / 1e6)

    def _is_up(self) -> bool:
        assert self._process.poll() is None, "the server ended by itself"
        try:
            return requests.get(f"{self.url}/healthz", timeout=20).ok
        except requests.RequestException:
            return False


def attack(folder: Path, size: int) -> Figures:
    """`size` frames, 50 at a time; the server is killed after a quarter of them."""
    figures = Figures(tried=size)
    frames = synthetic_frames(folder, _CELLS)
    parts = [frame.read_bytes() for frame in frames]

    def image(number: int) -> bytes:
        return parts[number % len(parts)] + number.to_bytes(8, "big")

    server = Instance(folder / "data")
    uploads = Uploads(server.url, figures, patience_s=3600, image=image)
    begin_s = time.monotonic()
    with ThreadPoolExecutor(_CLIENTS) as pool:
        sent = [pool.submit(uploads.send, number) for number in range(size)]
        wait_for(lambda: len(uploads.accepted) >= size // 4, 3600, "a quarter")
        server.kill()
        server.start()
        wait_for(lambda: len(uploads.accepted) >= size // 2, 3600, "a half")
        half_mb = server.memory_mb()
        for one in sent:
            one.result()
    wait_until_counted(server.url)
    took_s, end_mb = time.monotonic() - begin_s, server.memory_mb()
    server.kill()
    figures.check(end_mb < half_mb + _GROWTH_MB, f"memory {half_mb} -> {end_mb} MB")
    _check(folder / "data", uploads.accepted, [_count(frame) for frame in frames], figures)
    figures.notes.append(f"{_CLIENTS} clients; memory {half_mb} -> {end_mb} MB")
    figures.notes.append(f"{size / took_s:.1f} frames of 1600x1200 a second")
    return figures


def _count(frame: Path) -> int:
    """The count of a frame alone, in this process."""
    outcome = count_item(Item(frame, frame.name), open_model("auto", 1), CountSettings())
    return outcome.counted.result.count


def _check(data_dir: Path, accepted: dict[str, int], counts: list[int], figures: Figures) -> None:
    """Every accepted frame is there once, byte for byte, with the count that it has alone."""
    store = open_store(make_settings(data_dir).storage)
    rows = {row.id: row for row in store.counts.search()}
    figures.lost += len(accepted.keys() - rows.keys())
    figures.doubled += len(rows.keys() - accepted.keys())
    for count_id, number in accepted.items():
        row = rows.get(count_id)
        if row is None or row.status != "done":
            figures.lost += row is not None
            figures.check(row is None, f"a count is {row and row.status}: {row and row.error}")
            continue
        sha256 = hashlib.sha256(store.counts.original_path(row).read_bytes()).hexdigest()
        is_right = row.count == counts[number % len(counts)]
        figures.wrong += not (is_right and sha256 == store.result(count_id).image_sha256)
    store.close()
