"""The worker processes, as the benchmark sees them."""

import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Self, TypeVar

import msgspec

from device.bench.protocol import Hello, Job, Timing
from device.errors import FluocountError

_M = TypeVar("_M", Hello, Timing)


class BenchError(FluocountError):
    """A worker process stopped or cannot start."""


def run_child(label: str, arguments: list[str]) -> str:
    """What a `python` prints that runs to its end.

    Args:
        label: what it measures, for the message.
        arguments: of `python`.

    Raises:
        BenchError: it failed, or printed nothing; the sentence ends with its last output.
    """
    done = subprocess.run(
        [sys.executable, *arguments], capture_output=True, text=True, errors="replace", check=False
    )
    if done.returncode or not done.stdout:
        raise BenchError(
            f"The benchmark of {label} stopped: {_last_line(done.stderr, done.returncode)}"
        )
    return done.stdout


def _last_line(printed: str, status: int) -> str:
    lines = printed.strip().splitlines()
    return lines[-1] if lines else f"exit status {status}, no message."


class Child:
    """One worker process that waits for jobs.

    Args:
        label: how tables name it.
        arguments: of `python`, e.g. ["-m", "device.bench.worker", "fast.tflite", "2"].

    Raises:
        BenchError: it stops before it sends Hello; the sentence ends with its last output.
    """

    def __init__(self, label: str, arguments: list[str]) -> None:
        self.label = label
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115 - closed in __exit__
        self._process = subprocess.Popen(
            [sys.executable, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._stderr,
        )
        self.hello = self._listen(Hello)

    def count(self, image: Path, out: Path) -> Timing:
        """Let it count one frame and wait for it."""
        assert self._process.stdin is not None
        job = Job(image=str(image), out=str(out))
        self._process.stdin.write(msgspec.json.encode(job) + b"\n")
        self._process.stdin.flush()
        return self._listen(Timing)

    def _listen(self, kind: type[_M]) -> _M:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise BenchError(f"The benchmark of {self.label} stopped: {self._last_words()}")
        return msgspec.json.decode(line, type=kind)

    def _last_words(self) -> str:
        status = self._process.wait()
        self._stderr.seek(0)
        return _last_line(self._stderr.read().decode(errors="replace"), status)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *error: object) -> None:
        """End the worker: it stops when its input ends, or is killed if the benchmark failed."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        if kind is not None:
            self._process.kill()
        self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait()
        self._stderr.close()
