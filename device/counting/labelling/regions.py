"""Objects as lists of their pixels: what is asked of an object then costs its own pixels, not the image's."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from device.counting.records import LabelImage


@dataclass(frozen=True, eq=False)
class Regions:
    """The objects of an image, none without a pixel.

    Attributes:
        pixels: (m,) flat indices into the image, object after object; those of one object ascend.
        areas: (n,) number of pixels of each object.
        shape: (height, width) of the image.
    """

    pixels: np.ndarray
    areas: np.ndarray
    shape: tuple[int, int]

    def __len__(self) -> int:
        return len(self.areas)

    @property
    def starts(self) -> np.ndarray:
        """(n,) where the pixels of each object begin."""
        return np.asarray(np.cumsum(self.areas) - self.areas)

    @cached_property
    def places(self) -> tuple[np.ndarray, np.ndarray]:
        """(m,) each: rows and columns of the pixels. Kept, because most steps ask for them."""
        return places_of(self.pixels, self.shape[1])

    @property
    def numbers(self) -> np.ndarray:
        """(m,) for each pixel the index of its object, 0..n-1."""
        return np.repeat(np.arange(len(self)), self.areas)

    def select(self, wanted: np.ndarray) -> "Regions":
        """Some of the objects: those whose entry in a (n,) bool is True, or those of (k,) indices, in that order."""
        if wanted.dtype == bool:
            if wanted.all():
                return self
            wanted = np.flatnonzero(wanted)
        areas = self.areas[wanted]
        ends = np.cumsum(areas)
        moved = np.repeat(self.starts[wanted] - ends + areas, areas)
        return Regions(self.pixels[moved + np.arange(len(moved))], areas, self.shape)

    def boxes(self) -> np.ndarray:
        """(n, 4) integers: top, left, bottom and right of each object; the last two lie just outside."""
        if len(self) == 0:
            return np.zeros((0, 4), dtype=np.intp)
        starts = self.starts
        rows, columns = self.places
        return np.column_stack(
            (
                rows[starts],
                np.minimum.reduceat(columns, starts),
                rows[starts + self.areas - 1] + 1,
                np.maximum.reduceat(columns, starts) + 1,
            )
        )

    def sizes(self) -> tuple[np.ndarray, np.ndarray]:
        """(n,) each: heights and widths of the boxes."""
        top, left, bottom, right = self.boxes().T
        return bottom - top, right - left

    def masks(self) -> Iterator[tuple[np.ndarray, int, int]]:
        """For each object a mask (h, w) of its box, and the box's top and left."""
        for start, area, (top, left, bottom, right) in zip(
            self.starts.tolist(), self.areas.tolist(), self.boxes().tolist(), strict=True
        ):
            mask = np.zeros((bottom - top, right - left), dtype=bool)
            rows, columns = (axis[start : start + area] for axis in self.places)
            mask[rows - top, columns - left] = True
            yield mask, top, left

    def touches_edge(self) -> np.ndarray:
        """(n,) bool: whether an object has a pixel on the edge of the image."""
        top, left, bottom, right = self.boxes().T
        height, width = self.shape
        return np.asarray((top == 0) | (left == 0) | (bottom == height) | (right == width))

    def touches(self, mask: np.ndarray) -> np.ndarray:
        """(n,) bool: whether an object has a pixel in a mask (height, width)."""
        if len(self) == 0:
            return np.zeros(0, dtype=bool)
        return np.asarray(np.logical_or.reduceat(mask.ravel()[self.pixels], self.starts))

    def paint(self) -> LabelImage:
        """(height, width) int32: 0 background, 1..n the objects."""
        labels = np.zeros(self.shape, dtype=np.int32)
        labels.ravel()[self.pixels] = np.repeat(
            np.arange(1, len(self) + 1, dtype=np.int32), self.areas
        )
        return labels

    def concatenate(self, others: "Regions") -> "Regions":
        """These objects, then others of the same image."""
        return Regions(
            np.concatenate((self.pixels, others.pixels)),
            np.concatenate((self.areas, others.areas)),
            self.shape,
        )


def places_of(pixels: np.ndarray, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows and columns of (m,) flat indices; NumPy divides integers by one number far faster alone than in `divmod`."""
    rows = pixels // width
    return rows, pixels - rows * width


def group_pixels(
    pixels: np.ndarray, owners: np.ndarray, shape: tuple[int, int]
) -> tuple[Regions, np.ndarray]:
    """Objects from the number that each pixel has.

    Args:
        pixels: (m,) flat indices; those of one object ascend.
        owners: (m,) integers, 0 or more.
        shape: (height, width) of the image.

    Returns:
        The objects in the order of their numbers, and these numbers (n,), ascending.
    """
    areas = np.bincount(owners)
    # NumPy sorts 16-bit numbers in linear time; few frames hold more objects.
    keys = owners.astype(np.uint16) if len(areas) <= 1 << 16 else owners
    present = np.flatnonzero(areas)
    return Regions(pixels[np.argsort(keys, kind="stable")], areas[present], shape), present
