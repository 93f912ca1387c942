"""Zeiss' .czi by the package czifile: blocks found by it, put together here, pyramid levels left out."""

import io
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from xml.etree import ElementTree

import numpy as np

from device.counting.records import ImageArray
from device.errors import InputError
from device.imageio.decoded import MAX_SIDE_PX, check_kind, check_size
from device.imageio.pictures import Channel, Picture
from device.imageio.pixelsize import number, size_of
from device.imageio.vendor import Scene

_AXES = {"Z": "z", "T": "t"}
_IN_BLOCK = frozenset("XYM0")
_JPEG, _LZW, _JPEG_XR, _ZSTD, _ZSTD_WITH_HEADER = 1, 2, 4, 5, 6
_UM_PER_M = 1e6
_MAX_SCENES = 1000


@dataclass(frozen=True, slots=True, eq=False)
class _Block:
    """One rectangle of one plane; `start` and `size` by axis."""

    entry: Any
    start: Mapping[str, int]
    size: Mapping[str, int]


@contextmanager
def open_scenes(data: bytes, name: str) -> Iterator[list[Scene]]:
    """The scenes of a file."""
    import czifile

    with czifile.CziFile(io.BytesIO(data)) as file:
        blocks = [_block(entry) for entry in file.subblock_directory]
        full = [block for block in blocks if block is not None]
        numbers = sorted({block.start.get("S", 0) for block in full})[:_MAX_SCENES]
        header = _header(file)
        yield [
            _scene([block for block in full if block.start.get("S", 0) == number], header, name)
            for number in numbers
        ]


def _block(entry: Any) -> _Block | None:
    """None for the reduced levels of a pyramid."""
    dimensions = [one for one in entry.dimension_entries if one.dimension != "M"]
    if any(one.stored_size not in (0, one.size) for one in dimensions if one.dimension in "XY"):
        return None
    return _Block(
        entry,
        {one.dimension: int(one.start) for one in dimensions},
        {one.dimension: int(one.size) for one in dimensions},
    )


def _scene(blocks: list[_Block], header: ElementTree.Element | None, name: str) -> Scene:
    planes = _planes(blocks, name)
    picture = Picture(
        planes.height,
        planes.width,
        _channels(header, len(planes.channels)),
        {planes.words[axis]: len(found) for axis, found in planes.others.items()},
        planes.read,
        lambda channel, place: bool(planes.blocks_of(channel, place)),
    )
    return Scene(picture, _pixel_size(header), _significant_bits(header))


def _planes(blocks: list[_Block], name: str) -> "_Planes":
    kind = np.dtype(blocks[0].entry.dtype)
    check_kind(name, kind.base)
    top, left = (min(block.start[axis] for block in blocks) for axis in "YX")
    height = max(block.start["Y"] + block.size["Y"] for block in blocks) - top
    width = max(block.start["X"] + block.size["X"] for block in blocks) - left
    check_size(name, height, width)
    axes = sorted({axis for block in blocks for axis in block.start} - _IN_BLOCK - {"S"})
    values = {axis: sorted({block.start.get(axis, 0) for block in blocks}) for axis in axes}
    channels = values.pop("C", [0])
    others = {axis: found for axis, found in values.items() if len(found) > 1}
    if sum(axis not in _AXES for axis in others) > 1:
        raise InputError(f"{name} has the axes {''.join(axes)}; export a single plane as TIFF.")
    return _Planes(blocks, kind, (top, left), height, width, channels, others)


@dataclass(frozen=True, slots=True, eq=False)
class _Planes:
    """The blocks of one scene by channel and place.

    Attributes:
        blocks: at full resolution.
        kind: of a pixel, with a shape where it has several samples.
        corner: row and column where the scene begins.
        height, width: pixels.
        channels: their numbers in the file.
        others: numbers along each other axis that has several.
    """

    blocks: list[_Block]
    kind: np.dtype
    corner: tuple[int, int]
    height: int
    width: int
    channels: list[int]
    others: dict[str, list[int]]

    @property
    def words(self) -> dict[str, str]:
        return {axis: _AXES.get(axis, "page") for axis in self.others}

    def blocks_of(self, channel: int, place: Mapping[str, int]) -> list[_Block]:
        key = {axis: found[place.get(self.words[axis], 0)] for axis, found in self.others.items()}
        key["C"] = self.channels[channel]
        return [
            block
            for block in self.blocks
            if all(block.start.get(axis, 0) == value for axis, value in key.items())
        ]

    def read(self, channel: int, place: Mapping[str, int]) -> ImageArray:
        samples = self.kind.shape[0] if self.kind.shape else 1
        canvas = np.zeros((self.height, self.width, samples), self.kind.base.newbyteorder("="))
        found = self.blocks_of(channel, place)
        for block in sorted(found, key=lambda block: block.entry.mosaic_index or 0):
            row, column = block.start["Y"] - self.corner[0], block.start["X"] - self.corner[1]
            tile = _decode(block, samples, self.kind.base)
            canvas[row : row + tile.shape[0], column : column + tile.shape[1]] = tile
        # Colours are stored as blue, green, red.
        return canvas[..., 0] if samples == 1 else np.ascontiguousarray(canvas[..., 2::-1])


