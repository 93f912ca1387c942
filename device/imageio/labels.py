"""Label images and masks among the pictures: areas of one value, which no camera takes."""

import numpy as np
from numpy.typing import NDArray

from device.counting.records import ImageArray

_ROW_STEP = 8
"""Every eighth row is looked at: a cell is larger."""
_EVEN_OBJECTS, _EVEN_GROUND = 0.5, 0.9
"""Parts of objects and background whose four neighbours are equal. Objects of real frames stay far below, also where
the background was cut off at zero; those of masks hardly do unless they are a few pixels wide."""

_EDGES_OF_GROUND = 0.5
"""Part of the steps between neighbours that begin at the background; the light of a picture without noise, such as a
denoised one, goes up in many steps."""


def is_label_image(samples: ImageArray) -> bool:
    """Whether a picture is one of numbers or of black and white, not of light.

    Args:
        samples: (height, width) or (height, width, 3).
    """
    above, here, below = (_rows(samples, first) for first in range(3))
    middle = here[:, 1:-1]
    even = (above[:, 1:-1] == middle) & (below[:, 1:-1] == middle)
    even &= (here[:, :-2] == middle) & (here[:, 2:] == middle)
    ground = middle == _most_frequent(middle)
    edges = middle[:, 1:] != middle[:, :-1]
    of_ground = edges & (ground[:, 1:] | ground[:, :-1])
    if np.count_nonzero(of_ground) < _EDGES_OF_GROUND * np.count_nonzero(edges):
        return False
    objects = middle.size - np.count_nonzero(ground)
    even_ground = np.count_nonzero(even & ground)
    if not objects or even_ground < _EVEN_GROUND * (middle.size - objects):
        return False
    return bool(np.count_nonzero(even) - even_ground >= _EVEN_OBJECTS * objects)


def _rows(samples: ImageArray, first: int) -> NDArray[np.unsignedinteger]:
    """Every eighth row from the given one, the brightest channel of each pixel."""
    rows = samples[first : samples.shape[0] - 2 + first : _ROW_STEP]
    if rows.ndim == 2:
        return rows
    # A maximum along an axis of three takes ten times as long.
    return np.maximum(np.maximum(rows[..., 0], rows[..., 1]), rows[..., 2])


def _most_frequent(values: NDArray[np.unsignedinteger]) -> int:
    return int(np.bincount(values.ravel()).argmax())
