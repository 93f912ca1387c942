"""Controls against the ranges of a camera."""

from device.camera.base import CameraControls, ControlRanges
from device.errors import CameraError

UNITS = {"exposure_s": " s", "gain": "", "red_gain": "", "blue_gain": "", "average_frames": ""}


def out_of_range(name: str, value: float, ranges: ControlRanges) -> str | None:
    """A sentence when the camera does not take this value, else None."""
    low, high = getattr(ranges, name)
    if low <= value <= high:
        return None
    unit = UNITS[name]
    return f"{name} must be {low:g} to {high:g}{unit} for this camera; {value:g}{unit} was asked."


def check_controls(controls: CameraControls, ranges: ControlRanges) -> None:
    """Raise CameraError with a sentence for the first control that is out of range."""
    for name in controls.__struct_fields__:
        if sentence := out_of_range(name, getattr(controls, name), ranges):
            raise CameraError(sentence)
