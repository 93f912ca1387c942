"""What every decoder gives, and the checks they share."""

from dataclasses import dataclass

from device.counting.records import ImageArray
from device.errors import InputError

MIN_SIDE_PX = 32
MAX_SIDE_PX = 8000

TIFF_STARTS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
RASTER_STARTS = {b"\x89PNG\r\n\x1a\n": "PNG", b"\xff\xd8\xff": "JPEG"}
"""How files begin."""


@dataclass(frozen=True, slots=True, eq=False)
class Decoded:
    """Pixels and what the file says about them.

    Attributes:
        samples: (height, width) grey or (height, width, 3) RGB, uint8 or uint16.
        declared_bits: significant bits as the file declares them, or None.
        pixel_size_um: or None.
    """

    samples: ImageArray
    declared_bits: int | None = None
    pixel_size_um: float | None = None


def check_size(name: str, height: int, width: int) -> None:
    """Refuse what is too small or too large, before anything is decoded.

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


def damaged(name: str, kind: str, error: Exception) -> InputError:
    """The sentence for a file that starts well and then breaks."""
    reason = str(error).splitlines()[0] if str(error) else type(error).__name__
    return InputError(
        f"{name} is a damaged or incomplete {kind} file ({reason}); copy or export it again."
    )


def not_an_image(name: str, empty: bool) -> InputError:
    """The sentence for a file that is something else."""
    what = "the file is empty" if empty else "its content is something else"
    return InputError(
        f"{name} is not a PNG, JPEG or TIFF image ({what}); export the image again in one of these formats."
    )


def unreadable(name: str, error: OSError) -> InputError:
    """The sentence for a file that the system does not give."""
    reason = error.strerror or str(error)
    return InputError(f"{name} cannot be read ({reason}); check its name and permissions.")
