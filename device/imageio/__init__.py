"""Files to frames: PNG, JPEG, TIFF and OME-TIFF; 8 and 16 bit; grey, RGB and RGBA (alpha is dropped)."""

import hashlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import cast

import numpy as np

from device.counting.records import Frame, ImageArray
from device.imageio.decoded import (
    MAX_SIDE_PX,
    MIN_SIDE_PX,
    RASTER_STARTS,
    TIFF_STARTS,
    Decoded,
    not_an_image,
    unreadable,
)
from device.imageio.raster import decode_raster
from device.machine.files import display_name

__all__ = ["IMAGE_SUFFIXES", "MAX_SIDE_PX", "MIN_SIDE_PX", "decode_frame", "read_frame"]

IMAGE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".tif", ".tiff"})
"""What a folder is searched for; a file given by name is recognised by its content."""

_BIT_STEPS = (8, 10, 12, 14, 16)


def read_frame(path: Path) -> Frame:
    """Read an image file.

    Raises:
        InputError: missing, unreadable, not an image we take, damaged, or outside the size limits.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise unreadable(path.name, error) from None
    return decode_frame(data, display_name(path.name))


def decode_frame(data: bytes, name: str) -> Frame:
    """Decode an image that is already in memory.

    Args:
        data: the file's bytes.
        name: what to call it in results and messages.

    Raises:
        InputError: not an image we take, damaged, or outside the size limits.
    """
    # Decoders and digests both let other threads run; a Pi's processor has no instructions for the digest.
    with ThreadPoolExecutor(1) as pool:
        digest = pool.submit(hashlib.sha256, data)
        decoded = _decode(data, name)
    bits = _significant_bits(decoded)
    samples = decoded.samples
    channels = 1 if samples.ndim == 2 else 3
    image = samples if channels == 3 else _as_three_channels(samples)
    return Frame(
        image=image,
        source=name,
        sha256=digest.result().hexdigest(),
        bits=bits,
        channels=channels,
        pixel_size_um=decoded.pixel_size_um,
    )


def _as_three_channels(grey: ImageArray) -> ImageArray:
    """A read-only view with three equal channels; no memory is spent."""
    return cast(ImageArray, np.broadcast_to(grey[..., None], (*grey.shape, 3)))


def _decode(data: bytes, name: str) -> Decoded:
    if data[:4] in TIFF_STARTS:
        from device.imageio.tiff import decode_tiff

        return decode_tiff(data, name)
    for start, kind in RASTER_STARTS.items():
        if data.startswith(start):
            return decode_raster(data, name, kind)
    raise not_an_image(name, empty=not data)


def _significant_bits(decoded: Decoded) -> int:
    """Declared bits, else the smallest usual depth that holds the maximum; 8 for 8-bit samples."""
    if decoded.samples.dtype == np.uint8:
        return 8
    needed = int(decoded.samples.max()).bit_length()
    declared = decoded.declared_bits
    if declared is not None and max(needed, 8) <= declared <= 16:
        return declared
    return next(bits for bits in _BIT_STEPS if bits >= needed)
