"""What ImageJ and the tags of a TIFF say about its channels and samples."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import tifffile

from device.errors import InputError
from device.imageio.ome import OmeImage
from device.imageio.pictures import Channel
from device.imageio.pixelsize import number


def imagej_channels(
    imagej: Mapping[str, Any], count: int, single_plane: bool
) -> tuple[Channel, ...]:
    """Slice labels name the channels where there is one slice for each; tables for display give their colours."""
    labels, tables = _all_of(imagej.get("Labels")), _all_of(imagej.get("LUTs"))
    named = single_plane and len(labels) == count
    return tuple(
        Channel(
            str(labels[index]).splitlines()[0] if named and str(labels[index]) else "",
            _brightest_of(tables[index]) if index < len(tables) else None,
        )
        for index in range(count)
    )


def _all_of(value: Any) -> list[Any]:
    """Labels or tables; tifffile gives one that is alone as itself."""
    if value is None:
        return []
    return list(value) if isinstance(value, list | tuple) else [value]


def _brightest_of(table: Any) -> tuple[int, int, int] | None:
    """Red, green and blue of the highest sample in a table for display."""
    colours = np.asarray(table)
    if colours.ndim != 2 or colours.shape[0] != 3 or not colours.size:
        return None  # damaged: the image needs no colour
    red, green, blue = (int(value) for value in colours[:, -1])
    return red, green, blue


def declared_bits(page: Any, image: OmeImage | None) -> int | None:
    """Significant bits as OME, the page or MaxSampleValue have them; None where none does."""
    if image is not None and image.significant_bits is not None:
        return image.significant_bits
    if 8 < page.bitspersample < 16:
        return int(page.bitspersample)
    largest = page.tags.valueof("MaxSampleValue")
    try:
        bits = int(np.max(largest)).bit_length()
    except (TypeError, ValueError):
        return None
    return bits if 8 <= bits <= 16 else None


def calibrated_zero(imagej: Mapping[str, Any]) -> int:
    """The sample that ImageJ's linear calibration c0 + c1 * sample calls 0, where that is a sample; else 0."""
    slope, shift = number(imagej.get("c1", 1)), imagej.get("c0", 0)
    if calibration_falls(imagej):
        return 0
    try:
        zero = -float(shift) / (slope or 1.0)
    except (TypeError, ValueError):
        return 0
    return round(zero) if 0 < zero < 65535 and imagej.get("cf", 0) == 0 else 0


def calibration_falls(imagej: Mapping[str, Any]) -> bool:
    """Whether ImageJ's linear calibration makes the smallest sample the brightest, as of an inverted picture."""
    try:
        return imagej.get("cf", 0) == 0 and float(imagej.get("c1", 1)) < 0
    except (TypeError, ValueError):
        return False


def may_hold_channels(key: Any) -> bool:
    """Whether a page has more samples than its colours need."""
    colours = 3 if key.photometric == tifffile.PHOTOMETRIC.RGB else 1
    grey_or_rgb = key.photometric in (
        tifffile.PHOTOMETRIC.RGB, tifffile.PHOTOMETRIC.MINISBLACK, tifffile.PHOTOMETRIC.MINISWHITE,
    )  # fmt: skip
    return bool(grey_or_rgb and key.samplesperpixel > colours)


def sample_channels(key: Any, count: int) -> tuple[Channel, ...]:
    """Channels that lie beside each other in one page."""
    rgb = key.photometric == tifffile.PHOTOMETRIC.RGB
    names = ("red", "green", "blue") if rgb else ()
    return tuple(Channel(names[i] if i < len(names) else "") for i in range(count))


def refuse_cut(
    name: str, file_bytes: int, described: int, start: int | None, plane_bytes: int
) -> None:
    """Raise for a stack of which more than one plane, and not all, is there; a lone plane is whole.

    Args:
        name: for the message.
        file_bytes: size of the file.
        described: planes according to the header.
        start: where the first plane begins; None where planes are compressed.
        plane_bytes: size of one.

    Raises:
        InputError: the file ends too early.
    """
    if described > 1 and start is not None and file_bytes > start + 1.5 * plane_bytes:
        raise InputError(
            f"{name} is a damaged or incomplete TIFF file (it describes {described} planes and ends before); "
            "copy it again."
        )
