"""Olympus' .oib by the package oiffile."""

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from device.counting.records import ImageArray
from device.imageio.decoded import PixelSize, check_kind
from device.imageio.pictures import Channel, Picture
from device.imageio.pixelsize import number, size_of
from device.imageio.vendor import Scene

_AXES = {"Z": "z", "T": "t", "C": "channel"}


@contextmanager
def open_scenes(data: bytes, name: str) -> Iterator[list[Scene]]:
    """The one image of a file. The package reads from a path only."""
    import oiffile

    with tempfile.TemporaryDirectory(prefix="fluocount-") as folder:
        path = Path(folder) / "image.oib"
        path.write_bytes(data)
        with oiffile.OifFile(str(path)) as file:
            yield [_scene(file, name)]


def _scene(file: Any, name: str) -> Scene:
    check_kind(name, np.dtype(file.dtype))
    series = file.series[0]
    axes = [_AXES.get(axis, "page") for axis in series.axes]
    shape = dict(zip(axes, series.shape, strict=True))
    places = {tuple(index): path for index, path in zip(series.indices, series, strict=True)}
    sizes = dict(zip(file.axes, file.shape, strict=True))

    def index(channel: int, place: Mapping[str, int]) -> tuple[int, ...]:
        return tuple(channel if axis == "channel" else place.get(axis, 0) for axis in axes)

    def read(channel: int, place: Mapping[str, int]) -> ImageArray:
        plane: ImageArray = file.asarray(places[index(channel, place)])
        return plane

    picture = Picture(
        height=sizes["Y"],
        width=sizes["X"],
        channels=_channels(file, shape.get("channel", 1)),
        stack={axis: size for axis, size in shape.items() if axis != "channel" and size > 1},
        read=read,
        present=lambda channel, place: index(channel, place) in places,
    )
    return Scene(picture, _pixel_size(file), _bits(file))


def _channels(file: Any, count: int) -> tuple[Channel, ...]:
    settings = (
        file.mainfile.get(f"Channel {index} Parameters", {}) for index in range(1, count + 1)
    )
    return tuple(Channel(str(one.get("DyeName", ""))) for one in settings)


def _reference(file: Any) -> Mapping[str, Any]:
    found: Mapping[str, Any] = file.mainfile.get("Reference Image Parameter", {})
    return found


def _pixel_size(file: Any) -> PixelSize | None:
    edges = (number(_reference(file).get(f"{side}ConvertValue")) for side in ("Width", "Height"))
    return size_of("OIB header", *edges)


def _bits(file: Any) -> int | None:
    bits = number(_reference(file).get("ValidBitCounts"))
    return int(bits) if bits is not None and 8 <= bits <= 16 else None
