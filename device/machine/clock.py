"""The clock of the device, which may be wrong until the network has set it, and the stopwatch of a count."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

from device.counting.records import Seconds


class Stopwatch:
    """Wall time per stage, in seconds."""

    def __init__(self) -> None:
        self._start = time.perf_counter()
        self._stages: dict[str, float] = {}

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Add the time spent inside to a stage of `Seconds`."""
        begin = time.perf_counter()
        try:
            yield
        finally:
            spent = time.perf_counter() - begin
            self._stages[name] = self._stages.get(name, 0.0) + spent

    def seconds(self) -> Seconds:
        """All stages so far; total since the stopwatch was made."""
        stages = {name: round(spent, 4) for name, spent in self._stages.items()}
        return Seconds(**stages, total=round(time.perf_counter() - self._start, 4))


def local_time(seconds: float | None, correction_s: float | None = None) -> str:
    """Seconds since 1970 as ISO 8601 in the local time zone with its offset; empty for None."""
    if seconds is None:
        return ""
    moment = datetime.fromtimestamp(seconds + (correction_s or 0.0)).astimezone()
    return moment.isoformat(timespec="seconds")


STEP_S = 5.0
"""If the clock later changes by more than this, the dates of earlier counts are corrected."""

now_s = time.time


def boot_s() -> float:
    """Seconds since the machine was started; never steps."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


@cache
def boot_id() -> str:
    """Id of this run of the machine; `boot_s` values are comparable only within one run."""
    return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()


def utc_text(moment: str) -> str:
    """An ISO 8601 time as every program reads it: UTC, without a zone, seconds; empty for none.

    pandas, R and Excel refuse or misread a column whose offset changes with summer time.
    """
    if not moment:
        return ""
    return datetime.fromisoformat(moment).astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S")
