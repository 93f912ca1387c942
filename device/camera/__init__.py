"""Cameras: one Protocol, three implementations, one owner thread."""

import importlib.util
from pathlib import Path

from device.camera.base import Camera, CameraControls, Capture, ControlRanges
from device.camera.none import NoCamera
from device.camera.owner import CameraThread
from device.camera.pictures import capture_tiff
from device.camera.status import CameraStatus
from device.config import CameraSettings

__all__ = [
    "Camera",
    "CameraControls",
    "CameraStatus",
    "CameraThread",
    "Capture",
    "ControlRanges",
    "capture_tiff",
    "open_camera",
]

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


def _is_raspberry_pi() -> bool:
    return _BOARD.is_file() and "Raspberry Pi" in _BOARD.read_text(errors="replace")
