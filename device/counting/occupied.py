"""The occupied parts of a probability map on one small sheet, so that labelling costs by the cells, not by the frame.

Parts are groups of touching blocks with something above the threshold in them. No object reaches across two of them.
"""

import math
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from device.counting.atlas import Atlas, Box, pack
from device.counting.records import LabelImage, ProbabilityMap

_BLOCK_RATIO = 0.4
"""Edge of a block in cell diameters."""


@dataclass(frozen=True, slots=True, eq=False)
class Occupied:
    """Parts of a map on a sheet, and where they come from.

    Attributes:
        atlas: the parts' codes; 0 between them.
        boxes: of the parts in the map.
        shape: (height, width) of the map.
    """

    atlas: Atlas
    boxes: tuple[Box, ...]
    shape: tuple[int, int]

    def positions(self, pixels: np.ndarray) -> np.ndarray:
        """Flat indices into the map of pixels (n,) of the sheet, all of them inside parts."""
        sheet_width, width = self.atlas.sheet.shape[1], self.shape[1]
        offsets = np.zeros(self.atlas.sheet.shape, dtype=np.intp)
        for (down, right), place in zip(self.boxes, self.atlas.places, strict=True):
            to_down, to_right = down.start - place[0].start, right.start - place[1].start
            offsets[place] = to_down * width + to_right
        rows, columns = np.divmod(pixels, sheet_width)
        return np.asarray(rows * width + columns + offsets.ravel()[pixels])

    def gather(self, whole: np.ndarray) -> np.ndarray:
        """What another map of the same shape holds at the parts' boxes, on a sheet like `atlas.sheet`."""
        sheet = np.zeros(self.atlas.sheet.shape, dtype=whole.dtype)
        for box, place in zip(self.boxes, self.atlas.places, strict=True):
            sheet[place] = whole[box]
        return sheet

    def spread(self, labels: LabelImage) -> LabelImage:
        """Labels of the sheet at their places in the map: (height, width) int32."""
        whole = np.zeros(self.shape, dtype=np.int32)
        for box, place in zip(self.boxes, self.atlas.places, strict=True):
            # Boxes may overlap; what is occupied does not.
            whole[box] += labels[place]
        return whole


def find_occupied(
    probability: ProbabilityMap, code: int, cell_diameter_px: float, max_hole_px: float
) -> Occupied | None:
    """Gather what is above a code.

    Args:
        probability: (h, w) uint8 codes.
        code: the largest background code.
        cell_diameter_px: typical diameter.
        max_hole_px: larger holes are not filled. Where a part lies in a hole of another, at least eight empty blocks
            surround it: they are larger than this, so that no hole to be filled is judged without what lies in it.

    Returns:
        None where nothing is above the code.
    """
    block = max(round(_BLOCK_RATIO * cell_diameter_px), math.isqrt(math.ceil(max_hole_px / 8)) + 1)
    height, width = probability.shape
    peaks = _block_peaks(_block_peaks(probability, block).T, block).T
    groups, count = ndimage.label(peaks > code, np.ones((3, 3), dtype=bool))
    if count == 0:
        return None
    boxes, parts = [], []
    for number, (down, right) in enumerate(ndimage.find_objects(groups), start=1):
        box = (
            slice(block * down.start, min(block * down.stop, height)),
            slice(block * right.start, min(block * right.stop, width)),
        )
        part, foreign = probability[box], groups[down, right] != number
        if foreign.any():
            outside = np.repeat(np.repeat(foreign, block, axis=0), block, axis=1)
            part = np.where(outside[: part.shape[0], : part.shape[1]], np.uint8(0), part)
        boxes.append(box)
        parts.append(part)
    return Occupied(pack(parts, gap=1), tuple(boxes), (height, width))


def _block_peaks(codes: np.ndarray, block: int) -> np.ndarray:
    """(h, w) to the maxima of every `block` rows; the last may be fewer. Many times faster than `reduceat`."""
    whole = len(codes) // block
    peaks = codes[: whole * block].reshape(whole, block, -1).max(axis=1)
    rest = codes[whole * block :]
    return np.vstack([peaks, rest.max(axis=0)]) if len(rest) else peaks