def _decode(block: _Block, samples: int, kind: np.dtype) -> np.ndarray:
    """(height, width, samples) of one block."""
    import imagecodecs

    shape = block.size["Y"], block.size["X"], samples
    if max(shape) > MAX_SIDE_PX:
        raise ValueError("a block is larger than the image may be")
    raw = block.entry.data_segment().data(raw=True)
    compression = block.entry.compression
    if compression in (_JPEG, _JPEG_XR):
        decode = imagecodecs.jpeg8_decode if compression == _JPEG else imagecodecs.jpegxr_decode
        picture: np.ndarray = decode(raw).reshape(shape)
        return picture if samples == 1 else picture[..., ::-1]  # decoders give red first
    size = int(np.prod(shape)) * kind.itemsize
    if compression == _LZW:
        raw = imagecodecs.lzw_decode(raw)
    elif compression == _ZSTD:
        raw = imagecodecs.zstd_decode(raw, out=size)
    elif compression == _ZSTD_WITH_HEADER:
        raw = _unpack(raw, size)
    elif compression != 0:
        raise ValueError(f"compression {compression} is not known")
    return np.frombuffer(raw, kind, size // kind.itemsize).reshape(shape)


def _unpack(raw: bytes, size: int) -> bytes:
    """Zstandard behind a header that may say that low and high bytes lie apart."""
    import imagecodecs

    length = raw[0]
    apart = length >= 3 and raw[1] == 1 and raw[2] & 1
    flat = bytes(imagecodecs.zstd_decode(raw[length:], out=size))
    if not apart:
        return flat
    halves = np.frombuffer(flat, np.uint8).reshape(2, -1)
    return np.ascontiguousarray(halves.T).tobytes()


def _header(file: Any) -> ElementTree.Element | None:
    try:
        return ElementTree.fromstring(file.metadata())
    except Exception:  # noqa: BLE001 - metadata are an extra, the pixels are not
        return None


def _channels(header: ElementTree.Element | None, count: int) -> tuple[Channel, ...]:
    found = [] if header is None else header.findall(".//Image/Dimensions/Channels/Channel")
    shown = [] if header is None else header.findall(".//DisplaySetting/Channels/Channel")
    if len(found) < count:
        return (Channel(),) * count
    return tuple(
        Channel(
            found[index].get("Name") or "",
            _rgb(shown[index].findtext("Color")) if index < len(shown) else None,
            _exposure_s(found[index].findtext("ExposureTime")),
        )
        for index in range(count)
    )


def _rgb(text: str | None) -> tuple[int, int, int] | None:
    """#AARRGGBB."""
    try:
        value = int((text or "").lstrip("#"), 16)
    except ValueError:
        return None
    return value >> 16 & 255, value >> 8 & 255, value & 255


def _exposure_s(text: str | None) -> float | None:
    nanoseconds = number(text)
    return None if nanoseconds is None else nanoseconds / 1e9


def _pixel_size(header: ElementTree.Element | None) -> Any:
    if header is None:
        return None
    edges = {
        one.get("Id"): number(one.findtext("Value"))
        for one in header.findall(".//Scaling/Items/Distance")
    }
    x_um, y_um = (
        None if edges.get(axis) is None else edges[axis] * _UM_PER_M  # type: ignore[operator]
        for axis in "XY"
    )
    return size_of("CZI header", x_um, y_um)


def _significant_bits(header: ElementTree.Element | None) -> int | None:
    texts = [] if header is None else header.findall(".//ComponentBitCount")
    bits = [int(one.text) for one in texts if one.text and one.text.isdecimal()]
    return max(bits) if bits and 8 <= max(bits) <= 16 else None
