"""Parallel uploads, and what became of them: every accepted image once, byte for byte, with the right count."""

import hashlib
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock

import requests
from appliance import make_settings, png, wait_for

from attacks.figures import Figures
from attacks.server import Server
from device.store import open_store

DEFAULT_SIZE = 500
_AT_ONCE = 100
_PASSING = (429, 503, 507)
"""Answers that ask to come again."""


def image(number: int) -> bytes:
    """An image that tells its number apart from all others and has number % 4 cells."""
    return png(number % 4, shade=200 + number % 50) + number.to_bytes(8, "big")


@dataclass
class Uploads:
    """Uploads by number, each under its own key, sent again until it is accepted or refused for good."""

    url: str
    figures: Figures
    patience_s: float = 600.0
    image: Callable[[int], bytes] = image
    accepted: dict[str, int] = field(default_factory=dict)
    _lock: Lock = field(default_factory=Lock)

    def send(self, number: int) -> None:
        """Upload image `number`, again after faults that pass."""
        until_s = time.monotonic() + self.patience_s
        while time.monotonic() < until_s:
            status, count_id = self._once(number)
            if status == 202:
                with self._lock:
                    self.figures.doubled += count_id in self.accepted
                    self.accepted[count_id] = number
                return
            self.figures.check(status in (0, *_PASSING), f"answer {status}")
            time.sleep(0.1)
        self.figures.check(False, f"not accepted within {self.patience_s:.0f} s")

    def _once(self, number: int) -> tuple[int, str]:
        begin_s = time.monotonic()
        try:
            answer = requests.post(
                f"{self.url}/api/v1/counts",
                files={"image": (f"{number}.png", self.image(number))},
                headers={"Idempotency-Key": f"upload-{number}"},
                timeout=60,
            )
        except requests.RequestException:  # killed meanwhile, or told to go: it is sent again
            return 0, ""
        self.figures.took(time.monotonic() - begin_s)
        self.figures.answered(answer.status_code)
        return answer.status_code, answer.json().get("id", "") if answer.ok else ""


def attack(folder: Path, size: int) -> Figures:
    """`size` uploads, 100 at a time."""
    figures = Figures()
    with Server(folder / "data") as server:
        uploads = Uploads(server.url, figures)
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            list(pool.map(uploads.send, range(size)))
        server.check_alive(figures)
        wait_until_counted(server.url)
    figures.tried = size
    check(folder / "data", uploads.accepted, figures)
    return figures


def wait_until_counted(url: str) -> None:
    """Until the queue is empty."""

    def empty() -> bool:
        queue = requests.get(f"{url}/api/v1/status", timeout=60).json()["queue"]
        return queue is not None and queue["waiting"] == queue["running"] == 0

    wait_for(empty, 1800, "the end of the queue")


def check(data_dir: Path, accepted: dict[str, int], figures: Figures) -> None:
    """Compare the stopped appliance's store with what it said."""
    store = open_store(make_settings(data_dir).storage)
    rows = {row.id: row for row in store.counts.search()}
    figures.check(store.database.check() == [], "the database is damaged")
    figures.lost += len(accepted.keys() - rows.keys())
    for count_id, number in accepted.items():
        row = rows.get(count_id)
        if row is None:
            continue
        path = store.counts.original_path(row)
        if row.status != "done" or not path.is_file():
            figures.lost += 1
            figures.check(False, f"a count is {row.status}: {row.error}")
            continue
        sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
        right = (
            sha256
            == hashlib.sha256(image(number)).hexdigest()
            == store.result(count_id).image_sha256
        )
        figures.wrong += not (right and row.count == number % 4)
        revisions = [entry.name for entry in path.parent.iterdir() if entry.is_dir()]
        figures.check(revisions == ["1"], f"revisions {revisions}")
    images = [row.image_sha256 for row in rows.values()]
    figures.doubled += len(images) - len(set(images))
    store.close()
