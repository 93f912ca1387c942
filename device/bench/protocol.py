"""The messages between the benchmark and its worker processes: one JSON object per line.

A worker sends Hello, then answers each Job with a Timing. Its standard output is for these messages only; output of
libraries goes to standard error.
"""

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TextIO

import msgspec

from device.counting.records import Seconds


class Job(msgspec.Struct, frozen=True):
    """One frame to count.

    Attributes:
        image: path of the file.
        out: folder for overlay and tables.
    """

    image: str
    out: str


class Hello(msgspec.Struct, frozen=True, kw_only=True):
    """The message of a worker that is ready.

    Attributes:
        name: of the model.
        limit_gmac_s: rate of a plain int8 matrix product in its interpreter, 1e9 multiply-accumulates per second;
            None where it has no such interpreter.
    """

    name: str
    limit_gmac_s: float | None = None


class Timing(msgspec.Struct, frozen=True, kw_only=True):
    """One frame counted.

    Attributes:
        seconds: wall time by stage, and in all from opening the file to the last file written.
        cpu_s: processor time of all the process's threads.
        count: cells.
        peak_mb: largest resident memory of the process so far, 1e6 bytes.
        gmac: multiply-accumulates, overlap included, in 1e9; 0 where unknown.
        computed_px, frame_px: pixels the network computed, and those of the frame at the network's scale.
        diameter_s: wall time of estimating the cell diameter, which a count takes besides where it is not set; None
            where nothing estimates it.
    """

    seconds: Seconds
    cpu_s: float
    count: int
    peak_mb: float
    gmac: float = 0.0
    computed_px: int = 0
    frame_px: int = 0
    diameter_s: float | None = None


def peak_memory_mb() -> float:
    """VmHWM of this process in 1e6 bytes; it belongs to the program since its start, unlike ru_maxrss."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024 / 1e6
    raise RuntimeError("The kernel does not report peak memory (VmHWM in /proc/self/status).")


def own_stdout() -> TextIO:
    """Standard output for the messages; everything else that is printed goes to standard error."""
    sys.stdout.flush()
    conversation = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    return conversation


def answer_jobs(conversation: TextIO, hello: Hello, count: Callable[[Job], Timing]) -> None:
    """Send Hello and answer every job until standard input ends."""
    _say(conversation, hello)
    for line in sys.stdin.buffer:
        _say(conversation, count(msgspec.json.decode(line, type=Job)))


def _say(conversation: TextIO, message: msgspec.Struct) -> None:
    conversation.write(msgspec.json.encode(message).decode() + "\n")
    conversation.flush()
