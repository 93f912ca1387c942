"""Letters, digits, arrows and outlines of one colour, drawn on a picture."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy
from numpy.typing import NDArray

from device.counting.filters import median
from device.counting.labelling.regions import places_of
from device.imageio.copies import LEAST_AREA_PX, MOST_SIDE_PX
from device.imageio.inks import Ink
from device.imageio.strokes import Box, Piece, blocks_of, find_inked, find_pieces, surroundings

Mask = NDArray[np.bool_]

_MARGIN_PX = 16
_STROKE_SHARE = 0.5
"""Of the ink's brightness: a stroke with its smoothed edge is brighter."""
_FALL_SHARE, _FALL_ALONE_SHARE = 0.35, 0.12
"""And what lies around it, two pixels out, is darker than that part of the way from the background to the ink."""
_SHARP_PART, _SHARP_ALONE_PART = 0.9, 0.95
_INKED_PART, _INKED_ALONE_PART = 0.25, 0.5
"""Part of a letter that has exactly the ink's level, in a line and alone."""
_OUTLINE_PX, _OUTLINE_THIN_SHARE = 40, 0.12
"""Length of a drawn line, and its width per length."""
_SHARP_OUTLINE_PART = 0.8
"""Part of its edge that falls off; it may run beside what is bright."""
_LEAST_HEIGHT_PX, _ALONE_HEIGHT_PX = 5, 16
"""A letter without neighbours must be larger to be told from a bright speck."""
_THIN_SHARE = 0.3
"""Width of the strokes per height of a letter; a nucleus is wider, also while it divides."""
_GAP_RATIO = 1.5
"""Between two letters of one line, per height of the taller one: a space between words and a little more."""
_HEIGHT_RATIO = 2.5
"""Between a small and a tall letter of one line."""
_GRID = 4
"""Every fourth pixel of every fourth row is enough for the background's level."""
_MOST_STROKE_PX = 12
"""Strokes of letters a hundred pixels high."""
_LEAST_LETTERS = 3
_THIN_PART = 0.5
"""Part of the letters of a line that must be as thin as that: a full stop is not."""
_POSSIBLE_PART = 0.7
"""Part of a lone dot or arrowhead, smoothed edge included, that has exactly the ink's level."""


@dataclass(frozen=True, slots=True)
class Letter:
    """What may be a letter.

    Attributes:
        piece: its pixels.
        stroke_px: width of its widest stroke.
        sharp: part of its edge that is so steep that it may stand alone, 0 to 1.
        at_edge: whether it goes on beyond the frame.
    """

    piece: Piece
    stroke_px: float
    sharp: float
    at_edge: bool

    @property
    def box(self) -> Box:
        """Where it lies."""
        return self.piece.box

    @property
    def height(self) -> int:
        """Rows."""
        return int(self.box[0].stop - self.box[0].start)

    @property
    def width(self) -> int:
        """Columns."""
        return int(self.box[1].stop - self.box[1].start)

    @property
    def thin(self) -> bool:
        """Whether its strokes are narrow for its size."""
        most = min(_MOST_STROKE_PX, _THIN_SHARE * max(self.height, self.width))
        return self.stroke_px <= most

    @property
    def alone(self) -> bool:
        """Whether it needs no neighbours to be told from a bright speck."""
        return (
            self.thin
            and self.sharp >= _SHARP_ALONE_PART
            and not self.at_edge
            and self.piece.inked >= _INKED_ALONE_PART
            and self.height >= _ALONE_HEIGHT_PX
        )

    @property
    def possible(self) -> bool:
        """Whether it may be drawn although nothing tells it from a bright cell for certain."""
        return bool(
            self.sharp >= _SHARP_ALONE_PART
            and not self.at_edge
            and self.piece.inked >= _POSSIBLE_PART
            and max(self.height, self.width) <= MOST_SIDE_PX
            and np.count_nonzero(self.piece.own) >= LEAST_AREA_PX
        )


def mark_lettering(drawn: Mask, possible: Mask, bright: NDArray[Any], inks: Sequence[Ink]) -> None:
    """Mark letters and outlines.

    Args:
        drawn: (height, width), gets True where one is.
        possible: the same, where something may be one.
        bright: (height, width), the brightest channel.
        inks: levels in it that are unusually frequent.
    """
    for ink in inks:
        left = ink.pixels[~drawn.ravel()[ink.pixels]]
        if not len(left):
            continue
        rows, columns = places_of(left, bright.shape[1])
        around = tuple(
            slice(max(0, place.min() - _MARGIN_PX), place.max() + _MARGIN_PX)
            for place in (rows, columns)
        )
        near = bright[around]
        pixels = (rows - around[0].start) * near.shape[1] + columns - around[1].start
        for letter in _mark_ink(drawn[around], near, pixels, ink.high):
            # Cells are as bright as each other, never to the last bit.
            if ink.low == ink.high and letter.possible:
                possible[around][letter.box] |= letter.piece.own


