"""Doubtful objects that a person accepted: their outlines, taken from the stored probability map.

The label image holds counted cells only. What is known of a doubtful object is its box, centre and area: of all pieces
above some code of the map, within that box and outside the cells, the one of that area is the object.
"""

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from device.counting.records import Cell, CountResult, LabelImage, ProbabilityMap
from device.counting.scale import probability_at_frame_scale
from device.export.maps import decode_probability
from device.store import Store

_TOUCHING = np.ones((3, 3))
"""Pixels that touch at a corner belong together, as in labelling."""


def map_in_frame(store: Store, count_id: str, result: CountResult) -> ProbabilityMap:
    """The stored probability map at the original pixels, (height, width) uint8 codes.

    Raises:
        NotFoundError: the count was deleted.
        DamagedError: the file is damaged.
    """
    path = store.product(count_id, "probability.png")
    codes = decode_probability(path.read_bytes(), str(path))
    return probability_at_frame_scale(codes, result.height, result.width)


def outline_of(cell: Cell, codes: ProbabilityMap, labels: LabelImage) -> npt.NDArray[np.bool_]:
    """The pixels of a doubtful object within its box.

    Args:
        cell: what is known of it.
        codes: (height, width) uint8, the whole map at the original pixels.
        labels: (height, width) integers, the counted cells.

    Returns:
        (box height, box width) bool.
    """
    x0, y0, x1, y1 = cell.bbox
    inside, free = codes[y0:y1, x0:x1], labels[y0:y1, x0:x1] == 0
    best: npt.NDArray[np.bool_] = free
    least = np.inf
    for code in np.unique(inside[free]).tolist():
        pieces, number = ndimage.label(free & (inside >= code), _TOUCHING)
        sizes = np.bincount(pieces.ravel(), minlength=number + 1)[1:]
        fit = int(np.argmin(np.abs(sizes - cell.area_px)))
        off = abs(int(sizes[fit]) - cell.area_px)
        if off < least:
            best, least = pieces == fit + 1, off
        if off == 0:
            break
    return best


def paint_accepted(labels: LabelImage, cells: Iterable[Cell], codes: ProbabilityMap) -> LabelImage:
    """A copy of the label image with accepted objects under their ids."""
    painted = labels.copy()
    for cell in cells:
        x0, y0, x1, y1 = cell.bbox
        painted[y0:y1, x0:x1][outline_of(cell, codes, labels)] = cell.id
    return painted
