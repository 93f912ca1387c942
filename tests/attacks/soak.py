"""A long working day: frames by upload, by watched folder and by the camera while 20 browsers look at the live view.

Nothing may grow: memory, descriptors, threads and temporary files of the appliance and the processes that it starts.
"""

import os
import tempfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec
import requests
from appliance import SlowSegmenter, make_settings, wait_for

from attacks.children import fork_server
from attacks.figures import Figures
from attacks.server import Server, held_kb
from attacks.uploads import image, wait_until_counted
from device.config import WatchSettings
from device.service import MOST_DECODERS, Service
from device.store import open_store

DEFAULT_SIZE = 10_000
_VIEWERS = 20
_LOOKS_EACH_S = 2.0
"""Each viewer asks for a picture that often: together they ask more than a browser that follows closely does."""
_BATCH = 30
_MAY_GROW = {"memory_mb": 20, "processes": 0, "descriptors": 12, "threads": 4, "temporary_files": 5}
"""Waves of the day's work; a leak of one descriptor or 10 kB a frame is far above them after 10,000 frames.

All processes hold some 200 MB: 120 the appliance, 40 each of its two decoding processes, which both run before
anything is measured. A process too many, as once was started beside those two, is above the room and counted besides.
"""
_PROCESSES = 1 + MOST_DECODERS
_AT_ONCE = 8
"""Uploads at the same time, as many as the page has threads: some of them are decoded side by side."""


