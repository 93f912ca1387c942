"""The folder watch as a process of its own, driven by processes that write, rename, kill and fill disks."""

import csv
import io
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import msgspec
import numpy as np
import pytest
import tifffile
from conftest import draw_discs
from PIL import Image

from device.config import StorageSettings
from device.counting.records import CountResult
from device.machine.files import remove_partial
from device.store import open_store

TESTS = Path(__file__).parent
WRITER = """
import sys, time, random, os
from pathlib import Path
source, folder = Path(sys.argv[1]), Path(sys.argv[2])
for name in sys.argv[3:]:
    target = folder / name
    target.parent.mkdir(parents=True, exist_ok=True)
    data = (source / name).read_bytes()
    how = random.Random(name).choice(["slow", "rename", "hidden", "at once"])
    if how == "slow":
        with target.open("wb", buffering=0) as stream:
            for start in range(0, len(data), 1 + len(data) // 3):
                stream.write(data[start : start + 1 + len(data) // 3])
                time.sleep(0.05)
    elif how == "rename":
        partial = target.with_name(target.name + ".part")
        partial.write_bytes(data)
        partial.rename(target)
    elif how == "hidden":
        partial = target.with_name("." + target.name)
        partial.write_bytes(data)
        partial.rename(target)
    else:
        target.write_bytes(data)
"""


class Lab:
    """A source of images of known counts, a watched folder and the watching process."""

    def __init__(self, root: Path, *, data_dir: Path | None = None, out: Path | None = None):
        self.source, self.folder = root / "source", root / "in"
        self.data_dir, self.out = data_dir or root / "data", out or root / "out"
        self.folder.mkdir()
        self.cells: dict[str, int] = {}
        self.process: subprocess.Popen | None = None
        self.log = root / "log.txt"

    def draw(self, number: int, folder: str = "") -> str:
        """An image of `number` % 4 cells that no other number gives."""
        name = f"{folder}image {number:04d}.png"
        discs = [(25 + 50 * index, 30, 37) for index in range(number % 4)]
        noise = np.random.default_rng(number).integers(0, 40, (64, 210), dtype=np.uint8)
        path = self.source / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.maximum(draw_discs(noise.shape, discs), noise)).save(path)
        self.cells[name] = number % 4
        return name

    def write(self, names: list[str]) -> subprocess.Popen:
        """Another process copies these images into the folder in all ways that occur."""
        return subprocess.Popen(
            [sys.executable, "-c", WRITER, str(self.source), str(self.folder), *names]
        )

    def start(self, *options: str, environment: dict[str, str] | None = None) -> None:
        search = os.pathsep.join([str(TESTS), str(TESTS.parent)])
        variables = os.environ | {"PYTHONPATH": search} | (environment or {})
        command = [sys.executable, str(TESTS / "watch_child.py")]
        command += [str(self.data_dir), str(self.folder), str(self.out), *options]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, env=variables)

    def kill(self) -> None:
        """As a power cut ends it."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(30)

    def finish(self) -> None:
        """Run once more until nothing is left to do."""
        self.start("--once", "--recursive")
        assert self.process.wait(600) == 0, self.said()

    def said(self) -> str:
        return self.log.read_text(errors="replace")[-4000:]

    def lines(self, table: str = "counts.csv") -> list[dict[str, str]]:
        path = self.out / table
        if not path.exists():
            return []
        with path.open(newline="", encoding="utf-8") as stream:
            return list(csv.DictReader(stream))

    def until(self, condition, timeout_s: float = 240.0) -> None:
        end_s = time.monotonic() + timeout_s
        while not condition():
            assert self.process.poll() is None, self.said()
            assert self.lines("errors.csv") == []
            assert time.monotonic() < end_s, self.said()
            time.sleep(0.05)

    def until_lines(self, total: int) -> None:
        """Wait for that many lines; how long is the machine's affair, as long as it goes on."""
        while (before := len(self.lines())) < total:
            self.until(lambda: len(self.lines()) > before, timeout_s=240)

    def check(self) -> None:
        """Each image: one line, the right count, one result in the store, whole files."""
        lines = self.lines()
        assert Counter(line["image"] for line in lines) == Counter(list(self.cells))
        assert {line["image"]: int(line["count"]) for line in lines} == self.cells
        store = open_store(StorageSettings(data_dir=str(self.data_dir), refuse_free_mb=1))
        rows = store.counts.search()
        assert {row.status for row in rows} == {"done"}
        assert Counter(row.image for row in rows) == Counter(list(self.cells))
        assert {row.id for row in rows} == {line["id"] for line in lines}
        store.close()
        for name, cells in self.cells.items():
            self.check_files(name, cells)
        remove_partial(self.out, older_than_s=0)
        assert [path for path in self.out.rglob(".*") if path.is_file()] == []

    def check_files(self, name: str, cells: int) -> None:
        beside = {
            suffix: (self.out / f"{name}.{suffix}").read_bytes()
            for suffix in ("cells.csv", "labels.tif", "result.json", "overlay.jpg", "outlines.png")
        }
        assert beside["cells.csv"].count(b"\r\n") == cells + 1
        assert tifffile.imread(io.BytesIO(beside["labels.tif"])).max() == cells
        assert msgspec.json.decode(beside["result.json"], type=CountResult).count == cells
        for picture in ("overlay.jpg", "outlines.png"):
            Image.open(io.BytesIO(beside[picture])).load()


