"""Converts libcamera's controls, metadata and pixel layout to fluocount's units."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from device.camera.base import CameraControls, ControlRanges, PreviewImage, SensorField
from device.camera.ranges import LABELS
from device.errors import CameraError

_US = 1_000_000
_FASTEST_FRAME_US = 100_000
_SLOWEST_FRAME_US = 1_000_000_000
"""Ten frames per second are enough for focusing and keep the Pi cool; a lower limit on the slow side
would cut long exposures short."""

_MONO_GAINS = (1.0, 1.0)


def ranges_of(controls: Mapping[str, tuple[Any, Any, Any]]) -> ControlRanges:
    """Ranges from `Picamera2.camera_controls`, a mapping of name to (lowest, highest, default).

    Raises:
        CameraError: the camera has no fixed exposure (USB cameras under libcamera).
    """
    missing = [name for name in ("ExposureTime", "AnalogueGain") if name not in controls]
    if missing:
        raise CameraError(
            f"This camera has no control for {' and '.join(missing)}; connect a camera by ribbon cable, "
            "USB cameras are not supported."
        )
    low_us, high_us = controls["ExposureTime"][:2]
    low_gain, high_gain = controls["AnalogueGain"][:2]
    colour = controls.get("ColourGains")
    # The lowest colour gain that libcamera names is 0, which would switch the channel off.
    gains = (0.1, _largest(colour[1])) if colour else _MONO_GAINS
    return ControlRanges(
        exposure_s=(max(1, low_us) / _US, (high_us or _SLOWEST_FRAME_US) / _US),
        gain=(float(low_gain), float(high_gain)),
        red_gain=gains,
        blue_gain=gains,
    )


def libcamera_controls(controls: CameraControls, offered: Mapping[str, Any]) -> dict[str, Any]:
    """The values for `Picamera2.set_controls` before the start, with everything automatic off."""
    wanted = {
        "AeEnable": False,
        "AwbEnable": False,
        "ExposureTime": round(controls.exposure_s * _US),
        "AnalogueGain": controls.gain,
        "ColourGains": (controls.red_gain, controls.blue_gain),
        "FrameDurationLimits": (_FASTEST_FRAME_US, _SLOWEST_FRAME_US),
    }
    # A monochrome sensor has no colour controls; exposure and gain were checked by ranges_of.
    return {name: value for name, value in wanted.items() if name in offered}


def actual_controls(metadata: Mapping[str, Any], asked: CameraControls) -> CameraControls:
    """The real controls of a frame; digital gain is part of the gain, mono sensors keep the requested colour."""
    red, blue = metadata.get("ColourGains", (asked.red_gain, asked.blue_gain))
    return CameraControls(
        exposure_s=metadata["ExposureTime"] / _US,
        gain=float(metadata["AnalogueGain"]) * float(metadata.get("DigitalGain", 1.0)),
        red_gain=float(red),
        blue_gain=float(blue),
    )


def difference(metadata: Mapping[str, Any], asked: CameraControls) -> str:
    """How a frame differs from the request, as one clause; empty if it does not.

    Sensors expose in whole lines and amplify in steps, and libcamera makes up for what is missing
    with digital gain. So the exposure may differ by 2 % or 0.1 ms, and what counts for brightness,
    exposure times all gains, by 5 %: a very short exposure of 0.06 ms becomes two lines of 0.019 ms
    with a digital gain of 1.6.
    """
    real = actual_controls(metadata, asked)
    made_up = real.exposure_s / asked.exposure_s
    pairs = {
        "exposure_s": (real.exposure_s, max(0.02 * asked.exposure_s, 1e-4)),
        "gain": (real.gain * made_up, 0.05 * asked.gain),
        "red_gain": (real.red_gain, 0.02 * asked.red_gain),
        "blue_gain": (real.blue_gain, 0.02 * asked.blue_gain),
    }
    wrong = [
        f"{LABELS[name]} {value:.4g} instead of {getattr(asked, name):.4g}"
        for name, (value, tolerance) in pairs.items()
        if abs(value - getattr(asked, name)) > tolerance
    ]
    return ", ".join(wrong)


def sensor_field(
    configuration: Mapping[str, Any],
    controls: Mapping[str, Any],
    properties: Mapping[str, Any],
    metadata: Mapping[str, Any] | None = None,
) -> SensorField | None:
    """Which part of the sensor is seen, from what picamera2 says after `configure`.

    Args:
        configuration: `camera_configuration()`; `sensor` holds the mode.
        controls: `camera_controls`; the highest `ScalerCrop` is all that the mode sees.
        properties: `camera_properties`; `PixelArrayActiveAreas` is the whole sensor.
        metadata: of a frame, for its own crop; None for all that the mode sees.

    Returns:
        None where the camera does not say (libcamera's virtual one).
    """
    areas, crop = properties.get("PixelArrayActiveAreas"), controls.get("ScalerCrop")
    mode = (configuration.get("sensor") or {}).get("output_size")
    if not areas or not crop or not mode:
        return None
    seen = (metadata or {}).get("ScalerCrop") or crop[1]
    return SensorField(mode_px=tuple(mode), crop_px=tuple(seen), full_px=tuple(areas[0][2:]))


def sees_everything(field: SensorField | None) -> bool:
    """The mode crops nothing: within 1 %, since drivers leave out a few border pixels."""
    if field is None:
        return True
    return all(
        seen >= 0.99 * full for seen, full in zip(field.crop_px[2:], field.full_px, strict=True)
    )


def order_modes(sizes: Iterable[tuple[int, int]], wanted: tuple[int, int]) -> list[tuple[int, int]]:
    """Sensor modes worth trying: the smallest that covers the picture first, the rest from the largest."""
    unique = sorted(set(sizes), key=lambda size: size[0] * size[1])
    covering = [size for size in unique if size[0] >= wanted[0] and size[1] >= wanted[1]]
    return covering + [size for size in reversed(unique) if size not in covering]


def yuv420_to_rgb(planes: npt.NDArray[np.uint8], width: int, height: int) -> PreviewImage:
    """Convert picamera2's YUV420 array to RGB.

    Args:
        planes: (height * 3 / 2, stride) uint8: full-range Y, then U and V at half size, two of
            their rows in each row; rows may be padded to the stride.
        width, height: of the picture; height is a multiple of 4.

    Returns:
        (height, width, 3) uint8 RGB.
    """
    stride = planes.shape[1]
    luma = Image.fromarray(np.ascontiguousarray(planes[:height, :width]))
    half = planes[height:].reshape(2, height // 2, stride // 2)[:, :, : width // 2]
    chroma = [
        Image.fromarray(np.ascontiguousarray(plane)).resize((width, height), Image.Resampling.BOX)
        for plane in half
    ]
    return np.asarray(Image.merge("YCbCr", (luma, *chroma)).convert("RGB"))


def _largest(limit: Any) -> float:
    """The upper limit of ColourGains, given as one number or as one per channel."""
    return float(np.min(limit)) or 32.0
