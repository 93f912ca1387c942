"""`fluocount count --workers`: its processes and the program itself are killed on the way; what it costs beside one."""

import csv
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from contextlib import suppress
from functools import partial
from pathlib import Path

import numpy as np
from appliance import wait_for
from tifffile import imread

from attacks.figures import Figures
from device.batch.sidebyside import in_order
from device.bench.frames import synthetic_frames
from device.machine.files import write_atomic
from device.machine.processes import WorkerProcess

DEFAULT_SIZE = 2000
_WORKERS = 2
_WIDTH_PX = 480
"""Frames of 480x360: what is tried is the way of a frame, not the network."""
_CELLS = (0, 5, 10, 20, 3)
_FRAMES_PER_KILL = 15
_FULL_FRAMES = 24
"""Of 1600x1200, for the efficiency: they count for much longer than two processes take to start."""
_LEAST_EFFICIENCY, _MOST_OVERHEAD_MS = 0.85, 10.0
_OF_THE_TIME = ("counted_at", "counted_utc", "seconds", "noticed_at")


class Run:
    """`fluocount count FOLDER --out OUT` as a program of its own."""

    def __init__(self, folder: Path, out: Path, *options: str) -> None:
        self.out = out
        words = ["count", str(folder), "--out", str(out), "--model", "fast", *options]
        self._process = subprocess.Popen(
            [sys.executable, "-m", "device.cli", *words],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def is_over(self) -> bool:
        """True when the program has ended."""
        return self._process.poll() is not None

    def wait(self) -> int:
        """The exit status."""
        return self._process.wait()

    def kill(self) -> list[int]:
        """kill -9 to the program; the processes that it had."""
        children = self.workers()
        self._process.kill()
        self._process.wait()
        return children

    def workers(self) -> list[int]:
        """The processes that count for it now."""
        found = Path(f"/proc/{self._process.pid}/task").glob("*/children")
        with suppress(OSError):  # a thread has ended
            numbers = " ".join(path.read_text() for path in found).split()
            return [pid for pid in map(int, numbers) if _is_worker(pid)]
        return []

    def counted(self) -> int:
        """Frames whose files are complete."""
        return sum(1 for _ in self.out.glob("*.result.json"))


def attack(folder: Path, size: int) -> Figures:
    """`size` frames: once by one program, once by processes that are killed; then what processes cost."""
    figures = Figures(tried=size)
    make_frames(folder / "in", size)
    alone = Run(folder / "in", folder / "alone")
    figures.crashes += alone.wait() != 0
    kills = count_with_kills(folder / "in", folder / "spread", size, figures)
    compare(folder / "alone", folder / "spread", figures)
    figures.notes.append(f"{kills} processes and the program itself killed on the way")
    efficiency = measure_efficiency(folder)
    overhead_ms = 1000 * measure_overhead_s()
    figures.check(efficiency >= _LEAST_EFFICIENCY, "too slow beside one program")
    figures.check(overhead_ms <= _MOST_OVERHEAD_MS, "too much overhead")
    figures.notes.append(f"efficiency {efficiency:.2f}")
    figures.notes.append(f"overhead {overhead_ms:.2f} ms a frame")
    return figures


def make_frames(folder: Path, size: int) -> None:
    """`size` files, no two of the same bytes."""
    folder.mkdir()
    drawn = [path.read_bytes() for path in synthetic_frames(folder, _CELLS, _WIDTH_PX)]
    for path in folder.iterdir():
        path.unlink()
    for number in range(size):
        # What stands behind the end of a PNG is read by nobody, and makes it another file.
        data = drawn[number % len(drawn)] + number.to_bytes(8, "big")
        write_atomic(folder / f"{number:06d}.png", data)


def count_with_kills(folder: Path, out: Path, size: int, figures: Figures) -> int:
    """Count with `--workers`; half-way the program is killed too and then resumed. Returns the processes killed."""
    chance = random.Random(size)
    options = ("--workers", str(_WORKERS))
    run = Run(folder, out, *options)
    kills = _kill_until(run, size // 2, chance)
    orphans = run.kill()
    wait_for(lambda: not any(map(_is_worker, orphans)), 30, "the end of the processes")
    run = Run(folder, out, *options, "--resume")
    kills += _kill_until(run, size, chance)
    figures.crashes += run.wait() != 0
    return kills


def _kill_until(run: Run, frames: int, chance: random.Random) -> int:
    """Kill a process now and then. Some frames between two kills: two in a row at one frame would rightly fail it."""
    kills, last = 0, run.counted()
    while not run.is_over() and (counted := run.counted()) < frames:
        if counted >= last + _FRAMES_PER_KILL and (workers := run.workers()):
            with suppress(ProcessLookupError):
                os.kill(chance.choice(workers), signal.SIGKILL)
                kills += 1
            last = counted
        time.sleep(chance.uniform(0.01, 0.1))
    return kills


def compare(alone: Path, spread: Path, figures: Figures) -> None:
    """Every frame once, with the same line, the same cells, probabilities and label image; no file too many."""
    expected, found = read_rows(alone / "counts.csv"), read_rows(spread / "counts.csv")
    times = Counter(row["image"] for row in found)
    figures.lost += sum(row["image"] not in times for row in expected)
    figures.doubled += sum(number - 1 for number in times.values())
    figures.check(found == expected, "the tables differ")
    figures.check(not (spread / "errors.csv").exists(), "frames failed")
    names = sorted(path.name for path in alone.iterdir())
    figures.check(names == sorted(path.name for path in spread.iterdir()), "other files are there")
    for name in names:
        figures.wrong += name != "counts.csv" and not _is_alike(alone / name, spread / name)


def read_rows(path: Path) -> list[dict[str, str]]:
    """A table without what time does to it."""
    with path.open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    return [{key: text for key, text in row.items() if key not in _OF_THE_TIME} for row in rows]


def measure_efficiency(folder: Path) -> float:
    """Seconds of one program on all cores, over those of two processes; the better of two runs each, in turns."""
    (folder / "full").mkdir()
    synthetic_frames(folder / "full", range(10, 10 + _FULL_FRAMES))
    took_s: dict[str, list[float]] = {"": [], "--workers": []}
    for number in range(2):
        for option, spent in took_s.items():
            words = [option, str(_WORKERS)] if option else []
            begin_s = time.monotonic()
            Run(folder / "full", folder / f"full{number}{option}", *words).wait()
            spent.append(time.monotonic() - begin_s)
    return min(took_s[""]) / min(took_s["--workers"])


def measure_overhead_s(pieces: int = 2000) -> float:
    """Seconds that a piece of work costs which does nothing: handed to a process, brought back, put in order."""
    workers = [WorkerProcess(_start_idle) for _ in range(_WORKERS)]
    try:
        outcomes = in_order(range(pieces), workers, lambda piece, worker, _: worker.do(piece))
        for _ in range(_WORKERS):
            next(outcomes)  # the processes start
        begin_s = time.monotonic()
        for _ in outcomes:
            pass
        return (time.monotonic() - begin_s) / (pieces - _WORKERS)
    finally:
        for worker in workers:
            worker.stop()


def _start_idle() -> "partial[None]":
    return partial(_do_nothing)


def _do_nothing(piece: int) -> None:
    """What is left is the way."""


def _is_worker(pid: int) -> bool:
    """A living process that was started to count; not the tracker of Python's multiprocessing, nor a decoder."""
    with suppress(OSError):
        return b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()
    return False


def _is_alike(one: Path, other: Path) -> bool:
    if not other.exists():
        return False
    if one.name.endswith(".result.json"):
        first, second = (json.loads(path.read_bytes()) for path in (one, other))
        return {**first, "seconds": None} == {**second, "seconds": None}
    if one.name.endswith(".labels.tif"):  # each has an id of its own, as OME wants it
        first, second = imread(one), imread(other)
        return first.dtype == second.dtype and np.array_equal(first, second)
    return one.read_bytes() == other.read_bytes()
