"""Nikon's .nd2 by the package nd2."""

import io
import math
import re
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np

from device.counting.records import ImageArray
from device.imageio.decoded import check_kind
from device.imageio.pictures import Channel, Picture
from device.imageio.pixelsize import size_of
from device.imageio.vendor import Scene

_AXES = {"Z": "z", "T": "t"}
_IN_FRAME = frozenset("CSYX")
_EXPOSURE_MS = re.compile(r"Exposure:\s*([\d.]+)\s*(ms|s)\b")


@contextmanager
def open_scenes(data: bytes, name: str) -> Iterator[list[Scene]]:
    """The positions of a file."""
    import nd2

    with warnings.catch_warnings(), nd2.ND2File(io.BytesIO(data)) as file:
        warnings.simplefilter("ignore")
        check_kind(name, np.dtype(file.dtype))
        yield [_scene(file, position) for position in range(file.sizes.get("P", 1))]


def _scene(file: Any, position: int) -> Scene:
    sizes = file.sizes
    loops = {axis: size for axis, size in sizes.items() if axis not in _IN_FRAME}
    words = {axis: _AXES.get(axis, "page") for axis in loops if axis != "P"}
    channels = _channels(file)

    def read(channel: int, place: Mapping[str, int]) -> ImageArray:
        index = 0
        for axis, size in loops.items():
            index = index * size + (position if axis == "P" else place.get(words[axis], 0))
        frame = np.asarray(file.read_frame(index))
        return np.ascontiguousarray(frame[channel] if "C" in sizes else frame)

    size = file.voxel_size()
    bits = int(file.attributes.bitsPerComponentSignificant)
    return Scene(
        Picture(
            height=sizes["Y"],
            width=sizes["X"],
            channels=channels,
            stack={words[axis]: size for axis, size in loops.items() if axis != "P" and size > 1},
            read=read,
        ),
        size_of("ND2 header", _check_known(size.x), _check_known(size.y)),
        bits if 8 <= bits <= 16 else None,
    )


def _check_known(edge_um: float) -> float | None:
    """The package says 1.0 where the file says nothing."""
    return edge_um if math.isfinite(edge_um) and edge_um > 0 and edge_um != 1.0 else None


def _channels(file: Any) -> tuple[Channel, ...]:
    count = file.sizes.get("C", 1)
    exposure_s = _exposure_s(file)
    try:
        known = file.metadata.channels or []
    except Exception:  # noqa: BLE001 - names are an extra, the pixels are not
        known = []
    channels = []
    for index in range(count):
        channel = known[index].channel if index < len(known) else None
        colour = getattr(channel, "color", None)
        rgb = None if colour is None else (int(colour.r), int(colour.g), int(colour.b))
        channels.append(Channel(getattr(channel, "name", "") or "", rgb, exposure_s))
    return tuple(channels)


def _exposure_s(file: Any) -> float | None:
    """Where all channels have one exposure; the file says it in a text for people only."""
    try:
        texts = " ".join(str(text) for text in file.text_info.values())
    except Exception:  # noqa: BLE001 - as above
        return None
    found = {
        float(value) / (1000 if unit == "ms" else 1) for value, unit in _EXPOSURE_MS.findall(texts)
    }
    return found.pop() if len(found) == 1 else None