class Day(Server):
    """The appliance with a watched folder, and what all its processes hold."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder / "data")
        self._context = fork_server("attacks.soak")
        self.watched = folder / "in"
        self.temporary = folder / "tmp"
        for made in (self.watched, self.temporary):
            made.mkdir(parents=True)

    def start(self) -> None:
        """Start and wait until it answers."""
        arguments = (self._data_dir, self.address[1], self.watched, self.temporary)
        self.process = self._context.Process(target=serve, args=arguments)
        self.process.start()
        wait_for(self._is_up, 120, "the start")

    def usage(self) -> dict[str, int]:
        """What the appliance and its child processes hold."""
        found = dict.fromkeys(_MAY_GROW, 0)
        for pid in _family(self.process.pid):
            try:
                found["memory_mb"] += held_kb(Path("/proc") / str(pid))
                found["descriptors"] += len(os.listdir(f"/proc/{pid}/fd"))  # noqa: PTH208
                found["threads"] += len(os.listdir(f"/proc/{pid}/task"))  # noqa: PTH208
            except (FileNotFoundError, ProcessLookupError):
                continue
            found["processes"] += 1
        found["memory_mb"] = found["memory_mb"] * 1024 // 1_000_000
        found["temporary_files"] = sum(1 for path in self.temporary.rglob("*") if path.is_file())
        return found


def serve(data_dir: Path, port: int, watched: Path, temporary: Path) -> None:
    """The child: serve until killed."""
    os.environ["TMPDIR"] = tempfile.tempdir = str(temporary)
    from device.web.server import make_server

    settings = msgspec.structs.replace(
        make_settings(data_dir, port=port),
        watch=WatchSettings(folders=(str(watched),), settle_s=0.2),
    )
    service = Service(settings, load_segmenter=lambda model: SlowSegmenter(0.0))
    service.start()
    make_server(service).run()


def attack(folder: Path, size: int) -> Figures:
    """`size` frames."""
    figures = Figures()
    with Day(folder) as day:
        ended = threading.Event()
        looking = threading.Barrier(_VIEWERS + 1)
        viewers = [
            threading.Thread(target=_view, args=(day, looking, ended, figures))
            for _ in range(_VIEWERS)
        ]
        for viewer in viewers:
            viewer.start()
        looking.wait(120)  # each holds its connection now, before anything is measured
        wait_for(lambda: _crowd(day, figures), 120, "the second decoding process")
        _work(day, figures, figures.tried, max(size // 5, _BATCH))  # caches are filled by then
        before = day.usage()
        _work(day, figures, figures.tried, max(size, figures.tried))
        after = day.usage()
        ended.set()
        for viewer in viewers:
            viewer.join()
        day.check_alive(figures)
    _compare(before, after, figures)
    _check(folder / "data", figures)
    return figures


def _work(day: Day, figures: Figures, start: int, end: int) -> None:
    """Frames from number `start` on: a batch by each way, then the end of the queue."""
    ways: tuple[Callable[[Day, int, Figures], None], ...] = (_upload, _drop, _capture)
    while start < end:
        for number in range(start, min(start + _BATCH, end)):
            ways[number % len(ways)](day, number, figures)
            figures.tried += 1
        start += _BATCH
        wait_for(lambda: not list(day.watched.glob("*.png.part")), 60, "the copies")
        wait_for(lambda: _total(day) >= figures.tried, 120, "the watched folder")
        wait_until_counted(day.url)


def _crowd(day: Day, figures: Figures) -> bool:
    """Uploads at the same time; True once they made the appliance start all its processes."""
    numbers = range(figures.tried, figures.tried + _AT_ONCE)
    figures.tried += _AT_ONCE
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        list(pool.map(lambda number: _upload(day, number, figures), numbers))
    return day.usage()["processes"] >= _PROCESSES


def _total(day: Day) -> int:
    answer = requests.get(f"{day.url}/api/v1/counts?limit=1", timeout=60)
    return int(answer.json()["total"])


def _upload(day: Day, number: int, figures: Figures) -> None:
    files = {"image": (f"{number}.png", image(number))}
    _post(f"{day.url}/api/v1/counts", figures, files=files)


def _capture(day: Day, number: int, figures: Figures) -> None:
    _post(f"{day.url}/api/v1/captures", figures, json={})


def _post(address: str, figures: Figures, **content: object) -> None:
    begin_s = time.monotonic()
    answer = requests.post(address, timeout=60, **content)
    figures.took(time.monotonic() - begin_s)
    figures.answered(answer.status_code)
    figures.check(answer.status_code == 202, f"answer {answer.status_code}: {answer.text[:200]}")


def _drop(day: Day, number: int, figures: Figures) -> None:
    partial = day.watched / f"{number}.png.part"
    partial.write_bytes(image(number))
    partial.rename(partial.with_suffix(""))


def _view(day: Day, looking: threading.Barrier, ended: threading.Event, figures: Figures) -> None:
    with requests.Session() as session:
        _look(day, session, figures)
        looking.wait(120)
        while not ended.wait(_LOOKS_EACH_S):
            _look(day, session, figures)


def _look(day: Day, session: requests.Session, figures: Figures) -> None:
    try:
        answer = session.get(f"{day.url}/api/v1/camera/preview.jpg", timeout=60)
    except requests.RequestException as error:
        figures.check(False, f"a viewer got no answer: {type(error).__name__}")
        return
    figures.answered(answer.status_code)


def _compare(before: dict[str, int], after: dict[str, int], figures: Figures) -> None:
    for name, room in _MAY_GROW.items():
        words = f"{name.replace('_', ' ')} {before[name]} to {after[name]}"
        figures.notes.append(words)
        figures.check(after[name] - before[name] <= room, f"{name.replace('_', ' ')} grew")


def _check(data_dir: Path, figures: Figures) -> None:
    """Every frame is one finished count."""
    store = open_store(make_settings(data_dir).storage)
    rows = store.counts.search()
    figures.lost += max(0, figures.tried - len(rows))
    figures.doubled += max(0, len(rows) - figures.tried)
    figures.lost += sum(row.status != "done" for row in rows)
    figures.check(store.database.check() == [], "the database is damaged")
    store.close()


def _family(pid: int) -> list[int]:
    """A process and all that it started."""
    try:
        tasks = list(Path(f"/proc/{pid}/task").iterdir())
        children = [
            int(child) for task in tasks for child in (task / "children").read_text().split()
        ]
    except (FileNotFoundError, ProcessLookupError):
        return []
    return [pid, *(found for child in children for found in _family(child))]
