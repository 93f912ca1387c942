"""Many small masks on one sheet, so that a filter runs once instead of once per object.

Filters cost far more per call than per pixel at this size; on a sheet the cost grows with the objects' own pixels.
"""

import math
from dataclasses import dataclass

import numpy as np

Box = tuple[slice, slice]


@dataclass(frozen=True, slots=True, eq=False)
class Atlas:
    """A sheet of masks.

    Attributes:
        mask: (h, w) bool; all masks, at least `gap` background pixels around each.
        places: where each mask lies, in the order given.
    """

    mask: np.ndarray
    places: tuple[Box, ...]


def box_shape(box: Box) -> tuple[int, int]:
    """(height, width) of a box."""
    return box[0].stop - box[0].start, box[1].stop - box[1].start


def pack(masks: list[np.ndarray], gap: int) -> Atlas:
    """Lay masks out in rows of about equal height.

    Args:
        masks: (h, w) bool each.
        gap: background pixels between any two masks and around the sheet.
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
    sheet = np.zeros((top + row_height + gap, sheet_width), dtype=bool)
    for mask, place in zip(masks, places, strict=True):
        sheet[place] = mask
    return Atlas(sheet, tuple(places))
