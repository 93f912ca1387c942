"""The decoding processes of this program, kept warm and replaced when a file was too much for one."""

import atexit
import os
import threading
import time
from contextlib import suppress
from pathlib import Path

from device.errors import BusyError
from device.sandbox.messages import Answer, Job
from device.sandbox.process import DecodingProcess
from device.sandbox.room import Room

_BUSY = "The instrument is reading other images that take long; send this one again in a moment."


class Decoders:
    """Processes that decode, as many at once as are allowed.

    Args:
        most: processes at once.
    """

    def __init__(self, most: int) -> None:
        self._room = Room(most, _BUSY)
        self._idle: list[DecodingProcess] = []
        self._all: set[DecodingProcess] = set()
        self._lock = threading.Lock()

    def resize(self, most: int) -> None:
        """Allow as many at once."""
        self._room.resize(most)

    def warm(self) -> None:
        """Have one ready; its start goes on while the caller does something else."""
        with self._lock:
            if not self._idle:
                self._idle.append(self._start())

    def prepare(self) -> None:
        """Have one ready, and wait until it is; while all are at work, until one is free.

        Raises:
            BusyError: none can be started.
        """
        # In the room, as who asks: else one more than are allowed is started beside those at work.
        with self._room.take(1):
            process = self._take()
            try:
                process.wait_until_ready()
            except BaseException:
                self._end(process)
                raise
            with self._lock:
                self._idle.append(process)

    def ask(
        self, job: Job, file: int, limit_s: float, patience_s: float | None
    ) -> tuple[Answer, int | None, float]:
        """An answer, the descriptor of its memory (the caller's to close), and the seconds it took.

        Raises:
            TimeoutError, ProcessDied: as DecodingProcess.ask; the process is replaced.
            BusyError: all are busy for too long, none can be started, or the computer is busy.
        """
        with self._room.take(1, patience_s):
            process = self._take()
            try:
                process.wait_until_ready()
                begin_s = time.monotonic()
                answer, memory = process.ask(job, file, limit_s, hurried=patience_s is not None)
            except BaseException:
                self._replace(process)
                raise
            if process.is_worn(answer):
                self._replace(process)
            else:
                with self._lock:
                    self._idle.append(process)
            return answer, memory, time.monotonic() - begin_s

    def _take(self) -> DecodingProcess:
        with self._lock:
            waiting = self._idle.pop() if self._idle else None
        if waiting is not None and waiting.is_alive():
            return waiting
        if waiting is not None:
            self._end(waiting)
        return self._start()

    def _replace(self, process: DecodingProcess) -> None:
        self._end(process)
        with suppress(BusyError):
            self.warm()

    def close(self) -> None:
        """End those that wait."""
        with self._lock:
            idle, self._idle = self._idle, []
        for process in idle:
            self._end(process)

    def pids(self) -> list[int]:
        """Numbers of the processes."""
        return [process.pid for process in list(self._all)]

    def forget(self) -> None:
        """After a fork: they are the parent's, and must not outlive it because of us."""
        for process in self._all:
            process.abandon()
        self._idle, self._all, self._lock = [], set(), threading.Lock()
        self._room = Room(self._room.capacity, _BUSY)

    def _start(self) -> DecodingProcess:
        process = DecodingProcess()
        self._all.add(process)
        return process

    def _end(self, process: DecodingProcess) -> None:
        process.end()
        self._all.discard(process)


decoders = Decoders(2)
atexit.register(decoders.close)
os.register_at_fork(after_in_child=decoders.forget)


def peak_memory_mb() -> float:
    """Largest resident memory of the decoding processes so far, all together, in 1e6 bytes."""
    texts = [Path(f"/proc/{pid}/status").read_text() for pid in decoders.pids()]
    lines = [line.split() for text in texts for line in text.splitlines()]
    return sum(int(line[1]) * 1024 / 1e6 for line in lines if line[0] == "VmHWM:")


def configure(most: int) -> None:
    """Allow so many decoding processes at once, and have one ready."""
    decoders.resize(most)
    decoders.warm()


def wait_until_ready() -> None:
    """Wait for the start of a decoding process, if none is ready.

    Raises:
        BusyError: none can be started.
    """
    decoders.prepare()
