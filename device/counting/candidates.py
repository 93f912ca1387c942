"""Objects that a lower threshold would count: paper, section 5, "these cells can still be detected"."""

import numpy as np

from device.counting.labels import renumber
from device.counting.outline import touches_border
from device.counting.records import LabelImage


def uncounted(low: LabelImage, counted: LabelImage, exclude_border: bool) -> LabelImage:
    """The objects of a low threshold that hold no pixel of a counted one, numbered 1..m.

    Args:
        low: (h, w) int32 objects at the low threshold.
        counted: (h, w) int32 objects at the chosen threshold, those on the border included.
        exclude_border: leave out what touches the border.
    """
    keep = np.ones(int(low.max(initial=0)) + 1, dtype=bool)
    keep[low.ravel()[np.flatnonzero(counted > 0)]] = False
    if exclude_border:
        keep &= ~touches_border(low)
    return renumber(low, keep[1:])


def stacked(counted: LabelImage, candidates: LabelImage, count: int) -> LabelImage:
    """One label image of both: the counted keep their numbers, the candidates follow after `count`."""
    both = counted.copy()
    inside = np.flatnonzero(candidates > 0)
    both.ravel()[inside] = candidates.ravel()[inside] + np.int32(count)
    return both