@pytest.fixture
def root(tmp_path):
    """A folder in memory where there is one: a kill does not empty the page cache anyway."""
    if not os.access("/dev/shm", os.W_OK):
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        yield Path(folder)


@pytest.fixture
def lab(root):
    lab = Lab(root)
    yield lab
    if lab.process is not None and lab.process.poll() is None:
        lab.kill()


@pytest.fixture
def small_disk(root):
    """A file system of 12 MB."""
    place = root / "disk"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=12m", "tmpfs", str(place)], capture_output=True
    )
    if mounted.returncode != 0:
        pytest.skip(f"no small file system to fill: {mounted.stderr.decode().strip()}")
    yield place
    subprocess.run(["umount", "--lazy", str(place)], check=True)


def fill(place: Path, left_bytes: int) -> Path:
    """Leave that much room on a file system."""
    ballast = place / "ballast"
    status = os.statvfs(place)
    with ballast.open("wb") as stream:
        os.posix_fallocate(stream.fileno(), 0, status.f_bavail * status.f_bsize - left_bytes)
    return ballast


def drive(lab: Lab, total: int, kills: int, seed: int) -> None:
    """Files come in all ways while the watch is killed again and again at random moments."""
    dice = random.Random(seed)
    before = [lab.draw(number) for number in range(total // 5)]
    lab.write(before).wait()
    later = [
        lab.draw(number, dice.choice(["", "", "run 1/", "run 2/deep/"]))
        for number in range(total // 5, total)
    ]
    lab.start("--recursive")
    writers = [lab.write(later[part::3]) for part in range(3)]
    for _ in range(kills):
        time.sleep(dice.uniform(0.8, 3.0))
        lab.kill()
        lab.start("--recursive")
    for writer in writers:
        assert writer.wait(1000) == 0
    lab.until_lines(total)
    # The last one may have had nothing left to do and still be starting.
    assert lab.stop() in (0, -signal.SIGTERM)
    lab.finish()
    lab.check()
    assert lab.lines("errors.csv") == []
    assert lab.lines("duplicates.csv") == []


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_three_hundred_files_and_fifteen_kills(lab):
    drive(lab, total=300, kills=15, seed=2)


def fill_and_free(lab: Lab, disk: Path, total: int) -> None:
    """The output's disk is full at first and has space later."""
    ballast = fill(disk, left_bytes=150_000)
    lab.write([lab.draw(number) for number in range(total)]).wait()
    lab.start("--recursive")
    lab.until(lambda: "Waiting: " in lab.said())
    assert "No space left on device" in lab.said()
    written = len(lab.lines())
    assert written < total
    lab.kill()
    lab.start("--recursive")
    ballast.unlink()
    lab.until_lines(total)
    assert lab.stop() == 0
    lab.finish()
    lab.check()


def test_the_outputs_disk_is_full_for_a_while(root, small_disk):
    lab = Lab(root, out=small_disk / "out")
    fill_and_free(lab, small_disk, total=25)


@pytest.mark.slow
def test_the_stores_disk_is_full_for_a_while(root, small_disk):
    lab = Lab(root, data_dir=small_disk / "data")
    lab.start("--recursive", "--refuse-free-mb", "4")
    lab.until(lambda: (lab.data_dir / "worker.lock").exists())
    ballast = fill(small_disk, left_bytes=3_000_000)
    lab.write([lab.draw(number) for number in range(6)]).wait()
    lab.until(lambda: "Waiting: " in lab.said())
    assert "no images are accepted below 4 MB" in lab.said()
    assert lab.lines() == []

    ballast.unlink()
    lab.until_lines(6)
    assert "Continuing." in lab.said()
    assert lab.stop() == 0
    lab.check()


@pytest.mark.slow
def test_two_processes_share_one_worker(lab, root):
    other = Lab.__new__(Lab)
    other.__dict__ = lab.__dict__ | {"out": root / "out 2", "log": root / "log 2.txt"}
    lab.write([lab.draw(number) for number in range(8)]).wait()
    lab.start("--slow", "0.2")
    lab.until(lambda: lab.lines())
    other.start()
    try:
        lab.kill()
        other.until_lines(8)
        assert other.stop() == 0
    finally:
        if other.process.poll() is None:
            other.kill()
    lab.finish()
    lab.check()
    other.check()


def test_systemd_hears_that_it_is_ready(lab):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
        channel.bind(str(lab.log.with_name("notify")))
        channel.settimeout(60)
        lab.start(environment={"NOTIFY_SOCKET": channel.getsockname(), "WATCHDOG_USEC": "400000"})
        heard = {channel.recv(1000).split(b"\n")[0] for _ in range(4)}
        assert {b"READY=1", b"WATCHDOG=1"} <= heard
        assert lab.stop() == 0
