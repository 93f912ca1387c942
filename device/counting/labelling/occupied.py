"""The occupied parts of a probability map on one small sheet, so that labelling costs by the cells, not by the frame.

Parts are groups of touching blocks with something above the threshold in them. No object reaches across two of them.
"""

import math
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from device.counting.labelling.atlas import Atlas, Box, pack
from device.counting.labelling.pixels import coordinates
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
        corners = np.array([(down.start, right.start) for down, right in self.atlas.places])
        origins = np.array([(down.start, right.start) for down, right in self.boxes])
        # Parts lie in rows that begin at the same height: a pixel is in the last part that begins before it.
        tops = np.unique(corners[:, 0])
        begins = np.searchsorted(tops, corners[:, 0]) * sheet_width + corners[:, 1]
        order = np.argsort(begins)
        rows, columns = coordinates(pixels, sheet_width)
        row = np.searchsorted(tops, rows, side="right") - 1
        at = np.searchsorted(begins[order], row * sheet_width + columns, side="right") - 1
        shift = (origins - corners)[order[at]]
        return np.asarray((rows + shift[:, 0]) * width + columns + shift[:, 1])

    def gather(self, labels: LabelImage) -> np.ndarray:
        """Where another map has labels, on a sheet like `atlas.sheet`: (h, w) uint8, 1 or 0."""
        sheet = np.zeros(self.atlas.sheet.shape, dtype=np.uint8)
        for box, place in zip(self.boxes, self.atlas.places, strict=True):
            sheet[place] = labels[box] > 0
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