def _mark_ink(
    drawn: Mask, bright: NDArray[Any], pixels: NDArray[np.intp], level: int
) -> list[Letter]:
    """Mark the letters of one ink that stand in a line, and large ones that stand alone; returns what is left."""
    # Compared with a whole number: no copy in floating point.
    strokes = bright > int(_STROKE_SHARE * level)
    floor = median(bright[::_GRID, ::_GRID])
    depth = max(1.0, level - floor)
    if depth >= _STROKE_SHARE * level:  # what stands out little may be a level of the background
        _mark_outlines(drawn, bright, pixels, (floor, depth))
    if drawn.any():
        strokes &= ~drawn
    ink = np.zeros_like(strokes)
    ink.ravel()[pixels] = True
    near = blocks_of(pixels, bright.shape)
    pieces = [
        piece
        for piece in find_inked(strokes, ink, _INKED_PART, _LEAST_HEIGHT_PX, near)
        if len(piece.own) >= _LEAST_HEIGHT_PX
    ]
    letters: list[Letter] = []
    left: list[Letter] = []
    for piece in pieces:
        outside = (beyond(piece, strokes, bright) - floor) / depth
        if not len(outside) or (outside < _FALL_SHARE).mean() < _SHARP_PART:
            continue
        sharp = float((outside < _FALL_ALONE_SHARE).mean())
        letters.append(Letter(piece, stroke_px(piece.own), sharp, _at_edge(piece.box, bright)))
    for line in lines_of(letters):
        if _is_text(line):
            for letter in line:
                drawn[letter.box] |= letter.piece.own
            mark_small(drawn, strokes, line)
        else:
            left += line
    return left


def _mark_outlines(
    drawn: Mask, bright: NDArray[Any], pixels: NDArray[np.intp], scale: tuple[float, float]
) -> None:
    """Mark long lines of one level, such as outlines of regions and arrows; they may cross cells."""
    floor, depth = scale
    for piece in find_pieces(pixels, bright.shape, _OUTLINE_PX, _OUTLINE_PX):
        size = max(piece.own.shape)
        if size < _OUTLINE_PX or stroke_px(piece.own) > _OUTLINE_THIN_SHARE * size:
            continue
        outside = (beyond(piece, None, bright) - floor) / depth
        if (outside < _FALL_ALONE_SHARE).sum() >= _SHARP_OUTLINE_PART * max(1, len(outside)):
            drawn[piece.box] |= piece.own


def _is_text(line: list[Letter]) -> bool:
    if len(line) >= _LEAST_LETTERS:
        return sum(letter.thin for letter in line) >= _THIN_PART * len(line)
    return any(letter.alone for letter in line)


def mark_small(drawn: Mask, ink: Mask, line: list[Letter]) -> None:
    """Dots, dashes and broken strokes between the letters of a line."""
    down = slice(
        min(letter.box[0].start for letter in line), max(letter.box[0].stop for letter in line)
    )
    tallest = max(letter.height for letter in line)
    left = min(letter.box[1].start for letter in line) - tallest
    right = max(letter.box[1].stop for letter in line) + tallest
    around = down, slice(max(0, left), right)
    drawn[around] |= ink[around]


def beyond(piece: Piece, strokes: Mask | None, bright: NDArray[Any]) -> NDArray[np.float64]:
    """The pixels two away from a piece, without those of other strokes if they are given."""
    wide, ring = surroundings(piece, bright.shape)
    if strokes is not None:
        ring &= ~strokes[wide]
    outside: NDArray[np.float64] = bright[wide][ring].astype(np.float64)
    return outside


def _at_edge(box: Box, image: NDArray[Any]) -> bool:
    return any(
        side.start == 0 or side.stop == length
        for side, length in zip(box, image.shape, strict=True)
    )


def stroke_px(own: Mask) -> float:
    """Width of the widest stroke."""
    return 2 * float(scipy.ndimage.distance_transform_edt(np.pad(own, 1)).max()) - 1


def lines_of(letters: list[Letter]) -> list[list[Letter]]:
    """Letters side by side at about one height, in lines; each letter in one."""
    # From left to right a line that is out of reach stays so: thousands of bright cells are no thousands of lines.
    reach = _GAP_RATIO * max((letter.height for letter in letters), default=0)
    lines: list[list[Letter]] = []
    near: list[list[Letter]] = []
    for letter in sorted(letters, key=lambda one: (one.box[1].start, one.box[0].start)):
        begin = letter.box[1].start
        near = [line for line in near if begin - line[-1].box[1].stop <= reach]
        for line in near:
            if _follows(letter, line[-1]):
                line.append(letter)
                break
        else:
            lines.append([letter])
            near.append(lines[-1])
    return lines


def _follows(letter: Letter, last: Letter) -> bool:
    tall = max(letter.height, last.height)
    gap = letter.box[1].start - last.box[1].stop
    overlap = min(letter.box[0].stop, last.box[0].stop) - max(
        letter.box[0].start, last.box[0].start
    )
    if tall > _HEIGHT_RATIO * min(letter.height, last.height):
        return False
    return bool(gap <= _GAP_RATIO * tall and overlap >= 0.5 * min(letter.height, last.height))
