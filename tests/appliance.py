"""A whole appliance without hardware and without a model file, for tests; also as a process of its own:

PYTHONPATH=. python tests/appliance.py DATA_DIR PORT [SECONDS_PER_TILE]
"""

import io
import socket
import sys
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import msgspec
import numpy as np
from conftest import FakeSegmenter, draw_discs
from PIL import Image

from device.config import CameraSettings, Settings, StorageSettings, WebSettings
from device.jobs.intake import CountOptions
from device.service import Service
from device.store import CountRow


class SlowSegmenter(FakeSegmenter):
    """Takes its time for each tile, so that something can happen meanwhile."""

    def __init__(self, seconds_per_tile: float) -> None:
        super().__init__()
        self.seconds_per_tile = seconds_per_tile

    def __call__(self, tile: np.ndarray) -> np.ndarray:
        time.sleep(self.seconds_per_tile)
        return super().__call__(tile)


SMALL_CAMERA = CameraSettings(kind="simulated", width_px=320, height_px=240, exposure_s=0.001)


def make_settings(data_dir: Path, camera: CameraSettings = SMALL_CAMERA, **web) -> Settings:
    return Settings(
        storage=StorageSettings(data_dir=str(data_dir), warn_free_mb=2, refuse_free_mb=1),
        camera=camera,
        web=WebSettings(**web),
    )


def make_service(data_dir: Path, seconds_per_tile: float = 0.0, **web) -> Service:
    """A service whose model is brightness; not started. `web`: and `camera`, see make_settings."""
    return Service(
        make_settings(data_dir, **web), load_segmenter=lambda model: SlowSegmenter(seconds_per_tile)
    )


class Lab:
    """A data folder and a service that counts in it, without camera and page."""

    def __init__(self, data_dir: Path) -> None:
        self.data_dir = data_dir
        self.service = make_service(data_dir)
        self.service.counter.worker.start()
        self.store = self.service.store

    def counted(self, data: bytes, name: str = "a.png", **options) -> CountRow:
        """The row of an upload with these options (CountOptions) when it is counted."""
        row = self.service.counter.intake.accept(data, name, "upload", CountOptions(**options))
        wait_for(lambda: self.store.counts.get(row.id).status == "done", what=f"count of {name}")
        return self.store.counts.get(row.id)


def with_storage(settings: Settings, **changes) -> Settings:
    storage = msgspec.structs.replace(settings.storage, **changes)
    return msgspec.structs.replace(settings, storage=storage)


def png(cells: int = 2, shape: tuple[int, int] = (120, 400), shade: int = 255) -> bytes:
    """A PNG with that many bright discs; `shade` makes images differ, and the ground is a camera's, never even."""
    discs = [(30 + 60 * (i % 6), 30 + 60 * (i // 6), 37) for i in range(cells)]
    discs_only = np.minimum(draw_discs(shape, discs), shade).astype(np.uint8)
    pixels = np.maximum(discs_only, np.random.default_rng(0).integers(0, 4, shape, np.uint8))
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    return stream.getvalue()


def wait_for(condition, timeout_s: float = 20.0, what: str = "the condition"):
    """The first true value of `condition()`."""
    until = time.monotonic() + timeout_s
    while time.monotonic() < until:
        value = condition()
        if value:
            return value
        time.sleep(0.01)
    raise AssertionError(f"{what} did not come true within {timeout_s} s")


@contextmanager
def answering(service: Service, sockets: list[socket.socket] | None = None):
    """The production server of a started service, in a thread; both are stopped at the end."""
    from device.web.server import make_server

    server = make_server(service, sockets)
    closing = threading.Event()

    def run() -> None:
        try:
            server.run()
        except OSError:  # its own socket, closed below
            if not closing.is_set():
                raise

    threading.Thread(target=run, daemon=True).start()
    try:
        yield server
    finally:
        closing.set()
        server.close()
        service.stop()


def run(data_dir: Path, port: int, seconds_per_tile: float) -> None:
    """Serve until killed."""
    from device.web.server import make_server

    service = make_service(data_dir, seconds_per_tile, port=port)
    service.start()
    make_server(service).run()


if __name__ == "__main__":
    run(Path(sys.argv[1]), int(sys.argv[2]), float([*sys.argv, "0"][3]))
