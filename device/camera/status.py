"""What the camera's owner reports to the page, the API and the status LED."""

from typing import Literal

import msgspec

from device.camera.base import ControlRanges

State = Literal["none", "missing", "opening", "ready", "exposing", "busy", "lost", "error"]


class CameraStatus(msgspec.Struct, frozen=True, kw_only=True):
    """The present state of the camera.

    Attributes:
        state: `none` not configured, `missing` not found, `opening`, `ready`, `exposing` a capture
            is running, `busy` used by another program, `lost` sends no pictures, `error`.
        text: for people: what is wrong, or what a `ready` camera does otherwise than was asked; empty
            when all is well.
        kind: `pi`, `simulated` or `none`.
        model: name of the sensor, None before it was opened.
        width_px, height_px: size of a captured frame.
        exposure_s, gain, red_gain, blue_gain, average_frames: for the next capture.
        ranges: (lowest, highest) of those, None before the camera was opened.
        retry_in_s: seconds until it is opened again, None if that is not planned.
        saturated_fraction: pixels of the last picture with a channel at full scale, 0 to 1.
        focus_score: variance of the Laplacian of the last preview over its mean signal; higher is
            sharper, comparable only within one field of view.
        preview_age_s: how old the last preview is.
        captures: number of successful captures since the start.
    """

    state: State
    text: str
    kind: str
    model: str | None
    width_px: int
    height_px: int
    exposure_s: float
    gain: float
    red_gain: float
    blue_gain: float
    average_frames: int
    ranges: ControlRanges | None
    retry_in_s: float | None
    saturated_fraction: float | None
    focus_score: float | None
    preview_age_s: float | None
    captures: int
