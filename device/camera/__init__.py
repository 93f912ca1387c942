"""Cameras: one Protocol, three implementations, one owner thread."""

from device.camera.base import Camera, CameraControls, Capture, ControlRanges
from device.camera.choice import open_camera, safe_camera
from device.camera.owner import CameraThread
from device.camera.pictures import capture_tiff
from device.camera.status import CameraStatus

__all__ = [
    "Camera",
    "CameraControls",
    "CameraStatus",
    "CameraThread",
    "Capture",
    "ControlRanges",
    "capture_tiff",
    "open_camera",
    "safe_camera",
]
