"""Marks on deep data that are far brighter than the camera can be: white of 16 bits on samples of 12."""

from typing import Any

import cc3d
import numpy as np
from numpy.typing import NDArray

from device.counting.filters import maximum_around
from device.imageio.copies import LEAST_AREA_PX

Mask = NDArray[np.bool_]

_FAR_BITS = 4
"""All light of the sample is darker than a sixteenth of the marks: four bits less."""
_FULL_SHARE = 0.93
"""Of the highest level; darker is the smoothed edge of a mark."""
_MOST_SHARE = 0.1
"""Of the frame; more is light of the sample."""
_LEAST_LIGHT = 16
"""Levels between the darkest and the brightest of the rest; with fewer there is no picture that a mark could hide."""
_EDGE_PART = 0.95
"""Part of that edge beside which the sample begins: from full to a sixteenth in one pixel is what few lenses do."""
_ROWS_AT_ONCE = 128


def mark_beyond_range(possible: Mask, bright: NDArray[Any], top: int) -> None:
    """Mark all that is far above the rest of a picture and has no soft edge.

    Args:
        possible: (height, width), gets True where such a mark may be.
        bright: (height, width), less its lowest value; with 8 bits there is no room above a camera's range.
        top: the highest value in it.
    """
    dark = top >> _FAR_BITS
    if bright.dtype == np.uint8 or not dark:
        return
    above = bright > dark
    count = np.count_nonzero(above)
    if not LEAST_AREA_PX <= count <= _MOST_SHARE * above.size:
        return
    edge = bright < int(_FULL_SHARE * top)
    edge &= above
    if _is_soft(above, edge):
        return
    if int(bright[~above].max()) < _LEAST_LIGHT:
        return
    # Hot pixels have such edges too, but never hang together.
    labels = cc3d.connected_components(above.view(np.uint8), connectivity=8)
    if np.bincount(labels[above]).max() >= LEAST_AREA_PX:
        possible |= above


def _is_soft(above: Mask, edge: Mask) -> bool:
    """Whether too much of an edge is no neighbour of what is not above; one band tells it of most pictures."""
    near = np.count_nonzero(edge)
    least = _EDGE_PART * near
    for begin in range(0, len(edge), _ROWS_AT_ONCE):
        end = begin + _ROWS_AT_ONCE
        first = max(0, begin - 1)
        beside = maximum_around(~above[first : end + 1])[begin - first :][:_ROWS_AT_ONCE]
        near -= np.count_nonzero(edge[begin:end] & ~beside)
        if near < least:
            return True
    return False
