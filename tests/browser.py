"""A real browser on a real server: what the browser tests share."""

import io
import os
import re
import shutil
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import numpy as np
import pytest
from appliance import answering, make_settings, wait_for
from conftest import FakeSegmenter
from PIL import Image
from scipy.ndimage import gaussian_filter

from device.config import CameraSettings, Settings
from device.models.card import available_models
from device.service import Service
from device.synthetic import SyntheticSettings, make_frame

SCREENSHOTS = Path(os.environ.get("FLUOCOUNT_SCREENSHOTS", "ci-output"))
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
PATIENCE_MS = 60_000
WIDE = {"width": 1920, "height": 1080}
PHONE = {"width": 360, "height": 740}


class GlowSegmenter(FakeSegmenter):
    """Smoothed brightness is probability: finds the simulated cells without a model file."""

    def __call__(self, tile: np.ndarray) -> np.ndarray:
        glow = gaussian_filter(tile.max(axis=2).astype(np.float32), 3)
        return np.clip((glow - 20) * 2.2, 0, 255).astype(np.uint8)


def settings_for(data_dir: Path, width_px: int = 800, height_px: int = 600, **web) -> Settings:
    camera = CameraSettings(kind="simulated", width_px=width_px, height_px=height_px)
    return msgspec.structs.replace(make_settings(data_dir, port=0, **web), camera=camera)


@dataclass
class Served:
    """A running appliance: its address and its service."""

    url: str
    service: Service

    @property
    def store(self):
        return self.service.require_store()

    def hand_in(self, data: bytes, name: str, **options):
        """Count an image as an upload does; the row when it is done."""
        from device.jobs.intake import CountOptions

        row = self.service.require_accepting().intake.accept(
            data, name, "upload", CountOptions(**options)
        )
        return wait_for(lambda: self._done(row.id), what=f"the count of {name}")

    def _done(self, count_id: str):
        row = self.store.counts.get(count_id)
        return row if row.status == "done" else None

    def end_sessions(self) -> None:
        """Every session of a browser ends; an answer under way could bring a cookie back that a test only deletes."""
        with self.store.database.transaction() as connection:
            connection.execute("DELETE FROM sessions")

    def latest(self):
        """The newest count."""
        from device.store import Filter

        return self.store.counts.search(Filter(), 1)[0]


@contextmanager
def serving(settings: Settings, *, shipped_model: bool = False, segmenter=GlowSegmenter):
    """An appliance behind the production server, in this process."""
    load = None if shipped_model and available_models() else lambda model: segmenter()
    service = Service(settings, load_segmenter=load)
    service.start()
    with answering(service) as server:
        port = server.addresses[0].rsplit(":", 1)[1]
        yield Served(f"http://127.0.0.1:{port}", service)


@contextmanager
def chromium():
    """Debian's Chromium, driven by Playwright; without either the test is skipped."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    found = next((path for name in BROWSERS if (path := shutil.which(name))), None)
    if found is None:
        pytest.skip("no Chromium on this machine; tests/install_browser.sh installs it")
    with sync_api.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=found, args=list(ARGUMENTS))
        yield browser
        browser.close()


@dataclass
class Watched:
    """A page whose complaints are collected: errors on the console, exceptions, bad answers."""

    page: object
    complaints: list[str] = field(default_factory=list)
    # A busy machine is late with a live picture and says so (503); the page asks again.
    forgiven: list[str] = field(default_factory=lambda: ["/api/v1/camera/preview.jpg"])

    def __post_init__(self) -> None:
        self.page.on("console", self._console)
        self.page.on("pageerror", lambda error: self.complaints.append(f"exception: {error}"))

    def _console(self, message) -> None:
        if message.type in ("error", "warning"):
            self.complaints.append(f"{message.text} at {message.location.get('url')}")

    def forgive(self, part: str) -> None:
        """An answer that the test provokes on purpose; Chromium writes each to the console."""
        self.forgiven.append(part)

    @property
    def unforgiven(self) -> list[str]:
        return [one for one in self.complaints if not any(part in one for part in self.forgiven)]


class Opener:
    """Opens addresses in fresh pages and listens to their complaints."""

    def __init__(self, browser) -> None:
        self._browser = browser
        self.watched: list[Watched] = []

    def __call__(self, url: str, size=WIDE, **options):
        page = self._browser.new_page(viewport=size, **options)
        page.set_default_timeout(PATIENCE_MS)
        self.watched.append(Watched(page))
        page.goto(url)
        return page


@contextmanager
def page_opener(browser):
    """Pages for one test; afterwards nothing may have complained."""
    opener = Opener(browser)
    yield opener
    for watched in opener.watched:
        watched.page.close()
    complaints = [one for watched in opener.watched for one in watched.unforgiven]
    assert complaints == [], complaints


@contextmanager
def three_counts(data_dir: Path):
    """An appliance on loopback with three counts of two samples."""
    with serving(settings_for(data_dir)) as served:
        for seed, sample in enumerate(["mouse 1", "mouse 1", "mouse 2"]):
            served.hand_in(cells_png(seed), f"slice_{seed}.png", sample=sample)
        yield served


@dataclass
class ImageOnCanvas:
    """Where image points are on the screen while the whole image is shown."""

    page: object
    width: int
    height: int
    canvas: str = "#canvas"

    def at(self, x: float, y: float) -> tuple[float, float]:
        box = self.page.locator(self.canvas).bounding_box()
        scale = min(box["width"] / self.width, box["height"] / self.height)
        left = box["x"] + (box["width"] - self.width * scale) / 2
        top = box["y"] + (box["height"] - self.height * scale) / 2
        return left + (x + 0.5) * scale, top + (y + 0.5) * scale

    def click(self, x: float, y: float) -> None:
        # Apart in time: two clicks in one moment are a double click, as with a hand.
        self.page.wait_for_timeout(400)
        self.page.mouse.click(*self.at(x, y))


def shoot(page, name: str, *, full: bool = False) -> None:
    """Keep a picture of the page for people to look at."""
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=SCREENSHOTS / f"{name}.png", full_page=full)


def cells_png(seed: int) -> bytes:
    frame = make_frame(seed, SyntheticSettings(width_px=800, height_px=600)).frame
    stream = io.BytesIO()
    Image.fromarray(frame.image).save(stream, "PNG")
    return stream.getvalue()


def expect_text(page, selector: str, text: str | re.Pattern) -> None:
    from playwright.sync_api import expect

    expect(page.locator(selector)).to_have_text(text, timeout=PATIENCE_MS)


def expect_value(page, selector: str, value: str) -> None:
    from playwright.sync_api import expect

    expect(page.locator(selector)).to_have_value(value, timeout=PATIENCE_MS)


def ready(page) -> None:
    expect_text(page, "#readiness", "Ready")
