"""The device's clock, which may be wrong until the network has set it."""

import time
from functools import cache
from pathlib import Path

STEP_S = 5.0
"""A later change of the clock by more than this marks the counts made before it."""

now_s = time.time


def boot_s() -> float:
    """Seconds since the machine was started; never steps."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


@cache
def boot_id() -> str:
    """Names this run of the machine: `boot_s` values compare only within one."""
    return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
