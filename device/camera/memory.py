"""Camera controls that survive a restart and a power cut."""

import logging
from pathlib import Path

import msgspec

from device.camera.base import MAX_AVERAGE_FRAMES, CameraControls, ControlRanges
from device.camera.ranges import LABELS, out_of_range
from device.config import CameraSettings
from device.counting.records import DECODE_ERRORS
from device.errors import InputError
from device.machine.files import write_atomic

_log = logging.getLogger(__name__)


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """The controls that a person chose.

    Attributes:
        controls: exposure and gains.
        average_frames: 1 to 64.
    """

    controls: CameraControls
    average_frames: int


def load_wanted(settings: CameraSettings, path: Path | None) -> Wanted:
    """The controls chosen last, or those of the settings; the log names a damaged file."""
    start = Wanted(
        controls=CameraControls(
            exposure_s=settings.exposure_s,
            gain=settings.gain,
            red_gain=settings.red_gain,
            blue_gain=settings.blue_gain,
        ),
        average_frames=settings.average_frames,
    )
    if path is None or not path.exists():
        return start
    try:
        wanted = msgspec.json.decode(path.read_bytes(), type=Wanted)
    except (OSError, *DECODE_ERRORS) as error:
        _log.warning(
            "%s cannot be used (%s); the values of the settings file are used.", path, error
        )
        return start
    if (
        not 1 <= wanted.average_frames <= MAX_AVERAGE_FRAMES
        or min(msgspec.structs.astuple(wanted.controls)) <= 0
    ):
        _log.warning("%s holds impossible values; the values of the settings file are used.", path)
        return start
    return wanted


def save_wanted(wanted: Wanted, path: Path | None) -> None:
    """Save the choice. If that fails, it lasts until the restart and the log says so."""
    if path is None:
        return
    try:
        write_atomic(path, msgspec.json.encode(wanted) + b"\n")
    except OSError as error:
        _log.warning("The camera's controls could not be saved in %s: %s", path, error)


def change_wanted(wanted: Wanted, values: dict[str, float], ranges: ControlRanges | None) -> Wanted:
    """The choice with some values replaced.

    Raises:
        InputError: unknown name, or a value that the camera does not support.
    """
    known = ControlRanges.__struct_fields__
    for name, value in values.items():
        if name not in known:
            raise InputError(f"There is no camera control {name}; there are {', '.join(known)}.")
        if not value > 0:
            raise InputError(f"The {LABELS[name]} must be above zero, not {value:g}.")
        if ranges is not None and (sentence := out_of_range(name, value, ranges)):
            raise InputError(sentence)
    frames = values.get("average_frames", wanted.average_frames)
    if not 1 <= frames <= MAX_AVERAGE_FRAMES or frames != int(frames):
        raise InputError(
            f"The {LABELS['average_frames']} must be a whole number from 1 to {MAX_AVERAGE_FRAMES}, "
            f"not {frames:g}."
        )
    controls = {name: value for name, value in values.items() if name != "average_frames"}
    return Wanted(
        controls=msgspec.structs.replace(wanted.controls, **controls), average_frames=int(frames)
    )
