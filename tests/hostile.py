"""Small image files that are made to cost time, memory or a crash."""

import io
import struct
import zlib

import numpy as np
import tifffile
from PIL import Image


def _ifd(entries: list[tuple[int, int, int, int]], after: int) -> bytes:
    """A directory of a little-endian TIFF: (tag, type, count, value) each, and where the next one lies."""
    body = b"".join(struct.pack("<HHII", *entry) for entry in sorted(entries))
    return struct.pack("<H", len(entries)) + body + struct.pack("<I", after)


def _sizes(width: int, height: int, samples: int = 1, bits: int = 8) -> list:
    return [(256, 4, 1, width), (257, 4, 1, height), (258, 3, 1, bits), (277, 3, 1, samples)]


def many_pages(number: int) -> bytes:
    """A chain of tiny directories."""
    size = len(_ifd(_sizes(64, 64), 0))
    pages = [
        _ifd(_sizes(64, 64), 8 + (i + 1) * size if i + 1 < number else 0) for i in range(number)
    ]
    return b"II*\0" + struct.pack("<I", 8) + b"".join(pages)


def many_sub_pages(number: int) -> bytes:
    """One page with that many sub-directories, all of which lie at the same place."""
    entries = [*_sizes(64, 64), (259, 3, 1, 1), (330, 4, number, 0)]
    start = 8 + len(_ifd(entries, 0))
    entries[-1] = (330, 4, number, start)
    child = start + 4 * number
    return (
        b"II*\0"
        + struct.pack("<I", 8)
        + _ifd(entries, 0)
        + struct.pack("<I", child) * number
        + _ifd(_sizes(64, 64), 0)
    )


def endless_size() -> bytes:
    """A page of 2,147,483,647 pixels each way, 1000 samples each."""
    entries = [*_sizes(2**31 - 1, 2**31 - 1, samples=1000), (259, 3, 1, 1), (262, 3, 1, 1)]
    entries += [(273, 4, 1, 8), (279, 4, 1, 4096)]
    return b"II*\0" + struct.pack("<I", 8) + _ifd(entries, 0) + bytes(8000)


def ring_of_pages() -> bytes:
    """The second directory points to the first."""
    size = len(_ifd(_sizes(64, 64), 0))
    return (
        b"II*\0" + struct.pack("<I", 8) + _ifd(_sizes(64, 64), 8 + size) + _ifd(_sizes(64, 64), 8)
    )


def many_samples(samples: int, width: int = 3000, height: int = 2000) -> bytes:
    """Samples that nobody wants, in a file of a few kilobytes."""
    stream = io.BytesIO()
    tifffile.imwrite(
        stream,
        np.zeros((height, width, samples), np.uint16),
        compression="zlib",
        photometric="minisblack",
        planarconfig="contig",
    )
    return stream.getvalue()


def long_header(megabytes: int) -> bytes:
    """An OME header of that size, all of it elements."""
    text = b"<OME>" + b"<Image><Pixels/></Image>" * (megabytes * 1_000_000 // 24) + b"</OME>"
    stream = io.BytesIO()
    tifffile.imwrite(stream, np.zeros((64, 64), np.uint8), description=text, metadata=None)
    return stream.getvalue()


def many_strips(number: int) -> bytes:
    """A page in that many strips of one row."""
    stream = io.BytesIO()
    image = np.zeros((number, 64), np.uint8)
    tifffile.imwrite(stream, image, rowsperstrip=1, compression="zlib")
    return stream.getvalue()


def inflating_strip(megabytes: int) -> bytes:
    """A strip of 64x64 pixels whose stream inflates to far more."""
    packed = zlib.compress(bytes(megabytes * 1_000_000), 9)
    entries = [*_sizes(64, 64), (259, 3, 1, 8), (262, 3, 1, 1), (278, 3, 1, 64)]
    entries += [(273, 4, 1, 0), (279, 4, 1, len(packed))]
    start = 8 + len(_ifd(entries, 0))
    entries[-2] = (273, 4, 1, start)
    return b"II*\0" + struct.pack("<I", 8) + _ifd(entries, 0) + packed


def _jpeg(width: int = 64, height: int = 64, **options) -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (width, height), "gray").save(stream, "JPEG", **options)
    return stream.getvalue()


def fill_bytes(megabytes: int) -> bytes:
    """A JPEG with that much filling before its first marker."""
    data = _jpeg()
    return data[:2] + b"\xff" * (megabytes * 1_000_000) + data[2:]


def many_segments(number: int) -> bytes:
    """A JPEG with that many comments of the greatest length."""
    data = _jpeg()
    comment = b"\xff\xfe" + struct.pack(">H", 65_000) + bytes(64_998)
    return data[:2] + comment * number + data[2:]


def empty_scans(number: int, width: int = 8000, height: int = 8000) -> bytes:
    """A progressive JPEG that repeats its last scan without content."""
    data = _jpeg(64, 64, progressive=True)
    start = data.index(b"\xff\xc2")
    data = data[: start + 5] + struct.pack(">HH", height, width) + data[start + 9 :]
    scan = data.rindex(b"\xff\xda")
    header = data[scan : scan + 2 + struct.unpack(">H", data[scan + 2 : scan + 4])[0]]
    return data[:-2] + header * number + b"\xff\xd9"


def _chunk(name: bytes, body: bytes) -> bytes:
    return (
        struct.pack(">I", len(body))
        + name
        + body
        + struct.pack(">I", zlib.crc32(body, zlib.crc32(name)))
    )


def wide_png(width: int, height: int, colour: int = 6, bits: int = 16) -> bytes:
    """A PNG of zeros: some kilobytes for hundreds of megabytes."""
    row = 1 + width * {0: 1, 2: 3, 4: 2, 6: 4}[colour] * bits // 8
    deflate = zlib.compressobj(9)
    stream = b"".join(deflate.compress(bytes(row)) for _ in range(height)) + deflate.flush()
    header = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + _chunk(b"IHDR", header)
        + _chunk(b"IDAT", stream)
        + _chunk(b"IEND", b"")
    )


def wrong_filter_png(width: int = 3000, height: int = 2000) -> bytes:
    """Every checksum is right, but the last row names a filter that there is not."""
    rows = bytearray((1 + 3 * width) * height)
    rows[-(1 + 3 * width)] = 9
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + _chunk(b"IHDR", header)
        + _chunk(b"IDAT", zlib.compress(rows, 1))
        + _chunk(b"IEND", b"")
    )


def many_chunks(number: int) -> bytes:
    """A PNG with that many texts before its samples."""
    stream = io.BytesIO()
    Image.new("L", (64, 64)).save(stream, "PNG")
    data = stream.getvalue()
    return data[:33] + _chunk(b"tEXt", b"a\0b") * number + data[33:]


TRICKS = {
    "pages": lambda: many_pages(1_000_000),
    "sub-pages": lambda: many_sub_pages(100_000),
    "ring": ring_of_pages,
    "size": endless_size,
    "samples": lambda: many_samples(200, 1000, 1000),
    "header": lambda: long_header(40),
    "strips": lambda: many_strips(7_900),
    "inflating strip": lambda: inflating_strip(1500),
    "filling": lambda: fill_bytes(50),
    "segments": lambda: many_segments(1000),
    "empty scans": lambda: empty_scans(5000),
    "16-bit RGBA": lambda: wide_png(8000, 8000),
    "filter": wrong_filter_png,
    "chunks": lambda: many_chunks(1_000_000),
}
"""Files that once took 40 to 170 seconds, gigabytes or the process."""
