"""What a person chose for the camera, kept over a restart and a power cut."""

import logging
import threading
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from device.camera.base import MAX_AVERAGE_FRAMES, CameraControls, ControlRanges
from device.camera.ranges import LABELS, out_of_range
from device.config import CameraSettings
from device.counting.records import DECODE_ERRORS
from device.errors import InputError
from device.machine.files import write_atomic

_log = logging.getLogger(__name__)
_WRITING = threading.Lock()
T = TypeVar("T")


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
    kept = _read(path)
    if kept is None or kept.controls is None:
        return start
    frames = kept.average_frames
    if not 1 <= frames <= MAX_AVERAGE_FRAMES or min(msgspec.structs.astuple(kept.controls)) <= 0:
        _log.warning(
            "%s contains impossible values; the values of the settings file are used.", path
        )
        return start
    return Wanted(controls=kept.controls, average_frames=frames)


def save_wanted(wanted: Wanted, path: Path | None) -> None:
    """Save the choice. If that fails, it lasts until the restart and the log says so."""
    _update(path, controls=wanted.controls, average_frames=wanted.average_frames)


def load_scale(path: Path, kind: type[T]) -> T | None:
    """What the pixel size was set for, None where that is not known."""
    kept = _read(path)
    try:
        return None if kept is None or kept.scale is None else msgspec.convert(kept.scale, kind)
    except msgspec.ValidationError as error:
        _log.warning("%s does not say what the pixel size was set for: %s", path, error)
        return None


def save_scale(scale: msgspec.Struct, path: Path) -> None:
    """Save what the pixel size was set for."""
    _update(path, scale=msgspec.to_builtins(scale))


class _Kept(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The file: controls once somebody changed them, and what the pixel size was set for."""

    controls: CameraControls | None = None
    average_frames: int = 1
    scale: dict[str, Any] | None = None


def _read(path: Path | None) -> _Kept | None:
    if path is None or not path.exists():
        return None
    try:
        return msgspec.json.decode(path.read_bytes(), type=_Kept)
    except (OSError, *DECODE_ERRORS) as error:
        _log.warning(
            "%s cannot be used (%s); the values of the settings file are used.", path, error
        )
        return None


def _update(path: Path | None, **values: Any) -> None:
    if path is None:
        return
    with _WRITING:
        kept = msgspec.structs.replace(_read(path) or _Kept(), **values)
        try:
            write_atomic(path, msgspec.json.encode(kept) + b"\n")
        except OSError as error:
            _log.warning("What was chosen for the camera is not saved in %s: %s", path, error)


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
