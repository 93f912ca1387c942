"""PNG of 8 and 16 bits by libpng, which inflates through zlib and spends two thirds of its time there.

Images of ordinary size are therefore inflated by libdeflate, three times as fast, and handed to libpng in a stream
without compression: two thirds of the time for a microscope's frame. What libdeflate does not take goes to libpng as
it came.

What is damaged does not get that far: the error path of imagecodecs 2026.3 keeps the whole picture in memory and
loses a reference to None (docs/upstream/imagecodecs-png.md).
"""

import struct
import zlib
from collections.abc import Iterator
from typing import cast

import imagecodecs
import numpy as np

from device.counting.records import ImageArray

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_HEADER = struct.Struct(">IIBB3x")
"""Width, height, bits, colour type; compression, filters and interlacing."""
_SAMPLES = {0: 1, 2: 3, 4: 2, 6: 4}
"""Per pixel, by the header's colour type; a palette's entries are no samples."""
_ROOM_BYTES = 12_000_000
"""Inflated rows of more bytes would need too much memory beside the samples."""
_BLOCK_BYTES = 65_535
"""The most that a block without compression holds."""

_ZLIB_START = b"\x78\x01"
_END = b"\0\0\0\0IEND\xaeB`\x82"

_PASSES = (
    (0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1),
)  # fmt: skip
"""Of an interlaced PNG: first row and column, steps down and to the right."""

_Chunk = tuple[bytes, bytes | memoryview]
"""Name and content."""


def decode_png(data: bytes) -> ImageArray:
    """Samples of a PNG without a palette: (height, width) or (height, width, channels), uint8 or uint16.

    Raises:
        ValueError, imagecodecs.PngError: damaged or incomplete.
    """
    chunks = _sound_chunks(data)
    header = chunks[0][1]
    if header[-1]:  # the rows come in seven passes
        return _interlaced_samples(chunks)
    plain = _without_compression(chunks)
    # Any memory will do; the stubs of imagecodecs name three kinds.
    file = cast(bytes, _file(chunks) if plain is None else plain)
    samples: ImageArray = imagecodecs.png_decode(file)
    return samples


def significant_bits(data: bytes, colours: int) -> int | None:
    """The sBIT chunk of a PNG: how many bits of the 16 the camera filled.

    Args:
        data: the file.
        colours: samples of a pixel without alpha, whose bits say nothing of the camera.

    Returns:
        8 to 16; None where the chunk is absent, damaged or says something else.
    """
    bits = max((read_extra(data, b"sBIT") or b"")[:colours], default=0)
    return bits if 8 <= bits <= 16 else None


def read_extra(data: bytes, wanted: bytes) -> bytes | None:
    """The content of a chunk beside the samples; None where there is none whose checksum is right."""
    for name, body, checksum in _chunks(data):
        if name == wanted and _checksum(name, body) == checksum:
            return bytes(body)
    return None


def without_damaged_extras(data: bytes) -> bytes:
    """A PNG less the parts beside its samples (texts, dates, profiles) whose checksum is wrong."""
    kept: list[bytes | memoryview] = [_SIGNATURE]
    for name, body, checksum in _chunks(data):
        if name[:1].isupper() or name == b"tRNS" or _checksum(name, body) == checksum:
            kept += [struct.pack(">I4s", len(body), name), body, struct.pack(">I", checksum)]
    return b"".join(kept)


