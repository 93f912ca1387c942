"""Reads the size of an image from its header, before anything is decoded."""

import io
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from device.errors import InputError
from device.imageio.decoded import (
    RASTER_STARTS,
    TIFF_STARTS,
    damaged,
    not_an_image,
    unreadable,
)
from device.imageio.vendor import vendor_shape, vendor_suffix

_START_BYTES = 16
_MOST_PAGES = 100
"""Pages of a stack are equal; copies at other sizes come among the first."""


@dataclass(frozen=True, slots=True)
class Header:
    """Size of an image and of its file.

    Attributes:
        height, width: pixels.
        channels: 1 for grey, else 3.
        sample_bytes: 1 or 2.
        file_bytes: size of the file.
    """

    height: int
    width: int
    channels: int
    sample_bytes: int
    file_bytes: int


def read_header(source: Path | bytes, name: str) -> Header:
    """Read the header of an image file, or of one in memory.

    Raises:
        InputError: missing, unreadable or not an image.
    """
    try:
        with source.open("rb") if isinstance(source, Path) else io.BytesIO(source) as stream:
            start, file_bytes = stream.read(_START_BYTES), stream.seek(0, io.SEEK_END)
            stream.seek(0)
            if start[:4] in TIFF_STARTS:
                return _tiff(stream, file_bytes)
            if any(start.startswith(known) for known in RASTER_STARTS):
                return _raster(stream, file_bytes)
            suffix = vendor_suffix(start)
            if suffix is not None:
                height, width = vendor_shape(stream.read(), name, suffix)
                return Header(height, width, 1, 2, file_bytes)
    except InputError:
        raise
    except OSError as error:
        if error.errno is not None:
            raise unreadable(name, error) from None
        raise damaged(name, "image", error) from None
    except Exception as error:  # noqa: BLE001 - decoders raise any exception for a damaged file
        raise damaged(name, "image", error) from None
    raise not_an_image(name, empty=not start)


def _tiff(stream: IO[bytes], file_bytes: int) -> Header:
    import tifffile

    with tifffile.TiffFile(stream) as file:
        # Which page is counted is decided later; none needs more memory than the largest.
        pages: list[Any] = [page.keyframe for page in file.pages[:_MOST_PAGES] if page]
        page = max(pages, key=lambda page: page.imagelength * page.imagewidth)
        grey = page.samplesperpixel == 1 and page.photometric != tifffile.PHOTOMETRIC.PALETTE
        return Header(
            height=page.imagelength,
            width=page.imagewidth,
            channels=1 if grey else 3,
            sample_bytes=1 if page.bitspersample <= 8 else 2,
            file_bytes=file_bytes,
        )


def _raster(stream: IO[bytes], file_bytes: int) -> Header:
    from PIL import Image

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        with Image.open(stream, formats=["PNG", "JPEG"]) as picture:
            # A 16-bit RGB PNG looks like an 8-bit one to Pillow; its depth is the 25th byte.
            stream.seek(24)
            deep = picture.format == "PNG" and stream.read(1) == b"\x10"
            return Header(
                height=picture.height,
                width=picture.width,
                channels=1 if picture.mode in ("1", "L", "LA", "I", "I;16", "F") else 3,
                sample_bytes=2 if deep else 1,
                file_bytes=file_bytes,
            )
