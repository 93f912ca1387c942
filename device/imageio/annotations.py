"""What software draws on a picture: scale bars, lettering, lines, colour bars, strips and borders.

A camera never gives two rows of pixels that are equal to the last bit, nor an edge that falls from full light to the
background within two pixels on all sides: lenses blur and sensors are noisy. Drawn things have both. A saturated cell
is uniform too, but its edge is soft and its outline round, so it is never taken for one of them.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from device.counting.records import ImageArray
from device.counting.scale import brightest
from device.imageio.copies import mark_copies
from device.imageio.deep import mark_beyond_range
from device.imageio.inks import find_inks
from device.imageio.lettering import mark_lettering
from device.imageio.lossy import mark_lossy
from device.imageio.runs import LEAST_LINE_PX, Levels, Rectangle, find_ragged, find_rectangles
from device.imageio.strips import mark_strips

Mask = NDArray[np.bool_]

_LEAST_BAR_PX, _LEAST_BAR_LENGTH_PX = 32, 16
"""Area and length of the smallest bar; the saturated middle of a small nucleus may be a rectangle of 3 by 8."""
_LEAST_STEPS = 12
"""Rows of a colour bar, each of one value, that begin and end in the same columns."""
_LEAST_SHADES = 6
"""Values in them."""
_LEAST_MARGIN_PX = 2
"""Of a box of lettering."""
_LOSSY_FULL, _LOSSY_SHARE = 0.75, 0.5
"""There a bar in colour is only as even as that share of the highest level; but it falls by half within two pixels."""
_LEAST_TOP = 8
"""In a frame as dark as this nothing stands out."""
_NEARLY_FULL = 0.93
"""Of the highest level: what is drawn white is not quite equal after JPEG."""
_SAME_COLOUR = 0.08
_SAME_PART = 0.85
"""Part of a row that must be within that share of the highest level of its middle; outlines differ."""
_SHARP_SHARE = 0.15
"""What an edge must fall by within two pixels, as a part of the brightest level."""
_SHARP_SIDES = 0.8
"""Part of an outline that must be as sharp as that."""
_EDGE_PX = 2
"""Lettering is smoothed over one pixel; the second is background."""
_STRIP_SHARE = 0.9
"""Of the frame's width or height: a border or a strip of information."""
_MOST_PLACES = 100
"""That are kept with a result."""


