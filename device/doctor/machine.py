"""Checks of the machine: system, Python, memory, temperature and power, clock, devices."""

import os
import platform
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from device.doctor.verdict import Check, Patient, Verdict, failure, ok, warning
from device.machine import system

TESTED_RELEASES = ("bookworm", "trixie")
HOT_C = 80.0
"""The Pi's firmware slows the processor down from here."""
_DEVICES = ("video*", "media*", "dma_heap/*", "gpiochip*", "vcio")
_INTERPRETERS = ("ai-edge-litert", "tflite-runtime")


def check_system(patient: Patient) -> Verdict:
    """Operating system and processor."""
    release = _os_release(patient.root)
    board = system.pi_model(patient.root)
    found = f"{release.get('PRETTY_NAME', 'unknown system')}, {platform.machine()}"
    found += f", {board}" if board else ""
    if sys.maxsize <= 2**32:
        return failure(f"{found}: a 32-bit system", "Install the 64-bit Raspberry Pi OS Lite.")
    if release.get("VERSION_CODENAME") not in TESTED_RELEASES:
        return warning(
            found, "fluocount is tested on Raspberry Pi OS and Debian, Bookworm and Trixie."
        )
    return ok(found)


def check_python(_patient: Patient) -> Verdict:
    """Python, the TFLite interpreter and numpy."""
    import numpy as np

    from device.models.interpreter import interpreter_class

    interpreter_class()
    found = [f"{name} {_version(name)}" for name in _INTERPRETERS if _version(name)]
    return ok(f"Python {platform.python_version()}, {', '.join(found)}, numpy {np.__version__}")


def check_memory(patient: Patient) -> Verdict:
    """Memory for a large frame."""
    memory = system.memory(patient.root)
    if memory is None:
        return ok("unknown on this machine")
    found = f"{memory.available_mb} of {memory.total_mb} MB available"
    wanted_mb = patient.settings.counting.max_memory_mb
    if memory.available_mb < wanted_mb:
        return warning(
            f"{found}, but one image may use {wanted_mb} MB",
            "Stop other programs, or lower the memory limit (docs/settings.md); then very large images are refused.",
        )
    if not system.memory_is_limited(patient.root):
        return Verdict(
            state="ok",
            found=f"{found}; this kernel cannot limit the memory of the service",
            todo="To limit it, add cgroup_enable=memory to the line in /boot/firmware/cmdline.txt.",
        )
    return ok(found)


def check_power(patient: Patient) -> Verdict:
    """Temperature, and problems with power and heat that the firmware reports."""
    temperature_c = system.temperature_c(patient.root)
    found = "temperature unknown" if temperature_c is None else f"{temperature_c:.0f} °C"
    state = system.throttling(patient.root)
    if temperature_c is not None and temperature_c >= HOT_C:
        return warning(f"{found}; the processor slows down", "Cool the board (fan, heat sink).")
    if state is None:
        return ok(f"{found}, throttling unknown (not a Raspberry Pi)")
    if state.now:
        return warning(f"{found}, now: {', '.join(state.now)}", _power_advice(state.now))
    if state.since_boot:
        return warning(
            f"{found}, since the start: {', '.join(state.since_boot)}",
            _power_advice(state.since_boot),
        )
    return ok(f"{found}, not throttled since the start")


def check_clock(_patient: Patient) -> Verdict:
    """Whether the network has set the clock."""
    synchronised = system.clock_synchronised()
    if synchronised is None:
        return ok("unknown whether the network sets the clock")
    if not synchronised:
        return warning(
            "not set by the network yet",
            "Nothing is lost: results keep their order, and their dates are corrected once the clock is set.",
        )
    return ok("set by the network")


def check_permissions(patient: Patient) -> Verdict:
    """Whether this user can open the devices."""
    folder = patient.root / "dev"
    devices = [path for pattern in _DEVICES for path in sorted(folder.glob(pattern))]
    closed = [path for path in devices if not os.access(path, os.R_OK | os.W_OK)]
    if closed:
        names = ", ".join(str(path) for path in closed)
        return warning(
            f"no access to {names}", "Add the user to the groups video and gpio, then log in again."
        )
    return ok(f"{len(devices)} camera and pin devices, all accessible" if devices else "no devices")


def _power_advice(words: tuple[str, ...]) -> str:
    if "under-voltage" in words:
        return "Use the official power supply and a short cable."
    return "Cool the board (fan, heat sink)."


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _os_release(root: Path) -> dict[str, str]:
    try:
        lines = (root / "etc/os-release").read_text(encoding="utf-8").splitlines()
    except OSError:
        return {}
    pairs = (line.partition("=") for line in lines if "=" in line)
    return {key: value.strip('"') for key, _, value in pairs}


MACHINE_CHECKS: dict[str, Check] = {
    "system": check_system,
    "python": check_python,
    "memory": check_memory,
    "power": check_power,
    "clock": check_clock,
    "permissions": check_permissions,
}