def _interlaced_samples(chunks: list[_Chunk]) -> ImageArray:
    """Each of the seven passes is a small PNG of its own: libpng warns of interlaced ones on the terminal."""
    width, height, bits, colour = _HEADER.unpack(chunks[0][1])
    sides = [
        (-(-(height - top) // down), -(-(width - left) // right))
        for top, left, down, right in _PASSES
    ]
    pixel_bytes = _SAMPLES[colour] * bits // 8
    sizes = [rows * (1 + columns * pixel_bytes) for rows, columns in sides]
    stream = b"".join(body for name, body in chunks if name == b"IDAT")
    rows_bytes = memoryview(zlib.decompressobj().decompress(stream, sum(sizes) + 1))
    if len(rows_bytes) != sum(sizes):
        raise ValueError("its rows are incomplete")
    image: ImageArray | None = None
    for (top, left, down, right), (rows, columns), size in zip(_PASSES, sides, sizes, strict=True):
        part, rows_bytes = rows_bytes[:size], rows_bytes[size:]
        header = _HEADER.pack(columns, rows, bits, colour)
        others = [chunk for chunk in chunks[1:] if chunk[0] not in (b"IDAT", b"IEND")]
        small = [(b"IHDR", header), *others, (b"IDAT", zlib.compress(part, 0)), (b"IEND", b"")]
        samples: ImageArray = imagecodecs.png_decode(_file(small))
        if image is None:
            image = np.empty((height, width, *samples.shape[2:]), samples.dtype)
        image[top::down, left::right] = samples
    assert image is not None
    return image


def _sound_chunks(data: bytes) -> list[_Chunk]:
    """The chunks that change the samples, the header first; libpng complains of others on the terminal.

    Raises:
        ValueError: a checksum is wrong, or the beginning or the end is missing.
    """
    sound: list[_Chunk] = []
    for name, body, checksum in _chunks(data):
        if name[:1].isupper() or name == b"tRNS":
            if _checksum(name, body) != checksum:
                raise ValueError(f"the checksum of its {name.decode('latin-1')} part is wrong")
            sound.append((name, body))
        if name == b"IEND":
            break
    if not sound or sound[-1][0] != b"IEND":
        raise ValueError("it ends too early")
    if sound[0][0] != b"IHDR" or len(sound[0][1]) != _HEADER.size:
        raise ValueError("its header is damaged")
    return sound


def _file(chunks: list[_Chunk]) -> bytes:
    return _SIGNATURE + b"".join(part for name, body in chunks for part in _parts(name, body))


def _parts(name: bytes, body: bytes | memoryview) -> tuple[bytes | memoryview, ...]:
    """A chunk as it stands in a file."""
    return struct.pack(">I4s", len(body), name), body, struct.pack(">I", _checksum(name, body))


def _checksum(name: bytes, body: bytes | memoryview) -> int:
    """Of a chunk, by libdeflate: in a tenth of the time of zlib."""
    return int(imagecodecs.deflate_crc32(cast(bytes, body), zlib.crc32(name)))


def _without_compression(chunks: list[_Chunk]) -> np.ndarray | None:
    """The same PNG with its rows as they are; None where it is no ordinary one or libdeflate refuses it."""
    width, height, bits, colour = _HEADER.unpack(chunks[0][1])
    rows_bytes = height * (1 + width * _SAMPLES.get(colour, 0) * bits // 8)
    names = {name for name, _ in chunks}
    if bits < 8 or rows_bytes > _ROOM_BYTES or names != {b"IHDR", b"IDAT", b"IEND"}:
        return None
    stream = b"".join(body for name, body in chunks if name == b"IDAT")
    start = b"".join((_SIGNATURE, *_parts(*chunks[0])))
    blocks = -(-rows_bytes // _BLOCK_BYTES)
    stored_bytes = len(_ZLIB_START) + 5 * blocks + rows_bytes + 4
    begin = len(start) + 8
    # Every byte is written below, so none needs to be 0 before.
    file = np.empty(begin + stored_bytes + 4 + len(_END), dtype=np.uint8)
    view = file.data
    # The rows are inflated to their end; then each block moves forward a little, behind its length.
    body = view[begin : begin + stored_bytes]
    try:
        rows = imagecodecs.deflate_decode(
            stream, raw=False, out=body[len(_ZLIB_START) + 5 * blocks : -4]
        )
    except imagecodecs.DeflateError:
        return None
    if len(rows) != rows_bytes:
        return None
    view[:begin] = start + struct.pack(">I4s", stored_bytes, b"IDAT")
    body[: len(_ZLIB_START)], body[-4:] = _ZLIB_START, stream[-4:]
    _part_blocks(body[len(_ZLIB_START) : -4], 5 * blocks)
    view[begin + stored_bytes :] = struct.pack(">I", _checksum(b"IDAT", body)) + _END
    return file


def _part_blocks(stream: memoryview, source: int) -> None:
    """Make blocks without compression of the rows that begin at `source` in a stream."""
    place = 0
    while place < len(stream):
        length = min(_BLOCK_BYTES, len(stream) - source)
        is_last = source + length == len(stream)
        stream[place : place + 5] = struct.pack("<BHH", is_last, length, length ^ 0xFFFF)
        stream[place + 5 : place + 5 + length] = stream[source : source + length]
        place, source = place + 5 + length, source + length


def _chunks(data: bytes) -> Iterator[tuple[bytes, memoryview, int]]:
    """Name, content and checksum of each complete chunk."""
    position, view = len(_SIGNATURE), memoryview(data)
    while position + 12 <= len(data):
        length, name = struct.unpack_from(">I4s", data, position)
        end = position + 8 + length
        if end + 4 > len(data):
            return
        yield name, view[position + 8 : end], struct.unpack_from(">I", data, end)[0]
        position = end + 4
