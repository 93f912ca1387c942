"""Rectangles whose rows have one value each, found by their runs of equal pixels."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Levels = NDArray[np.uint8] | NDArray[np.uint16]
Runs = tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.intp]]
"""Row, first and last column (half-open) of each."""

_LEAST_RUN_PX = 10
"""Equal neighbours in a row or a column."""
_LOOK_STEP_PX = _LEAST_RUN_PX // 3
_ROWS_AT_ONCE = 512
"""Of a large frame never more is copied."""
LEAST_LINE_PX = 40
"""Length of a line one pixel thick."""
_RAGGED_PX = 2
"""How far the ends of a bar's rows may be apart in a lossy picture."""
_DARK_SHARE = 0.12
"""Of the brightest level; below it is the background, which cameras clip to one value."""


@dataclass(frozen=True, slots=True)
class Rectangle:
    """Rows `top` to `bottom` and columns `left` to `right`, half-open; each row of one value.

    The ends of the rows of one in a lossy picture differ by a pixel or two.
    """

    top: int
    bottom: int
    left: int
    right: int

    @property
    def rows(self) -> int:
        """How many."""
        return self.bottom - self.top

    @property
    def columns(self) -> int:
        """How many."""
        return self.right - self.left


def find_rectangles(bright: Levels, top: int) -> list[Rectangle]:
    """Runs of equal pixels that begin and end in the same columns in consecutive rows.

    Args:
        bright: (height, width).
        top: brighter is as bright as that.
    """
    rows, left, right = _all_runs(bright, top)
    order = np.lexsort((rows, right, left))
    rows, left, right = rows[order], left[order], right[order]
    if len(rows) == 0:
        return []
    begins = np.ones(len(rows), dtype=bool)
    begins[1:] = (np.diff(rows) != 1) | (np.diff(left) != 0) | (np.diff(right) != 0)
    starts = np.flatnonzero(begins)
    ends = np.append(starts[1:], len(rows))
    return [
        Rectangle(int(rows[i]), int(rows[j - 1]) + 1, int(left[i]), int(right[i]))
        for i, j in zip(starts, ends, strict=True)
    ]


def find_ragged(bright: Levels, top: int) -> list[Rectangle]:
    """Long runs in consecutive rows that begin and end in nearly the same columns; arguments as above."""
    rows, left, right = _all_runs(bright, top)
    is_long = right - left >= LEAST_LINE_PX
    found: list[Rectangle] = []
    growing: list[tuple[Rectangle, int, int]] = []  # with the ends of the first row
    runs = zip(rows[is_long].tolist(), left[is_long].tolist(), right[is_long].tolist(), strict=True)
    for row, begin, end in runs:
        found += [one for one, _, _ in growing if one.bottom < row]
        growing = [known for known in growing if known[0].bottom >= row]
        for place, (one, first, last) in enumerate(growing):
            if one.bottom == row and max(abs(begin - first), abs(end - last)) <= _RAGGED_PX:
                sides = min(one.left, begin), max(one.right, end)
                growing[place] = Rectangle(one.top, row + 1, *sides), first, last
                break
        else:
            growing.append((Rectangle(row, row + 1, begin, end), begin, end))
    return [one for one in (*found, *(one for one, _, _ in growing)) if one.rows > 1]


def _all_runs(bright: Levels, top: int) -> Runs:
    """Row, first and last column (half-open) of the longest runs of _LEAST_RUN_PX or more that are no background."""
    begins = range(0, len(bright), _ROWS_AT_ONCE)
    # What is worked out of a band stays in the processor's cache.
    bands = [_lines(bright[begin : begin + _ROWS_AT_ONCE], top) + begin for begin in begins]
    lines = np.concatenate(bands)
    parts = [
        _runs(bright, lines[begin : begin + _ROWS_AT_ONCE], top)
        for begin in range(0, max(1, len(lines)), _ROWS_AT_ONCE)
    ]
    rows, left, right = (np.concatenate(part) for part in zip(*parts, strict=True))
    return rows, left, right


def _lines(band: Levels, top: int) -> NDArray[np.intp]:
    """Which rows may hold a run."""
    # Of every third pixel a run holds three beside each other: few rows have such, no other needs a closer look.
    pairs = _equal_pairs(band[:, ::_LOOK_STEP_PX].copy(order="K"), top)
    return np.flatnonzero((pairs[:, :-1] & pairs[:, 1:]).any(axis=1))


def _runs(bright: Levels, lines: NDArray[np.intp], top: int) -> Runs:
    """Those of some rows of a picture."""
    full = _equal_pairs(bright[lines], top)
    # Then: whether this pixel and the following ones are equal, as many as a run must have.
    length = 1
    while length < _LEAST_RUN_PX - 1:
        step = min(length, _LEAST_RUN_PX - 1 - length)
        full = full[:, :-step] & full[:, step:]
        length += step
    has_run = full.any(axis=1)
    change = np.diff(np.pad(full[has_run], ((0, 0), (1, 1))).view(np.int8), axis=1)
    rows, left = np.nonzero(change == 1)
    _, behind = np.nonzero(change == -1)
    return lines[has_run][rows], left, behind + _LEAST_RUN_PX - 1


def _equal_pairs(levels: Levels, top: int) -> NDArray[np.bool_]:
    """(rows, columns - 1) which pixels have their right neighbour's value and are no background; arguments as above."""
    # Compared with whole numbers: no copy in floating point.
    bright = levels >= top
    equal = levels[:, :-1] == levels[:, 1:]
    equal |= bright[:, :-1] & bright[:, 1:]
    equal &= levels[:, :-1] > int(_DARK_SHARE * top)
    return np.asarray(equal)
