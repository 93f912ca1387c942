"""Objects that a lower threshold would count: paper, section 5, "these cells can still be detected"."""

import numpy as np

from device.counting.labelling.labels import kept_numbers, mapped
from device.counting.labelling.outline import touches_border
from device.counting.records import LabelImage


def beside(
    counted: LabelImage, every: LabelImage, numbers: np.ndarray, exclude_border: bool
) -> LabelImage:
    """Counted objects, and those of a low threshold that hold no pixel of one.

    Args:
        counted: (h, w) int32 objects at the chosen threshold, those on the border included.
        every: (h, w) int32 objects at the low threshold.
        numbers: (n + 1,) int32, for each counted object 0..n its number in the result, 0 where it is left out.
        exclude_border: leave out what touches the border.

    Returns:
        (h, w) int32; `counted` itself where nothing changes. The others are numbered after the counted ones.
    """
    count = int(numbers.max(initial=0))
    changed = count < len(numbers) - 1
    inside = np.flatnonzero(every > 0)
    owners = every.ravel()[inside]
    keep = np.ones(int(owners.max(initial=0)) + 1, dtype=bool)
    keep[owners[counted.ravel()[inside] > 0]] = False
    keep[0] = False
    if exclude_border:
        keep &= ~touches_border(every)
    if not keep.any():
        return mapped(counted, numbers) if changed else counted
    both = mapped(counted, numbers) if changed else counted.copy()
    wanted = keep[owners]
    both.ravel()[inside[wanted]] = count + kept_numbers(keep[1:])[owners[wanted]]
    return both
