"""What the processor is good at."""

import re
from functools import cache
from pathlib import Path

CPUINFO = Path("/proc/cpuinfo")
_FAST_INT8 = "avx512_vnni"
"""The only instructions on which wide stages were measured; others multiply with their zeros at an unknown price."""


@cache
def multiplies_int8_fast(cpuinfo: Path = CPUINFO) -> bool:
    """Whether products of int8 cost so little here that the wide form of a network's stages (convert.wide) pays.

    False where the system does not tell.
    """
    try:
        told = cpuinfo.read_text(errors="replace")
    except OSError:
        return False
    return re.search(rf"^flags\s*:.*\b{_FAST_INT8}\b", told, re.MULTILINE) is not None
