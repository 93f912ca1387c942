"""State of the machine: temperature, throttling, memory, clock. Unknown values are None."""

import shutil
import subprocess
import time
from functools import lru_cache
from pathlib import Path

import msgspec

ROOT = Path("/")
_CPU_ZONES = ("cpu-thermal", "x86_pkg_temp")
_ASK_AGAIN_S = 10
_THROTTLING = ("under-voltage", "frequency capped", "throttled", "soft temperature limit")
"""Bits 0 to 3 of the firmware's word: now. The same sixteen higher: since boot."""


class Throttling(msgspec.Struct, frozen=True, kw_only=True):
    """Problems that the firmware of the Pi reports, in words; empty is good."""

    now: tuple[str, ...]
    since_boot: tuple[str, ...]


class Memory(msgspec.Struct, frozen=True, kw_only=True):
    """Memory of the machine in MB; `available` can be used without swapping."""

    total_mb: int
    available_mb: int


def temperature_c(root: Path = ROOT) -> float | None:
    """Temperature of the processor in degrees Celsius."""
    zones: dict[str, Path] = {}
    for zone in sorted((root / "sys/class/thermal").glob("thermal_zone*")):
        kind = _read(zone / "type")
        if kind is not None:
            zones.setdefault(kind, zone)
    for kind in (*_CPU_ZONES, *zones):
        if kind in zones:
            text = _read(zones[kind] / "temp")
            return None if text is None else int(text) / 1000
    return None


def throttling(root: Path = ROOT) -> Throttling | None:
    """The firmware's throttling word, or the kernel's under-voltage alarm; None off a Pi."""
    text = _output("vcgencmd", "get_throttled")  # "throttled=0x50005"
    if text is not None and text.startswith("throttled="):
        return parse_throttling(int(text.removeprefix("throttled="), 16))
    for monitor in sorted((root / "sys/class/hwmon").glob("hwmon*")):
        if _read(monitor / "name") == "rpi_volt":
            low = _read(monitor / "in0_lcrit_alarm") == "1"
            return Throttling(now=("under-voltage",) if low else (), since_boot=())
    return None


def parse_throttling(word: int) -> Throttling:
    """The words for the bits of `vcgencmd get_throttled`."""
    return Throttling(
        now=tuple(name for bit, name in enumerate(_THROTTLING) if word >> bit & 1),
        since_boot=tuple(name for bit, name in enumerate(_THROTTLING) if word >> (bit + 16) & 1),
    )


def memory(root: Path = ROOT) -> Memory | None:
    """Memory as the kernel reports it."""
    text = _read(root / "proc/meminfo")
    if text is None:
        return None
    kib = {line.split(":")[0]: int(line.split()[1]) for line in text.splitlines()}
    return Memory(
        total_mb=kib["MemTotal"] * 1024 // 1_000_000,
        available_mb=kib["MemAvailable"] * 1024 // 1_000_000,
    )


def memory_is_limited(root: Path = ROOT) -> bool:
    """False where the kernel's memory controller is off: systemd's MemoryMax= does nothing then.

    Raspberry Pi OS starts with `cgroup_disable=memory` on boards with little memory.
    """
    controllers = _read(root / "sys/fs/cgroup/cgroup.controllers")
    if controllers is not None:
        return "memory" in controllers.split()
    rows = [line.split() for line in (_read(root / "proc/cgroups") or "").splitlines()]
    return all(row[3] == "1" for row in rows if row[:1] == ["memory"] and len(row) > 3)


def clock_synchronised() -> bool | None:
    """True once the network has set the clock; None if systemd does not know."""
    answer = _output("timedatectl", "show", "--property=NTPSynchronized", "--value")
    return {"yes": True, "no": False}.get(answer or "")


def pi_model(root: Path = ROOT) -> str | None:
    """Model of the machine, such as "Raspberry Pi 4 Model B Rev 1.5"; None if unknown."""
    text = _read(root / "proc/device-tree/model")
    return None if text is None else text.rstrip("\0")


def conditions() -> dict[str, object]:
    """Conditions of a count, stored with the result."""
    state = throttling()
    return {
        "temperature_c": temperature_c(),
        "throttling": None if state is None else msgspec.to_builtins(state),
        "clock_synchronised": clock_synchronised(),
    }


def _read(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return None


def _output(*command: str) -> str | None:
    """What a command prints, asked at most every few seconds; None where it is absent or fails."""
    return _output_since(command, int(time.monotonic()) // _ASK_AGAIN_S)


@lru_cache(maxsize=8)
def _output_since(command: tuple[str, ...], _period: int) -> str | None:
    program = shutil.which(command[0])
    if program is None:
        return None
    try:
        done = subprocess.run(
            [program, *command[1:]], capture_output=True, text=True, timeout=5, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
