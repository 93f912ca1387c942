"""What software draws on a picture: scale bars, lettering, lines, colour bars, strips and borders.

A camera never gives two rows of pixels that are equal to the last bit, nor an edge that falls from full light to the
background within two pixels on all sides: lenses blur and sensors are noisy. Drawn things have both. A saturated cell
is uniform too, but its edge is soft and its outline round, so it is never taken for one of them.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from device.counting.records import ImageArray
from device.counting.scale import brightest
from device.imageio.lettering import mark_lettering

Mask = NDArray[np.bool_]
Levels = NDArray[np.uint8] | NDArray[np.uint16]

_LEAST_RUN_PX = 10
"""Equal neighbours in a row or a column."""
_LINES_AT_ONCE = 128
"""So many of 1600 pixels are 200 kB: they stay in the second cache of a processor."""
_LEAST_BAR_PX, _LEAST_BAR_LENGTH_PX = 32, 16
"""Area and length of the smallest bar; the saturated middle of a small nucleus may be a rectangle of 3 by 8."""
_LEAST_STEPS = 12
"""Rows of a colour bar, each of one value, that begin and end in the same columns."""
_LEAST_LINE_PX = 40
"""Length of a line one pixel thick."""
_LEAST_TOP = 8
"""In a frame as dark as this nothing stands out."""
_NEARLY_FULL = 0.93
"""Of the highest level: what is drawn white is not quite equal after JPEG."""
_SAME_COLOUR = 0.08
_SAME_PART = 0.85
"""Part of a row that must be within that share of the highest level of its middle; outlines differ."""
_DARK_SHARE = 0.12
"""Of the brightest level; below it is the background, which cameras clip to one value."""
_SHARP_SHARE = 0.15
"""What an edge must fall by within two pixels, as a part of the brightest level."""
_SHARP_SIDES = 0.8
"""Part of an outline that must be as sharp as that."""
_EDGE_PX = 2
"""Lettering is smoothed over one pixel; the second is background."""
_STRIP_SHARE = 0.9
"""Of the frame's width or height: a border or a strip of information."""


def find_annotations(samples: ImageArray, hidden: Sequence[Mask] = ()) -> Mask | None:
    """Find what is drawn on a picture.

    Args:
        samples: (height, width) or (height, width, 3), uint8 or uint16.
        hidden: (height, width) each, True where there is no picture: a transparent area is not drawn on it.

    Returns:
        (height, width), True where something is drawn; None where nothing is.
    """
    bright = samples.copy() if samples.ndim == 2 else brightest(samples)
    bright -= bright.min()
    for nothing in hidden:
        bright[nothing] = 0
    top = int(bright.max())
    if top < _LEAST_TOP:
        return None
    letters, drawn = (np.zeros(bright.shape, dtype=bool) for _ in range(2))
    with ThreadPoolExecutor(1) as pool:
        lettering = pool.submit(mark_lettering, letters, bright, top)
        _mark_uniform(drawn, samples, bright, int(_NEARLY_FULL * top))
        lettering.result()
    drawn |= letters
    return _widened(drawn) if drawn.any() else None


def _mark_uniform(drawn: Mask, samples: NDArray[np.generic], bright: Levels, top: int) -> None:
    """Mark rectangles whose rows or columns have one value each; brighter than `top` is as bright as that."""
    rows, columns = (_lines_with_runs(bright, top, axis) for axis in (1, 0))
    if len(rows):
        _mark_rectangles(drawn, samples, bright, rows, top)
    if len(columns):
        turned = samples.T if samples.ndim == 2 else samples.transpose(1, 0, 2)
        _mark_rectangles(drawn.T, turned, bright.T, columns, top)


def _lines_with_runs(bright: Levels, top: int, axis: int) -> NDArray[np.intp]:
    """A quick look: the rows (axis 1) or columns (0) that have runs of equal pixels brighter than the background.

    Some lines at a time: what is worked out stays in the processor's cache, and a large frame is never copied.
    """
    begins = range(0, bright.shape[1 - axis], _LINES_AT_ONCE)
    bands = [slice(begin, begin + _LINES_AT_ONCE) for begin in begins]
    return np.concatenate(
        [
            band.start + _have_runs(bright[band] if axis == 1 else bright[:, band], top, axis)
            for band in bands
        ]
    )


def _have_runs(bright: Levels, top: int, axis: int) -> NDArray[np.intp]:
    """`_lines_with_runs` of a few lines."""
    level = _limited(bright, top)
    equal = np.equal(*_neighbours(level, 1, axis))
    # Compared with a whole number: no copy in floating point.
    equal &= _neighbours(level, 1, axis)[0] > int(_DARK_SHARE * top)
    run = 2
    while run < _LEAST_RUN_PX:
        step = min(run, _LEAST_RUN_PX - run)
        equal = np.logical_and(*_neighbours(equal, step, axis))
        run += step
    return np.flatnonzero(equal.any(axis=axis))


def _limited(part: Levels, top: int) -> Levels:
    """A copy in which nothing is brighter than `top`."""
    return np.minimum(part, part.dtype.type(top))


def _neighbours(image: NDArray[np.generic], step: int, axis: int) -> tuple[NDArray[Any], ...]:
    """All pixels that have one `step` further along an axis, and those."""
    if axis == 1:
        return image[:, :-step], image[:, step:]
    return image[:-step], image[step:]


