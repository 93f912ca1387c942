"""A named region of an image: a polygon that a person drew, for a count of its own."""

from collections.abc import Sequence
from typing import Annotated

import msgspec
import numpy as np

Corner = tuple[float, float]
MAX_NAME_CHARS = 60
MIN_CORNERS, MAX_CORNERS = 3, 500
"""Crossings are looked for in every pair of sides: 125,000 of them."""
RegionName = Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_NAME_CHARS)]


class Region(msgspec.Struct, frozen=True, kw_only=True):
    """A polygon on an image.

    Attributes:
        id: within the count.
        name: for people; no two of a count have the same.
        points: corners (x, y) in pixels like `Cell.x`, `Cell.y`; the last is joined to the first.
        who: drew it.
        created_s: seconds since 1970.
    """

    id: str
    name: RegionName
    points: tuple[Corner, ...]
    who: str
    created_s: float

    @property
    def area_px(self) -> float:
        """Area in square pixels, by the shoelace formula."""
        return abs(signed_area(self.points))

    def contains(self, x: float, y: float) -> bool:
        """True for a place inside, by the even-odd rule; a place exactly on a side may fall either way."""
        inside = False
        for (x0, y0), (x1, y1) in zip(self.points, _following(self.points), strict=True):
            if (y0 > y) != (y1 > y) and x < (x1 - x0) * (y - y0) / (y1 - y0) + x0:
                inside = not inside
        return inside


def signed_area(points: Sequence[Corner]) -> float:
    """Shoelace formula in square pixels; the sign says which way round."""
    sides = zip(points, _following(points), strict=True)
    return sum(x0 * y1 - x1 * y0 for (x0, y0), (x1, y1) in sides) / 2


def without_repeats(points: Sequence[Corner]) -> tuple[Corner, ...]:
    """The corners without those that repeat the one before: a double click sets two in one place."""
    kept = [here for here, after in zip(points, _following(points), strict=True) if here != after]
    return tuple(kept)


def crosses_itself(points: Sequence[Corner]) -> bool:
    """True if two sides that are no neighbours meet: area and inside would contradict each other."""
    start = np.asarray(points, dtype=float)
    end = np.roll(start, -1, axis=0)
    first, second = np.triu_indices(len(start), 2)
    apart = (first != 0) | (second != len(start) - 1)  # the last side is a neighbour of the first
    a, b = (start[first[apart]], end[first[apart]]), (start[second[apart]], end[second[apart]])
    low = np.maximum(np.minimum(*a), np.minimum(*b))
    high = np.minimum(np.maximum(*a), np.maximum(*b))
    near = (low <= high).all(axis=1)
    return bool((near & _lies_on_both_sides(a, b) & _lies_on_both_sides(b, a)).any())


def _lies_on_both_sides(
    line: tuple[np.ndarray, np.ndarray], side: tuple[np.ndarray, np.ndarray]
) -> np.ndarray:
    """True where the ends of `side` lie on different sides of the endless `line`, or on it."""
    along = line[1] - line[0]
    turns = [
        along[:, 0] * to[:, 1] - along[:, 1] * to[:, 0]
        for to in (side[0] - line[0], side[1] - line[0])
    ]
    parted: np.ndarray = turns[0] * turns[1] <= 0
    return parted


def _following(points: Sequence[Corner]) -> list[Corner]:
    return [*points[1:], *points[:1]]
