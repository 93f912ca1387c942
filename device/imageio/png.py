"""PNG of 8 and 16 bits by libpng, which inflates through zlib and spends most of its time there.

Images of ordinary size are therefore inflated by libdeflate, three times as fast, and handed to libpng in a stream
without compression. Unusual or damaged files go to libpng unchanged, which reports what is wrong with them.
"""

import struct
import zlib
from collections.abc import Iterator

import imagecodecs
import numpy as np

from device.counting.records import ImageArray

_HEADER = slice(8, 33)
"""Offset of the first chunk."""
_INTERLACED = 28
"""Place of the byte that says whether the rows come in seven passes."""
_SAMPLES = {0: 1, 2: 3, 4: 2, 6: 4}
"""Samples per pixel, by the colour type in the header; palettes are not included."""
_ROOM_BYTES = 12_000_000
"""Inflated rows of more bytes would need too much memory beside the samples."""
_BLOCK_BYTES = 65_535
"""Largest size of a block without compression."""
_END = b"\0\0\0\0IEND\xaeB`\x82"


def decode_png(data: bytes) -> ImageArray:
    """Samples of a PNG without a palette: (height, width) or (height, width, channels), uint8 or uint16.

    Raises:
        imagecodecs.PngError: damaged or incomplete.
    """
    unpacked = _unpacked(data)
    if unpacked is not None:
        try:
            return _samples(unpacked)
        except imagecodecs.PngError:
            pass  # raised again, with the file's own error
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
    """A whole PNG without chunks that do not change the samples: libpng complains of them on the terminal."""
    parts: list[bytes | memoryview] = [data[: _HEADER.start]]
    whole = False
    for name, body, checksum in _chunks(data):
        if name[:1].isupper() or name == b"tRNS":
            parts += [struct.pack(">I4s", len(body), name), body, struct.pack(">I", checksum)]
        whole = name == b"IEND"
    return b"".join(parts) if whole else data


def _unpacked(data: bytes) -> bytearray | None:
    """The same PNG with a stream without compression; None if that is not worth it."""
    if len(data) < _HEADER.stop:
        return None
    width, height, bits, colour, _, _, interlaced = struct.unpack_from(">IIBBBBB", data, 16)
    size = height * (1 + width * _SAMPLES.get(colour, 0) * bits // 8)
    if interlaced or colour not in _SAMPLES or size > _ROOM_BYTES:
        return None
    stream = _stream(data)
    if stream is None:
        return None
    try:
        rows = imagecodecs.deflate_decode(stream, raw=False, out=size)
    except imagecodecs.DeflateError:
        return None
    return _png(data[: _HEADER.stop], rows, stream[-4:]) if len(rows) == size else None


def _stream(data: bytes) -> bytes | None:
    """What the IDAT chunks of a whole PNG hold; None where one is damaged or others change the samples."""
    parts: list[memoryview] = []
    for name, body, checksum in _chunks(data):
        if name == b"IEND":
            return b"".join(parts)
        if name == b"IDAT":
            parts.append(body)
            if zlib.crc32(body, zlib.crc32(name)) != checksum:
                return None
        elif name in (b"PLTE", b"tRNS"):
            return None
    return None


def _chunks(data: bytes) -> Iterator[tuple[bytes, memoryview, int]]:
    """Name, content and checksum of each complete chunk."""
    position, view = 8, memoryview(data)
    while position + 12 <= len(data):
        length, name = struct.unpack_from(">I4s", data, position)
        end = position + 8 + length
        if end + 4 > len(data):
            return
        yield name, view[position + 8 : end], struct.unpack_from(">I", data, end)[0]
        position = end + 4


def _png(start: bytes, rows: bytes | bytearray | memoryview, adler: bytes) -> bytearray:
    """A PNG that contains the filtered rows unchanged.

    Args:
        start: signature and header.
        rows: what its stream inflates to.
        adler: their checksum, as it ends a stream.
    """
    whole, rest = divmod(len(rows), _BLOCK_BYTES)
    stream_bytes = 2 + whole * (5 + _BLOCK_BYTES) + 5 + rest + 4
    begin = len(start) + 8
    end = begin + stream_bytes
    file = bytearray(end + 4 + len(_END))
    file[:begin] = start + struct.pack(">I4s", stream_bytes, b"IDAT")
    file[begin : begin + 2] = b"\x78\x01"
    content = np.frombuffer(file, np.uint8, whole * (5 + _BLOCK_BYTES), begin + 2)
    blocks = content.reshape(whole, 5 + _BLOCK_BYTES)
    blocks[:, :5] = 0, 0xFF, 0xFF, 0, 0
    blocks[:, 5:] = np.frombuffer(rows, np.uint8, whole * _BLOCK_BYTES).reshape(whole, _BLOCK_BYTES)
    last = struct.pack("<BHH", 1, rest, rest ^ 0xFFFF) + bytes(rows[whole * _BLOCK_BYTES :]) + adler
    file[end - len(last) : end] = last
    checksum = zlib.crc32(memoryview(file)[begin - 4 : end])
    file[end:] = struct.pack(">I", checksum) + _END
    return file
