"""Levels that occur far more often than those beside them: what is drawn has one, what a camera saw has none."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from device.counting.filters import count_levels

_INK_SHARE = 0.5
"""Of the brightest level: darker lettering does not stand out."""
_LEAST_INK_PX = 20
_MOST_INKS = 4
"""Colours that are looked at, the most frequent first."""
_MOST_INK_SHARE = 0.1
"""Of the frame; more of one colour is saturation."""
_BESIDE = 6
"""Levels on both sides that a level is compared with."""
_COUNTED_SHARE = 0.4
"""Of the brightest level: darker pixels, nearly all of a frame, are counted only where few levels lie between."""
_FEW = 8
"""Places take eight times the memory of the samples, so only those of one pixel in eight are kept."""
_FULL_SHARE, _CLOSE_SHARE = 0.93, 0.79
"""Of the highest level."""
_SPIKE = 4.0
"""How much more often than its neighbours a level must occur to be an ink."""


@dataclass(frozen=True, slots=True, eq=False)
class Ink:
    """A range of levels.

    Attributes:
        low, high: its ends, the same as a rule.
        pixels: (m,) flat indices of the pixels that have them, ascending.
    """

    low: int
    high: int
    pixels: NDArray[np.intp]


def find_inks(bright: NDArray[Any], top: int) -> list[Ink]:
    """Ranges of bright levels that occur far more often than those beside them, but not all over the frame.

    One level as a rule; after JPEG all nearly full ones, where less than half as many come close to them.

    Args:
        bright: (height, width), the brightest channel.
        top: the highest value in it.
    """
    near, values = _near(bright, int(_COUNTED_SHARE * top))
    histogram = count_levels(values)
    if np.count_nonzero(histogram[: int(_INK_SHARE * top)]) < _BESIDE // 2:
        histogram = count_levels(bright)  # some levels below the darkest ink are needed
    # A picture that was stretched has only every second or third level: levels that do not occur are left out.
    levels = np.flatnonzero(histogram)
    counts = histogram[levels]
    beside = np.convolve(np.pad(counts, _BESIDE // 2), (1, 1, 1, 0, 1, 1, 1), "valid")
    spikes = (counts >= _LEAST_INK_PX) & (counts * _BESIDE >= _SPIKE * beside)
    found = levels[spikes & (levels >= int(_INK_SHARE * top))]
    inks = [(int(level), int(level)) for level in found[np.argsort(histogram[found])[::-1]]]
    full = int(_FULL_SHARE * top)
    many = int(histogram[full:].sum())
    if many >= max(_LEAST_INK_PX, 2 * int(histogram[int(_CLOSE_SHARE * top) : full].sum())):
        inks.insert(_MOST_INKS - 1, (full, top))
    most = _MOST_INK_SHARE * bright.size
    wanted = [ink for ink in inks[:_MOST_INKS] if histogram[ink[0] : ink[1] + 1].sum() <= most]
    if not wanted:
        return []
    if near is None:
        return [Ink(*ink, np.flatnonzero(_is_between(bright, *ink))) for ink in wanted]
    # All inks are near: the others need not be looked at once more.
    return [Ink(*ink, near[_is_between(values, *ink)]) for ink in wanted]


def _near(bright: NDArray[Any], least: int) -> tuple[NDArray[np.intp] | None, NDArray[Any]]:
    """Flat indices of the pixels of `least` or more if they are few, and the values of at least these pixels."""
    is_near = bright >= least
    count = np.count_nonzero(is_near)
    if _FEW * count <= bright.size:
        near = np.flatnonzero(is_near)
        return near, bright.ravel()[near]
    return None, bright[is_near] if 2 * count < bright.size else bright


def _is_between(values: NDArray[Any], low: int, high: int) -> NDArray[np.bool_]:
    return np.asarray(values == low if low == high else (values >= low) & (values <= high))
