"""The planes of a TIFF whose header says which axis its pages lie along."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from device.errors import InputError
from device.imageio.samples import Light, to_light
from device.imageio.tiffheader import refuse_cut


@dataclass(frozen=True, slots=True, eq=False)
class Planes:
    """The planes of a series by channel and place: pages, or one block of bytes behind a single page.

    Attributes:
        series: as tifffile describes it.
        shape: steps along each axis, the slowest first.
        name, data: of the file.
        light_of: decodes a page.
    """

    series: Any
    shape: dict[str, int]
    name: str
    data: bytes
    light_of: Callable[[Any], Light]

    @property
    def count(self) -> int:
        """Planes."""
        return math.prod(self.shape.values())

    def fit(self) -> bool:
        """Whether the file holds what its header describes; converters copy headers of whole stacks."""
        if self.series.kind == "ome" or self.count == 1:
            return True
        if self._contiguous() or self._page(self.count - 1) is not None:
            return True
        plane_bytes = self.series.nbytes // self.count
        start = self.series.dataoffset
        refuse_cut(self.name, len(self.data), self.count, start, plane_bytes)
        return False

    def has(self, channel: int, place: Mapping[str, int]) -> bool:
        """Whether a plane is in this file."""
        return self._contiguous() or self._page(self._index(channel, place)) is not None

    def light(self, channel: int, place: Mapping[str, int]) -> Light:
        """Decode a plane.

        Raises:
            InputError: it is in another file of a set, or damaged.
        """
        index, key = self._index(channel, place), self.series.keyframe
        page = self._page(index)
        if page is not None:
            return self.light_of(page)
        if not self._contiguous():
            raise InputError(
                f"{self.name} is one file of a set, and this plane is in another; count that file."
            )
        kind = np.dtype(key.dtype).newbyteorder(
            self.series.parent.byteorder if self.series.parent else "<"
        )
        size = math.prod(key.shape)
        start = self.series.dataoffset + index * size * kind.itemsize
        samples = np.frombuffer(self.data, kind, size, start).reshape(key.shape)
        samples = samples.astype(kind.newbyteorder("="))
        samples = np.moveaxis(samples, 0, 2) if key.axes == "SYX" else samples
        return to_light(key, samples, self.series.kind == "imagej")

    def _index(self, channel: int, place: Mapping[str, int]) -> int:
        index = 0
        for axis, size in self.shape.items():
            index = index * size + (channel if axis == "channel" else place.get(axis, 0))
        return index

    def _page(self, index: int) -> Any:
        try:
            return self.series.pages[index]
        except IndexError:
            return None

    def _contiguous(self) -> bool:
        start = self.series.dataoffset
        return start is not None and start + self.series.nbytes <= len(self.data)
