"""Reads the size of an image from its header, before anything is decoded."""

import io
import math
import os
import warnings
from dataclasses import dataclass
from itertools import islice
from typing import IO, Any

from device.errors import InputError
from device.imageio.decoded import (
    RASTER_STARTS,
    TIFF_STARTS,
    check_size,
    describe_damage,
    far_too_large,
    not_an_image,
    refuse_kept_apart,
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
        decode_bytes: memory that decoding takes at most, all samples of a pixel and what codecs hold beside them
            included.
    """

    height: int
    width: int
    channels: int
    sample_bytes: int
    file_bytes: int
    decode_bytes: int


def read_header(source: IO[bytes] | bytes, name: str) -> Header:
    """Read the header of an image file that is open, or of one in memory; the rest is not read.

    Raises:
        InputError: missing, unreadable, not an image, or one of a size that is not counted. What a header claims is
            refused here, before anybody plans tiles or memory for it.
    """
    header = _read(io.BytesIO(source) if isinstance(source, bytes) else source, name)
    check_size(name, header.height, header.width)
    return header


def _read(stream: IO[bytes], name: str) -> Header:
    """The header as it stands in the file."""
    refuse_kept_apart(name)
    try:
        file_bytes = stream.seek(0, io.SEEK_END)
        stream.seek(0)
        start = stream.read(_START_BYTES)
        stream.seek(0)
        if start[:4] in TIFF_STARTS:
            return _tiff(stream, file_bytes)
        if any(start.startswith(known) for known in RASTER_STARTS):
            return _raster(stream, file_bytes, name)
        suffix = vendor_suffix(start)
        if suffix is not None:
            height, width = vendor_shape(stream.read(), name, suffix)
            decoded = _VENDOR_BYTES * height * width
            return Header(height, width, 1, 2, file_bytes, file_bytes + decoded)
    except InputError:
        raise
    except OSError as error:
        if error.errno is not None:
            raise unreadable(name, error) from None
        raise describe_damage(name, "image", error) from None
    except Exception as error:  # noqa: BLE001 - decoders raise any exception for a damaged file
        raise describe_damage(name, "image", error) from None
    raise not_an_image(name, empty=not start)


def _tiff(stream: IO[bytes], file_bytes: int) -> Header:
    import tifffile

    from device.imageio.pages import all_pages

    # tifffile takes a file's number, which is the name of one without a path, for no name.
    with tifffile.TiffFile(stream, name="image") as file:
        # Which page is counted is decided later; none needs more memory than the largest.
        pages: list[Any] = [page.keyframe for page in islice(all_pages(file), _MOST_PAGES)]
        if not pages:
            raise ValueError("it has no page")
        page = max(pages, key=lambda page: page.imagelength * page.imagewidth)
        grey = page.samplesperpixel == 1 and page.photometric != tifffile.PHOTOMETRIC.PALETTE
        return Header(
            height=page.imagelength,
            width=page.imagewidth,
            channels=1 if grey else 3,
            sample_bytes=1 if page.bitspersample <= 8 else 2,
            file_bytes=file_bytes,
            decode_bytes=max(_tiff_bytes(page) for page in pages),
        )


def _tiff_bytes(page: Any) -> int:
    """What one page takes: all its samples, those that are wanted once more, and the segments under way."""
    sample_bytes = page.dtype.itemsize if page.dtype is not None else 4
    whole = math.prod(page.shape)
    pixels = page.imagelength * page.imagewidth
    kept = sample_bytes * (whole + 3 * pixels) + _AFTER_DECODING * pixels
    if page.compression == 1:
        return int(kept)
    at_once = min(max(len(page.dataoffsets), 1), os.cpu_count() or 1)
    codec = _CODEC_BYTES_PER_SAMPLE.get(page.compression.name, 0)
    segments = at_once * min(math.prod(page.chunks), whole) * (2 * sample_bytes + codec)
    return int(kept + segments)


_CODEC_BYTES_PER_SAMPLE = {
    # Wavelets and lossy codecs compute in 32 bits, in two planes at a time.
    **dict.fromkeys(("JPEG2000", "APERIO_JP2000_YCBC", "APERIO_JP2000_RGB"), 12),
    **dict.fromkeys(("JPEGXL", "JPEGXL_DNG", "WEBP", "JPEGXR", "JPEGXR_NDPI", "LERC"), 12),
    # Progressive ones keep two bytes of every coefficient.
    **dict.fromkeys(("JPEG", "OJPEG", "ALT_JPEG", "JPEG_LOSSY"), 6),
}
_VENDOR_BYTES = 16
"""Bytes per pixel of a plane in a microscope's file: as it lies there, as decoded, and as it is wanted."""
_AFTER_DECODING = 8
"""Bytes per pixel of what is worked out from the samples: brightness, two masks, the numbers of what may be letters."""


def _raster(stream: IO[bytes], file_bytes: int, name: str) -> Header:
    from PIL import Image

    from device.imageio.raster import open_picture

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        try:
            opened = open_picture(stream, name, "PNG", "JPEG")
        except Image.DecompressionBombError:
            raise far_too_large(name) from None
        with opened as picture:
            # A 16-bit RGB PNG looks like an 8-bit one to Pillow; its depth is the 25th byte.
            stream.seek(24)
            deep = picture.format == "PNG" and stream.read(1) == b"\x10"
            return Header(
                height=picture.height,
                width=picture.width,
                channels=1 if picture.mode in ("1", "L", "LA", "I", "I;16", "F") else 3,
                sample_bytes=2 if deep else 1,
                file_bytes=file_bytes,
                decode_bytes=_raster_bytes(picture, deep) * picture.height * picture.width,
            )


def _raster_bytes(picture: Any, deep: bool) -> int:
    """Memory per pixel."""
    bands = len(picture.getbands())
    copied = bands in (2, 4) or "exif" in picture.info
    wanted = _AFTER_DECODING + (3 * (1 + deep) if copied else 0)
    if picture.format == "PNG" and picture.mode != "P":
        # The passes of an interlaced one lie beside the picture: as rows, packed again, joined and decoded.
        copies = 5 if picture.info.get("interlace") else 1
        return wanted + copies * bands * (1 + deep)
    # Pillow keeps four bytes a pixel before and after the conversion, then the array; twice where there is alpha.
    alpha = 8 if "transparency" in picture.info else 0
    return wanted + 4 + 4 + 3 + alpha + (6 if "progressive" in picture.info else 0)
