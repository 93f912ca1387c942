"""Files to frames: PNG, JPEG, TIFF and OME-TIFF; 8 and 16 bit; grey, colour, several channels and planes.

frame = read_frame(path)                                # refused where the file holds several planes
frame = read_frame(path, Reading(channel="CTb", z=3))   # or the one that is meant
frame.taken                                             # what was taken, and how its samples were understood
"""

import hashlib
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, cast

import numpy as np

from device.counting.reading import AS_THE_FILE_SAYS, Reading
from device.counting.records import Frame, ImageArray, Taken, as_three_channels
from device.errors import InputError
from device.imageio.annotations import Drawings, find_drawings
from device.imageio.decoded import (
    MAX_SIDE_PX,
    MIN_SIDE_PX,
    RASTER_STARTS,
    TIFF_STARTS,
    Decoded,
    not_an_image,
    refuse_kept_apart,
    unreadable,
)
from device.imageio.labels import is_label_image
from device.imageio.levels import Levels, find_levels
from device.imageio.raster import decode_raster
from device.imageio.vendor import decode_vendor, vendor_suffix
from device.machine.files import display_name

__all__ = ["IMAGE_SUFFIXES", "MAX_SIDE_PX", "MIN_SIDE_PX", "decode_frame", "read_frame"]

IMAGE_SUFFIXES = frozenset(
    {".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".tif", ".tiff", ".btf", ".tf8", ".lsm", ".stk"}
)
"""Suffixes searched for in folders; a file given by name is recognised by its content."""


def read_frame(path: Path, reading: Reading = AS_THE_FILE_SAYS) -> Frame:
    """Read an image file.

    Args:
        path: the file.
        reading: which of its pictures, and the range of its samples.

    Raises:
        InputError: missing, unreadable, not an image we take, damaged, outside the size limits, or several
            pictures and no choice.
    """
    name = display_name(path.name)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise unreadable(name, error) from None
    return decode_frame(data, name, reading)


def decode_frame(
    data: bytes,
    name: str,
    reading: Reading = AS_THE_FILE_SAYS,
    look_ahead: Callable[[ImageArray], None] | None = None,
) -> Frame:
    """Decode an image that is already in memory.

    Args:
        data: the file's bytes.
        name: for results and messages.
        reading: which of its pictures, and the range of its samples.
        look_ahead: called in a thread with samples (height, width) or (height, width, 3) that the frame's image will
            have unless they need a change, while it is found out what they show.

    Raises:
        InputError: as `read_frame`.
    """
    # Decoders and digests both let other threads run; a Pi's processor has no instructions for the digest.
    with ThreadPoolExecutor(1) as pool:
        digest = pool.submit(hashlib.sha256, data)
        decoded = _decode(data, name, reading)
        seen = None if look_ahead is None else pool.submit(look_ahead, decoded.samples)
        frame = _frame(decoded, name, digest, reading)
        if seen is not None:
            seen.result()
    return frame


def _frame(decoded: Decoded, name: str, digest: Future[Any], reading: Reading) -> Frame:
    reasons = dict(decoded.hidden)
    drawn = find_drawings(_as_light(decoded), tuple(reasons.values()), decoded.lossy)
    if drawn.certain is not None:
        reasons["annotations"] = drawn.certain
    ignored = np.logical_or.reduce(list(reasons.values())) if reasons else None
    if ignored is not None and ignored.all():
        raise InputError(
            f"{name} shows nothing: all of it is transparent or missing. Save it without transparency, "
            "or copy it again."
        )
    unsure = [mask for mask in (ignored, drawn.possible) if mask is not None]
    levels = find_levels(decoded, reading, ~np.logical_or.reduce(unsure) if unsure else None)
    channels = 1 if levels.samples.ndim == 2 else 3
    size = decoded.pixel_size
    return Frame(
        image=levels.samples if channels == 3 else as_three_channels(levels.samples),
        source=name,
        sha256=digest.result().hexdigest(),
        bits=levels.bits,
        channels=channels,
        # The square pixel of the same area: areas and densities stay right where a pixel is no square.
        pixel_size_um=None if size is None else float(np.sqrt(size.x_um * size.y_um)),
        taken=_note_taken(decoded, levels, reading, (ignored, tuple(reasons)), drawn),
        ignored=ignored,
    )


def _as_light(decoded: Decoded) -> ImageArray:
    """Samples in which more is brighter, whatever their range."""
    if not decoded.inverted:
        return decoded.samples
    return cast(ImageArray, decoded.samples.max() - decoded.samples)


def _note_taken(
    decoded: Decoded,
    levels: Levels,
    reading: Reading,
    left_out: tuple[np.ndarray | None, tuple[str, ...]],
    drawn: Drawings,
) -> Taken:
    """`left_out`: which pixels, and why."""
    size = decoded.pixel_size
    ignored, reasons = left_out
    return Taken(
        asked=reading,
        channel=decoded.channel,
        plane=decoded.plane,
        offset=levels.offset,
        full_scale=levels.full_scale,
        range_from=levels.range_from,
        used_share=round(levels.used_share, 4),
        pixel_size_from="" if size is None else size.source,
        pixel_aspect=1.0 if size is None else round(size.y_um / size.x_um, 4),
        ignored_px=0 if ignored is None else int(ignored.sum()),
        ignored_for=reasons,
        maybe_drawn=drawn.places(),
        label_image=is_label_image(decoded.samples),
        exposure_s=decoded.exposure_s,
        notes=decoded.notes,
    )


def _decode(data: bytes, name: str, reading: Reading) -> Decoded:
    refuse_kept_apart(name)
    if data[:4] in TIFF_STARTS:
        from device.imageio.tiff import decode_tiff

        return decode_tiff(data, name, reading)
    for start, kind in RASTER_STARTS.items():
        if data.startswith(start):
            return decode_raster(data, name, kind, reading)
    suffix = vendor_suffix(data)
    if suffix is not None:
        return decode_vendor(data, name, suffix, reading)
    raise not_an_image(name, empty=not data)