@dataclass(frozen=True, slots=True, eq=False)
class Drawings:
    """(height, width) each, or None where there is nothing.

    Attributes:
        certain: what is drawn.
        possible: what may be drawn, or be a saturated cell with a steep edge.
    """

    certain: Mask | None = None
    possible: Mask | None = None

    def places(self) -> tuple[tuple[int, int], ...]:
        """(x, y) of the middle of each thing that may be drawn, the first hundred."""
        if self.possible is None:
            return ()
        import scipy

        labels, _ = scipy.ndimage.label(self.possible)
        boxes = scipy.ndimage.find_objects(labels)[:_MOST_PLACES]
        return tuple(
            ((across.start + across.stop) // 2, (down.start + down.stop) // 2)
            for down, across in boxes
        )


def find_annotations(
    samples: ImageArray, hidden: Sequence[Mask] = (), lossy: bool = False
) -> Mask | None:
    """Find what is drawn on a picture for certain; see `find_drawings`."""
    return find_drawings(samples, hidden, lossy).certain


def find_drawings(
    samples: ImageArray, hidden: Sequence[Mask] = (), lossy: bool = False
) -> Drawings:
    """Find what is drawn on a picture, and what may be.

    Args:
        samples: (height, width) or (height, width, 3), uint8 or uint16.
        hidden: (height, width) each, True where there is no picture: a transparent area is not drawn on it.
        lossy: whether it was compressed as photographs are, with colours at half the size.
    """
    bright = samples.copy() if samples.ndim == 2 else brightest(samples)
    if darkest := bright.min():
        bright -= darkest
    for nothing in hidden:
        bright[nothing] = 0
    top = int(bright.max())
    if top < _LEAST_TOP:
        return Drawings()
    drawn, possible = (np.zeros(bright.shape, dtype=bool) for _ in range(2))
    mark_beyond_range(possible, bright, top)
    inks = find_inks(bright, top)
    mark_lettering(drawn, possible, bright, inks)
    mark_copies(drawn, samples, bright, inks)
    _mark_uniform(drawn, samples, bright, int(_NEARLY_FULL * top))
    if lossy:
        _mark_ragged(drawn, bright, int(_LOSSY_FULL * top))
        _mark_ragged(drawn.T, bright.T, int(_LOSSY_FULL * top))
        mark_lossy(drawn, possible, samples)
    else:
        mark_strips(drawn, samples)
        for nothing in hidden:
            drawn &= ~nothing
    certain = _widened(drawn) if drawn.any() else None
    if certain is not None:
        possible &= ~certain
    return Drawings(certain, _widened(possible) if possible.any() else None)


def _mark_uniform(drawn: Mask, samples: NDArray[np.generic], bright: Levels, top: int) -> None:
    """Mark rectangles whose rows or columns have one value each; brighter than `top` is as bright as that."""
    _mark_rectangles(drawn, samples, bright, top)
    turned = samples.T if samples.ndim == 2 else samples.transpose(1, 0, 2)
    _mark_rectangles(drawn.T, turned, bright.T, top)


def _mark_rectangles(drawn: Mask, samples: NDArray[np.generic], bright: Levels, top: int) -> None:
    """Mark bars, lines, colour bars, strips and borders whose rows have one value each."""
    height, width = bright.shape
    rectangles = find_rectangles(bright, top)
    _mark_boxes(drawn, bright, rectangles, top)
    for found in rectangles:
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


def _mark_boxes(drawn: Mask, bright: Levels, rectangles: list[Rectangle], top: int) -> None:
    """Mark boxes with lettering in them: their upper and lower margins begin and end in the same columns."""
    upper: dict[tuple[int, int], Rectangle] = {}
    for found in sorted(rectangles, key=lambda one: one.top):
        if found.columns < LEAST_LINE_PX or found.rows < _LEAST_MARGIN_PX:
            continue
        above, below, *ends = _sharp_sides(found, bright, top, _SHARP_SHARE)
        sides = found.left, found.right
        if not all(ends) or found.columns >= _STRIP_SHARE * bright.shape[1]:
            continue
        if below and not above and sides in upper:
            drawn[upper.pop(sides).top : found.bottom, found.left : found.right] = True
        elif above and not below:
            upper[sides] = found


def _mark_ragged(drawn: Mask, bright: Levels, top: int) -> None:
    """Mark bars in a lossy picture; brighter than `top` is as bright as that."""
    for found in find_ragged(bright, top):
        if all(_sharp_sides(found, bright, top, _LOSSY_SHARE)):
            drawn[found.top : found.bottom, found.left : found.right] = True


def _is_drawn(found: Rectangle, samples: NDArray[np.generic], bright: Levels, top: int) -> bool:
    """Whether a rectangle is large, of one colour a row, and sharp on its sides."""
    strip = found.columns >= _STRIP_SHARE * bright.shape[1]
    bar = found.rows >= _LEAST_STEPS and _has_shades(found, bright, top)
    if not (strip or bar or _is_large(found)):
        return False  # first, since the flat middles of bright cells are many small rectangles
    inside = samples[found.top : found.bottom, found.left : found.right].astype(np.int32)
    middle = inside[:, found.columns // 2][:, None]
    if (np.abs(inside - middle) <= _SAME_COLOUR * top).mean() < _SAME_PART:
        return False
    above, below, *ends = _sharp_sides(found, bright, top, _SHARP_SHARE)
    if strip:
        return (above and below) or (found.rows > 1 and (above or below))
    if bar:
        return all(ends) and found.left > 0 and found.right < bright.shape[1]
    return above and below and all(ends)


def _has_shades(found: Rectangle, bright: Levels, top: int) -> bool:
    """Whether it has the shades of a colour bar.

    One may begin and end in the background's colour; straight sides of that length are enough. What has straight sides
    and one shade throughout may be a nucleus that was stretched to full light.
    """
    shades = np.unique(np.minimum(bright[found.top : found.bottom, found.left], top))
    return len(shades) >= _LEAST_SHADES


def _is_large(found: Rectangle) -> bool:
    """Whether it is as large as the smallest bar or line."""
    if found.rows == 1 and found.columns < LEAST_LINE_PX:
        return False
    long = max(found.rows, found.columns)
    return found.rows * found.columns >= _LEAST_BAR_PX and long >= _LEAST_BAR_LENGTH_PX


def _sharp_sides(found: Rectangle, bright: Levels, top: int, share: float) -> list[bool]:
    """Above, below, left and right: does the brightness change steeply there? The frame's edge counts as steep."""
    height, width = bright.shape
    inside = bright[found.top : found.bottom, found.left : found.right]
    sides = []
    for inner, row in (
        (inside[0], found.top - _EDGE_PX),
        (inside[-1], found.bottom + _EDGE_PX - 1),
    ):
        outer = bright[row, found.left : found.right] if 0 <= row < height else None
        sides.append(_is_steep(inner, outer, top, share))
    for inner, column in (
        (inside[:, 0], found.left - _EDGE_PX),
        (inside[:, -1], found.right + _EDGE_PX - 1),
    ):
        outer = bright[found.top : found.bottom, column] if 0 <= column < width else None
        sides.append(_is_steep(inner, outer, top, share))
    return sides


def _is_steep(inner: Levels, outer: Levels | None, top: int, share: float) -> bool:
    if outer is None:
        return True
    # Both are cut off at `top`: what is drawn white is not quite equal after JPEG.
    change = np.abs(np.minimum(inner, top).astype(np.int64) - np.minimum(outer, top))
    return bool((change >= share * top).mean() >= _SHARP_SIDES)


def _widened(drawn: Mask) -> Mask:
    """With the smoothed edge, which is no picture of the sample either."""
    import scipy

    return np.asarray(scipy.ndimage.binary_dilation(drawn, np.ones((3, 3)), iterations=_EDGE_PX))
