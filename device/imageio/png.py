"""PNG of 8 and 16 bits by libpng, without what makes it complain on the terminal.

What is damaged does not get that far: the error path of imagecodecs 2026.3 keeps the whole picture in memory and
loses a reference to None (docs/upstream/imagecodecs-png.md).
"""

import struct
import zlib
from collections.abc import Iterator

import imagecodecs

from device.counting.records import ImageArray

_SIGNATURE_BYTES = 8
_INTERLACED = 28
"""Place of the byte that says whether the rows come in seven passes."""


def decode_png(data: bytes) -> ImageArray:
    """Samples of a PNG without a palette: (height, width) or (height, width, channels), uint8 or uint16.

    Raises:
        ValueError, imagecodecs.PngError: damaged or incomplete.
    """
    return _samples(_quiet(data))


def significant_bits(data: bytes) -> int | None:
    """The sBIT chunk of a sound PNG: how many bits of the 16 the camera filled; None where it has none."""
    for name, body, _ in _chunks(data):
        if name == b"sBIT":
            return max(body)
        if name in (b"IDAT", b"PLTE"):
            return None
    return None


def _samples(data: bytes | bytearray) -> ImageArray:
    if len(data) > _INTERLACED and data[_INTERLACED]:
        try:
            passes: ImageArray = imagecodecs.spng_decode(
                data
            )  # libpng warns of every one on the terminal
            return passes
        except (imagecodecs.SpngError, ValueError):
            pass  # libpng says what is wrong
    samples: ImageArray = imagecodecs.png_decode(data)
    return samples


def _quiet(data: bytes) -> bytes:
    """A PNG without chunks that do not change the samples: libpng complains of them on the terminal.

    Raises:
        ValueError: a checksum is wrong, or the end is missing.
    """
    parts: list[bytes | memoryview] = [data[:_SIGNATURE_BYTES]]
    last = b""
    for last, body, checksum in _chunks(data):
        if last[:1].isupper() or last == b"tRNS":
            if zlib.crc32(body, zlib.crc32(last)) != checksum:
                raise ValueError(f"the checksum of its {last.decode('latin-1')} part is wrong")
            parts += [struct.pack(">I4s", len(body), last), body, struct.pack(">I", checksum)]
        if last == b"IEND":
            return b"".join(parts)
    raise ValueError("it ends too early")


def _chunks(data: bytes) -> Iterator[tuple[bytes, memoryview, int]]:
    """Name, content and checksum of each complete chunk."""
    position, view = _SIGNATURE_BYTES, memoryview(data)
    while position + 12 <= len(data):
        length, name = struct.unpack_from(">I4s", data, position)
        end = position + 8 + length
        if end + 4 > len(data):
            return
        yield name, view[position + 8 : end], struct.unpack_from(">I", data, end)[0]
        position = end + 4
