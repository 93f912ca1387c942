"""Strips along an edge of the picture, such as the information that a program writes below it on black.

The ground of such a strip has exactly one value, and it ends in one row all across the picture. Background that a
camera cuts off to one value goes over into the tissue here and there, never in a row.
"""

import numpy as np
from numpy.typing import NDArray

from device.counting.records import ImageArray

Mask = NDArray[np.bool_]

_LEAST_ROWS = 10
"""Of the smallest lettering."""
_MOST_SHARE = 0.25
"""Of the picture's height."""
_GROUND_SHARE, _OTHER_SHARE = 0.5, 0.1
"""Part of each row that has the value of the ground: in the strip at least, in the picture at most."""
_EDGE_ROWS = 4
"""Between them, where the picture was enlarged with the strip."""


def mark_strips(drawn: Mask, samples: ImageArray) -> None:
    """Mark strips along the four edges.

    Args:
        drawn: (height, width), gets True where one is.
        samples: (height, width) or (height, width, 3), not of a lossy picture.
    """
    turned = samples.swapaxes(0, 1)
    drawn[: _strip_rows(samples)] = True
    drawn[::-1][: _strip_rows(samples[::-1])] = True
    drawn.T[: _strip_rows(turned)] = True
    drawn.T[::-1][: _strip_rows(turned[::-1])] = True


def _strip_rows(samples: ImageArray) -> int:
    """Rows of a strip along the upper edge; 0 where there is none."""
    most = int(_MOST_SHARE * len(samples))
    if most < _LEAST_ROWS or _ground_share(samples, _LEAST_ROWS - 1) < _GROUND_SHARE:
        return 0  # nearly every picture ends here
    shares = np.array([_ground_share(samples, row) for row in range(most + 2 * _EDGE_ROWS)])
    rows = int(np.argmax(shares < _GROUND_SHARE))  # 0 where all belong to it
    beyond = shares[rows + _EDGE_ROWS : rows + 2 * _EDGE_ROWS]
    return rows if _LEAST_ROWS <= rows <= most and beyond.max() < _OTHER_SHARE else 0


def _ground_share(samples: ImageArray, row: int) -> float:
    """How much of a row has the value of the corner."""
    same = samples[row] == samples[0, 0]
    return float(np.mean(same if same.ndim == 1 else same.all(axis=1)))
