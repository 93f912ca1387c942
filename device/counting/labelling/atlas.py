"""Many small masks on one sheet, so that a filter runs once instead of once per object.

Filters cost far more per call than per pixel at this size; on a sheet the cost grows with the objects' own pixels.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

Box = tuple[slice, slice]


@dataclass(frozen=True, slots=True, eq=False)
class Atlas:
    """A sheet of masks, or of other pieces of one type.

    Attributes:
        sheet: (h, w); all pieces, at least `gap` zeros around each.
        places: where each piece lies, in the order given.
    """

    sheet: np.ndarray
    places: tuple[Box, ...]


def box_shape(box: Box) -> tuple[int, int]:
    """(height, width) of a box."""
    return box[0].stop - box[0].start, box[1].stop - box[1].start


def pack(masks: Sequence[np.ndarray], gap: int) -> Atlas:
    """Lay masks, or other pieces of one type, out in rows of about equal height.

    Args:
        masks: (h, w) each.
        gap: zeros between any two of them and around the sheet.
    """
    widest = max(mask.shape[1] for mask in masks)
    total = sum((mask.shape[0] + gap) * (mask.shape[1] + gap) for mask in masks)
    sheet_width = max(widest, math.isqrt(total)) + 2 * gap
    places: list[Box] = [(slice(0, 0), slice(0, 0))] * len(masks)
    top, left, row_height = gap, gap, 0
    for index in sorted(range(len(masks)), key=lambda i: masks[i].shape[0]):
        height, width = masks[index].shape
        if left + width + gap > sheet_width:
            top, left, row_height = top + row_height + gap, gap, 0
        places[index] = (slice(top, top + height), slice(left, left + width))
        left += width + gap
        row_height = max(row_height, height)
    sheet = np.zeros((top + row_height + gap, sheet_width), dtype=masks[0].dtype)
    for mask, place in zip(masks, places, strict=True):
        sheet[place] = mask
    return Atlas(sheet, tuple(places))
