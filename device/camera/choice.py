"""Which camera is used."""

import importlib.util
from pathlib import Path

import msgspec

from device.camera.base import Camera
from device.camera.none import NoCamera
from device.config import CameraSettings
from device.machine.crashes import TOO_OFTEN

_BOARD = Path("/proc/device-tree/model")


def open_camera(settings: CameraSettings) -> Camera:
    """Create the camera that the settings name; its `open` uses the hardware first.

    `auto` is the Raspberry Pi's camera on a Raspberry Pi or where picamera2 is installed, and the
    simulated one on any other computer. On a Pi it is never the simulated one, so that a loose
    cable cannot produce cells that do not exist.
    """
    kind = settings.kind
    if kind == "auto":
        kind = "pi" if importlib.util.find_spec("picamera2") or _is_raspberry_pi() else "simulated"
    if kind == "pi":
        from device.camera.process import ProcessCamera

        return ProcessCamera(settings)
    if kind == "simulated":
        from device.camera.simulated import SimulatedCamera

        return SimulatedCamera(settings)
    return NoCamera()


def safe_camera(settings: CameraSettings, crashes: int) -> tuple[CameraSettings, str | None]:
    """The camera to use after so many crashes in a row, and what to say when that is none."""
    if crashes < TOO_OFTEN or settings.kind == "none":
        return settings, None
    return msgspec.structs.replace(settings, kind="none"), (
        f"The program crashed {crashes} times in a row, so it now runs without the camera; uploads are "
        "counted. Check the ribbon cable, then switch the box off and on."
    )


def _is_raspberry_pi() -> bool:
    return _BOARD.is_file() and "Raspberry Pi" in _BOARD.read_text(errors="replace")
