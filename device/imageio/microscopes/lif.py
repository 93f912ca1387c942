"""Leica's .lif by the package liffile."""

import io
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np

from device.counting.records import ImageArray
from device.imageio.decoded import PixelSize, check_kind
from device.imageio.pictures import Channel, Picture
from device.imageio.pixelsize import size_of
from device.imageio.vendor import Scene

_AXES = {"Z": "z", "T": "t"}
_RGB = {
    "red": (255, 0, 0), "green": (0, 255, 0), "blue": (0, 0, 255), "yellow": (255, 255, 0),
    "cyan": (0, 255, 255), "magenta": (255, 0, 255),
}  # fmt: skip
_UM_PER_M = 1e6


@contextmanager
def open_scenes(data: bytes, name: str) -> Iterator[list[Scene]]:
    """The images of a file."""
    import liffile

    with liffile.LifFile(io.BytesIO(data)) as file:
        yield [_scene(image, name) for image in file.images]


def _scene(image: Any, name: str) -> Scene:
    check_kind(name, np.dtype(image.dtype))
    sizes = dict(image.sizes)
    outer = [axis for axis in sizes if axis not in "YXSC"]
    words = {axis: _AXES.get(axis, "page") for axis in outer}

    def read(channel: int, place: Mapping[str, int]) -> ImageArray:
        selection = {axis: place.get(words[axis], 0) for axis in outer}
        if "C" in sizes:
            selection["C"] = channel
        plane = image.frames(**selection)[0] if selection else image.asarray()
        return np.ascontiguousarray(np.asarray(plane).squeeze())

    picture = Picture(
        height=sizes["Y"],
        width=sizes["X"],
        channels=_channels(image, sizes.get("C", 1)),
        stack={words[axis]: sizes[axis] for axis in outer if sizes[axis] > 1},
        read=read,
        name=str(image.name),
    )
    return Scene(picture, _pixel_size(image), _bits(image))


def _descriptions(image: Any) -> list[Any]:
    return list(image.xml_element.findall(".//ChannelDescription"))


def _channels(image: Any, count: int) -> tuple[Channel, ...]:
    found = _descriptions(image)
    if len(found) != count:
        return (Channel(),) * count
    return tuple(Channel(_name(one), _RGB.get(one.get("LUTName", "").lower())) for one in found)


def _name(description: Any) -> str:
    for one in description.iter("ChannelProperty"):
        if one.findtext("Key") == "DyeName":
            return one.findtext("Value") or ""
    return ""


def _bits(image: Any) -> int | None:
    bits = [int(one.get("Resolution", "0")) for one in _descriptions(image)]
    return max(bits) if bits and 8 <= max(bits) <= 16 else None


def _pixel_size(image: Any) -> PixelSize | None:
    edges = [_edge_um(image.coords.get(axis)) for axis in "XY"]
    return size_of("LIF header", *edges)


def _edge_um(places: Any) -> float | None:
    if places is None or len(places) < 2:
        return None
    return abs(float(places[1]) - float(places[0])) * _UM_PER_M
