"""Work for processes, in a module of its own: each process imports it, and nothing else of the tests."""

import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path

from conftest import FakeSegmenter

from device.config import StorageSettings
from device.counting.records import CountResult
from device.errors import InputError
from device.jobs.run import Report, run_count
from device.machine.processes import WorkerProcess
from device.store import CountRow, open_store


class Starter:
    """Gives work that ends its process, fails, or gives the piece back with the number of its process."""

    def __init__(self, notes: Path) -> None:
        self.notes = notes

    def __call__(self) -> Callable[[str], tuple[str, int]]:
        self.note("start")
        return self.do

    def do(self, piece: str) -> tuple[str, int]:
        if piece.startswith("kill"):
            self.note(piece)
            if piece != "kill once" or self.notes.read_text().count(piece) == 1:
                os.kill(os.getpid(), signal.SIGKILL)
        if piece == "sleep":
            time.sleep(600)
        if piece == "fail":
            raise InputError("this piece is bad")
        return piece, os.getpid()

    def note(self, text: str) -> None:
        with self.notes.open("a") as stream:
            stream.write(f"{text}\n")


class StopsWhileSent:
    """Somebody stops the worker at the very moment that its process is being started."""

    worker: WorkerProcess | None = None

    def __getstate__(self) -> dict[str, object]:
        stopping = threading.Thread(target=self.worker.stop)
        stopping.start()
        stopping.join(0.5)
        return {}

    def __call__(self) -> Callable[[float], None]:
        return time.sleep


class NeverStarts:
    def __call__(self) -> Callable[[str], None]:
        raise InputError("no interpreter")


class BeginFake:
    """Counts like the server's processes, with brightness for a model; some file names make trouble."""

    def __init__(self, settings: StorageSettings) -> None:
        self.settings = settings

    def __call__(self) -> Callable[[CountRow], tuple[int, CountResult]]:
        store = open_store(self.settings)

        def count(row: CountRow) -> tuple[int, CountResult]:
            if row.image == "kills.png":
                os.kill(os.getpid(), signal.SIGKILL)
            report = Report(store, row, lambda: None)
            while row.image == "waits.png":
                time.sleep(0.05)
                report(0, 1)
            return run_count(store, row, FakeSegmenter(), report)

        return count
