"""The value that every decoder returns, and the checks that decoders share."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import PurePath
from typing import Any

import numpy as np
import numpy.typing as npt

from device.counting.records import ImageArray
from device.errors import InputError

MIN_SIDE_PX = 32
MAX_SIDE_PX = 8000

TIFF_STARTS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
RASTER_STARTS = {b"\x89PNG\r\n\x1a\n": "PNG", b"\xff\xd8\xff": "JPEG"}
"""How files begin."""


@dataclass(frozen=True, slots=True)
class PixelSize:
    """Edges of a pixel in micrometres, and what says so.

    Attributes:
        x_um, y_um: width and height.
        source: in words, such as "OME header".
    """

    x_um: float
    y_um: float
    source: str


@dataclass(frozen=True, slots=True, eq=False)
class Decoded:
    """Pixels and what the file says about them.

    Attributes:
        samples: (height, width) grey or (height, width, 3) RGB, uint8 or uint16.
        declared_bits: significant bits as the file declares them, or None.
        pixel_size: or None.
        zero: sample value that the file's calibration calls 0.
        inverted: True where 0 is white.
        lossy: True where it was compressed as photographs are.
        hidden: (height, width) bool, True where nothing was recorded, by the reason; see Taken.ignored_for.
        channel, plane: see Taken.
        exposure_s: or None.
        notes: see Taken.
    """

    samples: ImageArray
    declared_bits: int | None = None
    pixel_size: PixelSize | None = None
    zero: int = 0
    inverted: bool = False
    lossy: bool = False
    hidden: tuple[tuple[str, npt.NDArray[np.bool_]], ...] = ()
    channel: str = ""
    plane: str = ""
    exposure_s: float | None = None
    notes: tuple[str, ...] = ()


_TURNS: dict[int, Callable[[np.ndarray], np.ndarray]] = {
    2: np.fliplr,
    3: lambda image: np.rot90(image, 2),
    4: np.flipud,
    5: lambda image: np.swapaxes(image, 0, 1),
    6: lambda image: np.rot90(image, -1),
    7: lambda image: np.rot90(np.swapaxes(image, 0, 1), 2),
    8: lambda image: np.rot90(image, 1),
}
_ON_ITS_SIDE = 5
"""From this number on rows are stored as columns."""


def orient(decoded: Decoded, orientation: object) -> Decoded:
    """The picture as every viewer shows it.

    Args:
        decoded: as it is stored.
        orientation: number of the tag Orientation of TIFF and EXIF; anything else leaves it as it is.
    """
    number = orientation if isinstance(orientation, int) else 1
    turn = _TURNS.get(number)
    if turn is None:
        return decoded
    size = decoded.pixel_size
    if size is not None and number >= _ON_ITS_SIDE:
        size = replace(size, x_um=size.y_um, y_um=size.x_um)
    return replace(
        decoded,
        samples=np.ascontiguousarray(turn(decoded.samples)),
        pixel_size=size,
        hidden=tuple((reason, turn(mask)) for reason, mask in decoded.hidden),
    )


_VISIBLE_SHARE = 0.1
"""Of full opacity: below it a pixel is invisible on any background."""


def invisible(alpha: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    """Where a (height, width) uint8 or uint16 alpha channel hides the picture.

    Full opacity is the full scale of the bits that all values fit into: in a file of a 12-bit camera it is 4095.
    """
    opaque = max(255, 2 ** int(alpha.max()).bit_length() - 1)
    hidden: npt.NDArray[np.bool_] = alpha < int(_VISIBLE_SHARE * opaque)
    return hidden


def check_size(name: str, height: int, width: int) -> None:
    """Raise for images that are too small or too large, before anything is decoded.

    Raises:
        InputError: a side outside the limits.
    """
    if min(height, width) < MIN_SIDE_PX:
        raise InputError(
            f"{name} has {width}x{height} pixels; at least {MIN_SIDE_PX}x{MIN_SIDE_PX} are needed to count cells."
        )
    if max(height, width) > MAX_SIDE_PX:
        raise InputError(
            f"{name} has {width}x{height} pixels; at most {MAX_SIDE_PX}x{MAX_SIDE_PX} are allowed: crop or reduce it."
        )


def far_too_large(name: str) -> InputError:
    """The sentence for a size that the decoder itself refuses to think about."""
    return InputError(
        f"{name} is much larger than the limit of {MAX_SIDE_PX} x {MAX_SIDE_PX} pixels; crop or reduce it."
    )


def check_kind(name: str, kind: np.dtype) -> None:
    """Refuse samples that are no 8- or 16-bit whole numbers.

    Raises:
        InputError: floating point, signed, 32-bit or 1-bit samples.
    """
    if kind.newbyteorder("=") not in (np.dtype(np.uint8), np.dtype(np.uint16)):
        called = "black and white (1-bit)" if kind == np.bool_ else kind.name
        raise InputError(
            f"{name} contains {called} samples; 8- or 16-bit unsigned integers are expected: "
            "convert the image without stretching it."
        )


def describe_damage(name: str, kind: str, error: Exception) -> InputError:
    """The sentence for a file that starts well and then breaks."""
    reason = " ".join(str(error).split()) or type(error).__name__
    if reason.startswith("cannot identify image file"):
        reason = "its beginning cannot be read"
    elif "<" in reason or len(reason) > _LONGEST_REASON:
        reason = type(error).__name__  # addresses of objects and whole headers are of no help
    return InputError(
        f"{name} is a damaged or incomplete {kind} file ({reason}); copy or export it again."
    )


_LONGEST_REASON = 150


_APART = {
    ".oif": ("Olympus' .oif", "save it as OIB or TIFF in the microscope's program"),
    ".vsi": ("Olympus' .vsi", "export it as TIFF in the microscope's program"),
    ".mrxs": ("3DHISTECH's .mrxs", "export it as TIFF in the scanner's program"),
}
"""Formats whose file is only a list: what it is, and what to do. It may look like a TIFF (.vsi) or be a photograph of
the slide (.mrxs)."""


def kept_apart(suffix: str) -> str:
    """What to do about a file whose pixels lie in a folder beside it; empty for any other.

    Args:
        suffix: of its name, in lower case.
    """
    if suffix not in _APART:
        return ""
    kind, remedy = _APART[suffix]
    return f"the pixels of {kind} lie in a folder beside it; {remedy}."


def refuse_kept_apart(name: str) -> None:
    """Raise for a file of such a format, whatever it begins with.

    Raises:
        InputError: by its name it is one.
    """
    if apart := kept_apart(PurePath(name).suffix.lower()):
        raise InputError(f"{name} cannot be read: {apart}")


def not_an_image(name: str, empty: bool) -> InputError:
    """The sentence for a file that is something else."""
    what = "the file is empty" if empty else "its content is something else"
    return InputError(
        f"{name} is not a PNG, JPEG or TIFF image ({what}); export the image again in one of these formats."
    )


def unreadable(name: str, error: OSError) -> InputError:
    """The sentence for a file that the system cannot read."""
    reason = error.strerror or str(error)
    return InputError(f"{name} cannot be read ({reason}); check its name and permissions.")