@dataclass(frozen=True, slots=True)
class _Rectangle:
    """Rows `top` to `bottom` and columns `left` to `right`, half-open; each row of one value."""

    top: int
    bottom: int
    left: int
    right: int

    @property
    def rows(self) -> int:
        return self.bottom - self.top

    @property
    def columns(self) -> int:
        return self.right - self.left


def _mark_rectangles(
    drawn: Mask,
    samples: NDArray[np.generic],
    bright: Levels,
    lines: NDArray[np.intp],
    top: int,
) -> None:
    """Mark bars, lines, colour bars, strips and borders whose rows have one value each."""
    height, width = bright.shape
    for found in _rectangles(bright, lines, top):
        if not _is_drawn(found, samples, bright, top):
            continue
        if found.columns >= _STRIP_SHARE * width:
            # The lettering of a strip breaks its rows: everything between it and the frame's edge belongs to it.
            below = found.top >= height / 2
            rows = slice(found.top, height) if below else slice(0, found.bottom)
            near = height - found.bottom if below else found.top
            if near <= height / 4:
                drawn[rows] = True
                continue
        drawn[found.top : found.bottom, found.left : found.right] = True


def _rectangles(bright: Levels, lines: NDArray[np.intp], top: int) -> list[_Rectangle]:
    """Runs of equal pixels that begin and end in the same columns in consecutive rows."""
    rows, left, right = _runs(_limited(bright[lines], top))
    rows = lines[rows]
    keep = bright[rows, left] > _DARK_SHARE * top
    rows, left, right = rows[keep], left[keep], right[keep]
    order = np.lexsort((rows, right, left))
    rows, left, right = rows[order], left[order], right[order]
    if len(rows) == 0:
        return []
    begins = np.ones(len(rows), dtype=bool)
    begins[1:] = (np.diff(rows) != 1) | (np.diff(left) != 0) | (np.diff(right) != 0)
    starts = np.flatnonzero(begins)
    ends = np.append(starts[1:], len(rows))
    return [
        _Rectangle(int(rows[i]), int(rows[j - 1]) + 1, int(left[i]), int(right[i]))
        for i, j in zip(starts, ends, strict=True)
    ]


def _runs(
    bright: Levels,
) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.intp]]:
    """Row, first and last column (half-open) of every longest run of equal pixels, of _LEAST_RUN_PX or more."""
    equal = np.zeros((bright.shape[0], bright.shape[1] + 1), dtype=np.int8)
    equal[:, 1:-1] = bright[:, 1:] == bright[:, :-1]
    change = np.diff(equal, axis=1)
    rows, left = np.nonzero(change == 1)
    _, right = np.nonzero(change == -1)
    right = right + 1
    keep = right - left >= _LEAST_RUN_PX
    return rows[keep], left[keep], right[keep]


def _is_drawn(found: _Rectangle, samples: NDArray[np.generic], bright: Levels, top: int) -> bool:
    """Whether a rectangle is large, of one colour a row, and sharp on its sides."""
    strip = found.columns >= _STRIP_SHARE * bright.shape[1]
    # A colour bar may begin and end in the background's colour; straight sides of that length are enough.
    bar = found.rows >= _LEAST_STEPS
    if not (strip or bar or _is_large(found)):
        return False  # first, since the flat middles of bright cells are many small rectangles
    inside = samples[found.top : found.bottom, found.left : found.right].astype(np.int32)
    middle = inside[:, found.columns // 2][:, None]
    if (np.abs(inside - middle) <= _SAME_COLOUR * top).mean() < _SAME_PART:
        return False
    above, below, *ends = _sharp_sides(found, bright, top)
    if strip:
        return (above and below) or (found.rows > 1 and (above or below))
    if bar:
        return all(ends) and found.left > 0 and found.right < bright.shape[1]
    return above and below and all(ends)


def _is_large(found: _Rectangle) -> bool:
    """Whether it is as large as the smallest bar or line."""
    if found.rows == 1 and found.columns < _LEAST_LINE_PX:
        return False
    long = max(found.rows, found.columns)
    return found.rows * found.columns >= _LEAST_BAR_PX and long >= _LEAST_BAR_LENGTH_PX


def _sharp_sides(found: _Rectangle, bright: Levels, top: int) -> list[bool]:
    """Above, below, left and right: does the brightness change steeply there? The frame's edge counts as steep."""
    height, width = bright.shape
    inside = bright[found.top : found.bottom, found.left : found.right]
    sides = []
    for inner, row in (
        (inside[0], found.top - _EDGE_PX),
        (inside[-1], found.bottom + _EDGE_PX - 1),
    ):
        outer = bright[row, found.left : found.right] if 0 <= row < height else None
        sides.append(_is_steep(inner, outer, top))
    for inner, column in (
        (inside[:, 0], found.left - _EDGE_PX),
        (inside[:, -1], found.right + _EDGE_PX - 1),
    ):
        outer = bright[found.top : found.bottom, column] if 0 <= column < width else None
        sides.append(_is_steep(inner, outer, top))
    return sides


def _is_steep(inner: Levels, outer: Levels | None, top: int) -> bool:
    if outer is None:
        return True
    change = np.abs(_limited(inner, top).astype(np.int64) - _limited(outer, top))
    return bool((change >= _SHARP_SHARE * top).mean() >= _SHARP_SIDES)


def _widened(drawn: Mask) -> Mask:
    """With the smoothed edge, which is no picture of the sample either."""
    import scipy

    return np.asarray(scipy.ndimage.binary_dilation(drawn, np.ones((3, 3)), iterations=_EDGE_PX))
