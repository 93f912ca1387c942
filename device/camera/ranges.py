"""Compare controls with the ranges of a camera."""

import msgspec

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


def fit_controls(controls: CameraControls, ranges: ControlRanges) -> CameraControls:
    """The controls, each brought to the nearest value that the camera supports."""
    fitted = {
        name: min(max(value, getattr(ranges, name)[0]), getattr(ranges, name)[1])
        for name, value in msgspec.structs.asdict(controls).items()
    }
    return CameraControls(**fitted)


def tell_fitted(asked: CameraControls, used: CameraControls) -> str:
    """One sentence about the controls that the camera does not support, empty when it does all."""
    pairs = {
        name: (getattr(used, name), getattr(asked, name), " s" if name == "exposure_s" else "")
        for name in CameraControls.__struct_fields__
        if getattr(used, name) != getattr(asked, name)
    }
    if not pairs:
        return ""
    changed = ", ".join(
        f"{LABELS[name]} {now:.4g}{unit} instead of {wanted:.4g}{unit}"
        for name, (now, wanted, unit) in pairs.items()
    )
    return f"This camera does not support all settings; it uses {changed}."
