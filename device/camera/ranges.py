"""Compare controls with the ranges of a camera."""

from device.camera.base import CameraControls, ControlRanges
from device.errors import CameraError

LABELS = {
    "exposure_s": "exposure",
    "gain": "gain",
    "red_gain": "red gain",
    "blue_gain": "blue gain",
    "average_frames": "number of frames to average",
}
"""What a person reads for each control."""


def out_of_range(name: str, value: float, ranges: ControlRanges) -> str | None:
    """A sentence when the camera does not support this value, else None."""
    low, high = getattr(ranges, name)
    if low <= value <= high:
        return None
    unit = " s" if name == "exposure_s" else ""
    return f"The {LABELS[name]} must be {low:g} to {high:g}{unit} for this camera, not {value:g}{unit}."


def check_controls(controls: CameraControls, ranges: ControlRanges) -> None:
    """Raise CameraError with a sentence for the first control that is out of range."""
    for name in controls.__struct_fields__:
        if sentence := out_of_range(name, getattr(controls, name), ranges):
            raise CameraError(sentence)
