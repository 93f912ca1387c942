"""Points made elsewhere become corrections: the points are the cells of the frame, whatever was counted."""

import msgspec
import numpy as np
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist

from device.counting.records import CountResult, LabelImage
from device.errors import InputError
from device.imageio.points import Point
from device.store.records import Mark

REACH = 0.5
"""A point beside every cell belongs to one whose centre is nearer than this part of the cell diameter."""
_LEAST_SHARE = 0.25
"""With fewer points on cells than this, they are taken for those of another image."""
_ENOUGH = 5
"""Of fewer points or cells a share says nothing."""


class Marked(msgspec.Struct, frozen=True, kw_only=True):
    """What some points mean for a count; nothing is written yet.

    Attributes:
        marks: the corrections.
        agreed: points that lie on a counted cell of their own.
    """

    marks: tuple[Mark, ...]
    agreed: int


def marks_of_points(
    points: tuple[Point, ...],
    result: CountResult,
    labels: LabelImage,
    who: str,
    *,
    sure: bool = False,
) -> Marked:
    """Which cells are added and removed so that the corrected count has exactly these points.

    Args:
        points: (x, y), the centre of the top-left pixel is (0, 0).
        result: the automatic count.
        labels: (height, width) int32 of its cells.
        who: made the points.
        sure: they are of this image, however few lie on counted cells.

    Raises:
        InputError: a point lies outside the image, or hardly any lies on a cell.
    """
    _require_inside(points, result)
    owner = _owners(points, labels, result)
    taken = set(owner) - {0}
    fewer = min(len(points), result.count)
    if not sure and fewer >= _ENOUGH and len(taken) < _LEAST_SHARE * fewer:
        raise InputError(
            f"Only {len(taken)} of {len(points)} points lie on counted cells: they look like those of another image. "
            "Nothing was changed; choose the file of this image, in pixels."
        )
    removed = [cell for cell in result.cells if cell.id not in taken]
    marks = [
        Mark(action="remove", x=cell.x, y=cell.y, cell_id=cell.id, who=who) for cell in removed
    ]
    following = 1 + max((cell.id for cell in (*result.cells, *result.doubtful)), default=0)
    alone = [point for point, cell_id in zip(points, owner, strict=True) if cell_id == 0]
    marks += [
        Mark(action="add", x=x, y=y, cell_id=following + number, who=who)
        for number, (x, y) in enumerate(alone)
    ]
    return Marked(marks=tuple(marks), agreed=len(taken))


def _require_inside(points: tuple[Point, ...], result: CountResult) -> None:
    for x, y in points:
        if not (-0.5 <= x < result.width and -0.5 <= y < result.height):
            raise InputError(
                f"A point lies at ({x:g}, {y:g}), outside the image of {result.width} x {result.height} pixels. "
                "Nothing was changed; choose the points of this image, in pixels."
            )


def _owners(points: tuple[Point, ...], labels: LabelImage, result: CountResult) -> list[int]:
    """The counted cell of each point, 0 where it has none; no cell has two points."""
    if not points:
        return []
    columns, rows = np.rint(points).astype(int).T
    under = labels[rows.clip(0, result.height - 1), columns.clip(0, result.width - 1)].tolist()
    owner, taken = [0] * len(points), set()
    for number, cell_id in enumerate(under):
        if cell_id and cell_id not in taken:
            owner[number] = cell_id
            taken.add(cell_id)
    free = [cell for cell in result.cells if cell.id not in taken]
    beside = [number for number, cell_id in enumerate(under) if not cell_id]
    if free and beside:
        distances = cdist([points[number] for number in beside], [(c.x, c.y) for c in free])
        reach = REACH * result.cell_diameter_px
        pairs = linear_sum_assignment(np.where(distances < reach, distances, 1e6))
        for row, column in zip(*pairs, strict=True):
            if distances[row, column] < reach:
                owner[beside[row]] = free[column].id
    return owner
