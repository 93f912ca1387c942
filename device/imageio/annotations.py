"""What software draws on a picture: scale bars, lettering, lines, colour bars, strips and borders.

A camera never gives two rows of pixels that are equal to the last bit, nor an edge that falls from full light to the
background within two pixels on all sides: lenses blur and sensors are noisy. Drawn things have both. A saturated cell
is uniform too, but its edge is soft and its outline round, so it is never taken for one of them.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from device.counting.records import ImageArray
from device.counting.scale import brightest
from device.imageio.lettering import mark_lettering

Mask = NDArray[np.bool_]
Levels = NDArray[np.uint8] | NDArray[np.uint16]

_LEAST_RUN_PX = 10
"""Equal neighbours in a row or a column."""
_LOOK_STEP_PX = _LEAST_RUN_PX // 3
_ROWS_AT_ONCE = 512
"""Of a large frame never more is copied."""
_LEAST_BAR_PX, _LEAST_BAR_LENGTH_PX = 32, 16
"""Area and length of the smallest bar; the saturated middle of a small nucleus may be a rectangle of 3 by 8."""
_LEAST_STEPS = 12
"""Rows of a colour bar, each of one value, that begin and end in the same columns."""
_LEAST_LINE_PX = 40
"""Length of a line one pixel thick."""
_RAGGED_PX = 2
"""How far the ends of a bar's rows may be apart."""
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
    _mark_rectangles(drawn, samples, bright, top)
    turned = samples.T if samples.ndim == 2 else samples.transpose(1, 0, 2)
    _mark_rectangles(drawn.T, turned, bright.T, top)


@dataclass(frozen=True, slots=True)
class _Rectangle:
    """Rows `top` to `bottom` and columns `left` to `right`, half-open; each row of one value.

    The ends of the rows of a `ragged` one differ by a pixel or two, as lossy compression leaves them.
    """

    top: int
    bottom: int
    left: int
    right: int
    ragged: bool = False

    @property
    def rows(self) -> int:
        return self.bottom - self.top

    @property
    def columns(self) -> int:
        return self.right - self.left


def _mark_rectangles(drawn: Mask, samples: NDArray[np.generic], bright: Levels, top: int) -> None:
    """Mark bars, lines, colour bars, strips and borders whose rows have one value each."""
    height, width = bright.shape
    for found in _rectangles(bright, top):
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


def _rectangles(bright: Levels, top: int) -> list[_Rectangle]:
    """Runs of equal pixels that begin and end in the same columns in consecutive rows."""
    bands = [
        _runs(bright[begin : begin + _ROWS_AT_ONCE], begin, top)
        for begin in range(0, len(bright), _ROWS_AT_ONCE)
    ]
    rows, left, right = (np.concatenate(parts) for parts in zip(*bands, strict=True))
    ragged = _ragged(rows, left, right)
    order = np.lexsort((rows, right, left))
    rows, left, right = rows[order], left[order], right[order]
    if len(rows) == 0:
        return []
    begins = np.ones(len(rows), dtype=bool)
    begins[1:] = (np.diff(rows) != 1) | (np.diff(left) != 0) | (np.diff(right) != 0)
    starts = np.flatnonzero(begins)
    ends = np.append(starts[1:], len(rows))
    return ragged + [
        _Rectangle(int(rows[i]), int(rows[j - 1]) + 1, int(left[i]), int(right[i]))
        for i, j in zip(starts, ends, strict=True)
    ]


def _ragged(
    rows: NDArray[np.intp], left: NDArray[np.intp], right: NDArray[np.intp]
) -> list[_Rectangle]:
    """Long runs in consecutive rows that begin and end in nearly the same columns."""
    is_long = right - left >= _LEAST_LINE_PX
    found: list[_Rectangle] = []
    growing: list[tuple[_Rectangle, int, int]] = []  # with the ends of the first row
    runs = zip(rows[is_long].tolist(), left[is_long].tolist(), right[is_long].tolist(), strict=True)
    for row, begin, end in runs:
        found += [one for one, _, _ in growing if one.bottom < row]
        growing = [known for known in growing if known[0].bottom >= row]
        for place, (one, first, last) in enumerate(growing):
            if one.bottom == row and max(abs(begin - first), abs(end - last)) <= _RAGGED_PX:
                sides = min(one.left, begin), max(one.right, end)
                growing[place] = _Rectangle(one.top, row + 1, *sides, ragged=True), first, last
                break
        else:
            growing.append((_Rectangle(row, row + 1, begin, end), begin, end))
    return [one for one in (*found, *(one for one, _, _ in growing)) if one.ragged]


def _runs(
    band: Levels, begin: int, top: int
) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.intp]]:
    """Row, first and last column (half-open) of the longest runs of _LEAST_RUN_PX or more that are no background.

    Args:
        band: some rows of the picture; what is worked out of them stays in the processor's cache.
        begin: the number of the first.
        top: brighter is as bright as that.
    """
    # Compared with whole numbers: no copy in floating point.
    dark, kind = int(_DARK_SHARE * top), band.dtype.type
    # Of every third pixel a run holds three beside each other: few rows have such, no other needs a closer look.
    sparse = np.minimum(band[:, ::_LOOK_STEP_PX], kind(top))
    pairs = (sparse[:, :-1] == sparse[:, 1:]) & (sparse[:, :-1] > dark)
    lines = np.flatnonzero((pairs[:, :-1] & pairs[:, 1:]).any(axis=1))
    level = np.minimum(band[lines], kind(top))
    full = (level[:, :-1] == level[:, 1:]) & (level[:, :-1] > dark)
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
    return begin + lines[has_run][rows], left, behind + _LEAST_RUN_PX - 1


def _is_drawn(found: _Rectangle, samples: NDArray[np.generic], bright: Levels, top: int) -> bool:
    """Whether a rectangle is large, of one colour a row, and sharp on its sides."""
    strip = found.columns >= _STRIP_SHARE * bright.shape[1]
    # A colour bar may begin and end in the background's colour; straight sides of that length are enough.
    bar = found.rows >= _LEAST_STEPS and not found.ragged
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
    # Both are cut off at `top`: what is drawn white is not quite equal after JPEG.
    change = np.abs(np.minimum(inner, top).astype(np.int64) - np.minimum(outer, top))
    return bool((change >= _SHARP_SHARE * top).mean() >= _SHARP_SIDES)


def _widened(drawn: Mask) -> Mask:
    """With the smoothed edge, which is no picture of the sample either."""
    import scipy

    return np.asarray(scipy.ndimage.binary_dilation(drawn, np.ones((3, 3)), iterations=_EDGE_PX))
