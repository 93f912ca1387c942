"""Outlines of labelled cells as polygons along the pixel edges: they enclose exactly its pixels.

A pixel (row r, column c) is the square from (c, r) to (c + 1, r + 1): the coordinates of ImageJ and
QuPath, half a pixel off from `Cell.x`, `Cell.y`, where 0 is the centre of a pixel. Every boundary
between a pixel of the cell and another is one directed edge with the cell on its right as seen on
the screen; the edges are linked into closed rings, and a ring that meets itself at a corner is
split there, so that every ring is simple.
"""

from collections.abc import Iterator

import msgspec
import numpy as np
import numpy.typing as npt
from scipy import ndimage

from device.counting.records import LabelImage
from device.store.region import signed_area

Corner = tuple[int, int]
Ring = list[Corner]
Mask = npt.NDArray[np.bool_]


class Polygon(msgspec.Struct, frozen=True):
    """A connected piece of a cell.

    Attributes:
        outer: corners (x, y), the first not repeated; clockwise on the screen, that is
            counter-clockwise in axes with y up, as RFC 7946 asks.
        holes: rings of the other direction.
    """

    outer: Ring
    holes: tuple[Ring, ...] = ()


def cell_polygons(labels: LabelImage) -> Iterator[tuple[int, list[Polygon]]]:
    """Every cell's id with its pieces, in the order of the ids.

    Args:
        labels: (height, width) int32; 0 background, 1..n cells. A cell may touch others, have
            holes, surround another cell or consist of several pieces (pixels that share only a
            corner are two pieces).
    """
    for index, box in enumerate(ndimage.find_objects(labels)):
        if box is not None:
            top, left = box[0].start, box[1].start
            yield index + 1, mask_polygons(labels[box] == index + 1, left, top)


def mask_polygons(mask: Mask, left: int = 0, top: int = 0) -> list[Polygon]:
    """The pieces of a mask (h, w), moved right by `left` and down by `top`."""
    pieces, count = ndimage.label(mask)
    polygons = []
    for number in range(1, count + 1):
        rings = [_move(ring, left, top) for ring in _rings(pieces == number)]
        # The cell is on the right of every edge: the area of an outer ring is positive, that of a hole negative.
        (outer,) = (ring for ring in rings if signed_area(ring) > 0)
        holes = tuple(ring for ring in rings if signed_area(ring) < 0)
        polygons.append(Polygon(outer, holes))
    return polygons


def _rings(mask: Mask) -> list[Ring]:
    onward = _edges(mask)
    rings = []
    while onward:
        rings += _walk(onward, next(iter(onward)))
    return rings


def _edges(mask: Mask) -> dict[Corner, list[Corner]]:
    """From every corner of the boundary to the next ones (two where pixels touch only there)."""
    padded = np.pad(mask, 1)
    inside = padded[1:-1, 1:-1]
    sides = (
        (padded[:-2, 1:-1], (0, 0), (1, 0)),  # above: to the right
        (padded[1:-1, 2:], (1, 0), (1, 1)),  # right: down
        (padded[2:, 1:-1], (1, 1), (0, 1)),  # below: to the left
        (padded[1:-1, :-2], (0, 1), (0, 0)),  # left: up
    )
    onward: dict[Corner, list[Corner]] = {}
    for neighbour, (dx0, dy0), (dx1, dy1) in sides:
        rows, columns = np.nonzero(inside & ~neighbour)
        for x, y in zip(columns.tolist(), rows.tolist(), strict=True):
            onward.setdefault((x + dx0, y + dy0), []).append((x + dx1, y + dy1))
    return onward


def _walk(onward: dict[Corner, list[Corner]], start: Corner) -> list[Ring]:
    """Follow and use up edges from `start` until back there; each loop met on the way is a ring."""
    rings: list[Ring] = []
    path: Ring = [start]
    position = {start: 0}
    while not rings or len(path) > 1:
        target = _take_edge(onward, path[-1])
        if target not in position:
            position[target] = len(path)
            path.append(target)
            continue
        loop = path[position[target] :]
        del path[position[target] + 1 :]
        for corner in loop[1:]:
            del position[corner]
        rings.append(_without_straight_corners(loop))
    return rings


def _take_edge(onward: dict[Corner, list[Corner]], here: Corner) -> Corner:
    target = onward[here].pop()
    if not onward[here]:
        del onward[here]
    return target


def _without_straight_corners(ring: Ring) -> Ring:
    """Drop corners between two edges of the same direction."""
    before, after = ring[-1:] + ring[:-1], ring[1:] + ring[:1]
    return [
        corner
        for (x0, y0), corner, (x1, y1) in zip(before, ring, after, strict=True)
        if x0 != x1 and y0 != y1
    ]


def _move(ring: Ring, left: int, top: int) -> Ring:
    return [(x + left, y + top) for x, y in ring]
