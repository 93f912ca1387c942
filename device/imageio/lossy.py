"""Lettering and marks on a picture that was compressed as photographs are: no two pixels of them are equal any more.

Colours are stored at half the size, so a letter in colour fades out over three pixels; its brightness (luma) does not.
In the luma a drawn thing is still flat, and falls to the background within two pixels on all sides. A small cell in
focus does that too; but neither do four of them stand side by side, equally bright and of thin strokes, nor have three
of them the same outline to the pixel.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy
from numpy.typing import NDArray
from PIL import Image

from device.counting.records import ImageArray
from device.imageio.copies import LEAST_AREA_PX, MOST_SIDE_PX, Mark, find_copies, has_noise
from device.imageio.lettering import Letter, beyond, lines_of, mark_small, stroke_px
from device.imageio.strokes import Piece, find_inked

Mask = NDArray[np.bool_]
Luma = NDArray[np.uint8]

_LEAST_LEVEL = 18
"""Above the background; pure blue has 29."""
_STEP = 1.85
"""Between two thresholds, so that one of them is near half of any level."""
_NEAR_HALF = 0.35, 0.65
_GRID = 4
"""Every fourth pixel of every fourth row is enough for the background's level."""
_REACH_PX = 3
_STEEP_SHARE = 0.7
"""Of its brightness: what a pixel of a stroke loses within that reach on some side."""
_STEEP_PART = 0.3
"""Part of a piece that must be as steep as that: all of a letter, the outer half of a dot."""
_FALLEN_SHARE, _FALLEN_PART = 0.25, 0.9
"""Two pixels out so much of the outline is darker than that part of the level."""
_SAME_LEVEL = 0.12
"""Letters of a line differ by less."""
_SAME_COLOUR = 24
"""And each of their channels by less; colours at half the size are smeared."""
_LEAST_COLOUR = 178
"""Of 255, in its brightest channel: people draw in full colours; dim nuclei of one size are flat within some levels."""
_ALIKE_PART = 0.75
_LEAST_LETTERS = 3
_LEAST_HEIGHT_PX = 7
_FLAT_SHARE, _FLAT_LEVELS = 0.06, 7
"""Of its level, at least so many levels: three quarters of the pixels inside its edge are as near to their median."""
_COPIES_APART = 0.08
"""Part of the pixels by which copies may differ."""
_LIKE_COLOUR, _LIKE_SIZE = 32, 1.4
"""What else differs by no more from marks that were found is one of them, blurred by what lies beside it."""


@dataclass(frozen=True, slots=True, eq=False)
class _Found:
    """A piece with sharp edges.

    Attributes:
        piece: its pixels.
        level: its luma above the background.
        colour: (channels,).
        flat: whether all of it is as bright.
    """

    piece: Piece
    level: float
    colour: NDArray[np.float64]
    flat: bool


def mark_lossy(drawn: Mask, samples: ImageArray) -> None:
    """Mark lines of letters, and marks that are repeated.

    Args:
        drawn: (height, width), gets True where one is.
        samples: (height, width) or (height, width, 3) uint8.
    """
    luma = np.asarray(Image.fromarray(samples).convert("L"))
    if not has_noise(luma):
        return
    floor = int(np.median(luma[::_GRID, ::_GRID]))
    light = np.maximum(luma, floor) - np.uint8(floor)
    steep = _steep(light)
    found: list[_Found] = []
    for threshold in _thresholds(int(light.max())):
        strokes = light > threshold
        pieces = find_inked(strokes, steep & strokes, _STEEP_PART, LEAST_AREA_PX)
        judged = (_judge(piece, strokes, (light, samples), threshold) for piece in pieces)
        sharp = [one for one in judged if one is not None]
        _mark_lines(drawn, strokes, sharp)
        found += [one for one in sharp if not any(_overlap(one, known) for known in found)]
    _mark_copies(drawn, found)


def _thresholds(top: int) -> Iterator[int]:
    level = float(_LEAST_LEVEL)
    while level < top:
        yield round(level * 0.5)
        level *= _STEP


def _steep(light: Luma) -> Mask:
    """Where brightness falls nearly to the background within a few pixels."""
    wide = np.pad(light, _REACH_PX, "edge")
    height, width = light.shape
    lowest = light
    for down, right in ((0, 1), (2, 1), (1, 0), (1, 2)):
        rows = slice(down * _REACH_PX, down * _REACH_PX + height)
        columns = slice(right * _REACH_PX, right * _REACH_PX + width)
        lowest = np.minimum(lowest, wide[rows, columns])
    # In whole numbers: what is left, in parts of 256.
    left = round(256 * (1 - _STEEP_SHARE))
    return np.asarray(
        (light >= _LEAST_LEVEL // 2) & (lowest <= (light.astype(np.uint16) * left >> 8))
    )


def _judge(
    piece: Piece, strokes: Mask, pictures: tuple[Luma, ImageArray], threshold: int
) -> _Found | None:
    """A piece that falls to the background on all sides, of luma and of a level near twice the threshold."""
    light, samples = pictures
    if not _LEAST_HEIGHT_PX <= max(piece.own.shape) <= MOST_SIDE_PX:
        return None
    inside = light[piece.box][piece.own]
    level = _upper_quartile(inside)
    if not _NEAR_HALF[0] * level <= threshold <= _NEAR_HALF[1] * level:
        return None
    outside = beyond(piece, strokes, light)
    if (outside < _FALLEN_SHARE * level).mean() < _FALLEN_PART:
        return None
    colours = samples[piece.box][piece.own][inside >= level]
    colour = np.atleast_1d(np.median(colours, axis=0)).astype(np.float64)
    if colour.max() < _LEAST_COLOUR:
        return None
    return _Found(piece, level, colour, _is_flat(piece, light, level))


def _is_flat(piece: Piece, light: Luma, level: float) -> bool:
    core = scipy.ndimage.binary_erosion(piece.own, np.ones((3, 3)))
    if not core.any():
        return True  # strokes of a cross or a ring: nothing but edges
    inside = light[piece.box][core].astype(np.float64)
    apart = _upper_quartile(np.abs(inside - np.median(inside)))
    return bool(apart <= max(_FLAT_LEVELS, _FLAT_SHARE * level))


def _upper_quartile(values: NDArray[Any]) -> float:
    """Without interpolation: a tenth of the time that NumPy's takes for some pixels."""
    place = 3 * (len(values) - 1) // 4
    return float(np.partition(values, place)[place])


def _mark_lines(drawn: Mask, strokes: Mask, found: list[_Found]) -> None:
    """Mark letters of one colour that stand side by side."""
    letters = [(Letter(one.piece, stroke_px(one.piece.own), 1.0, False), one) for one in found]
    known = {id(letter): one for letter, one in letters if letter.thin}
    for line in lines_of([letter for letter, _ in letters if letter.thin]):
        if len(line) >= _LEAST_LETTERS and _are_alike([known[id(letter)] for letter in line]):
            for letter in line:
                drawn[letter.box] |= letter.piece.own
            mark_small(drawn, strokes, line)


def _are_alike(found: list[_Found]) -> bool:
    levels = np.array([one.level for one in found])
    colours = np.array([one.colour for one in found])
    middle = np.median(levels)
    near = np.abs(levels - middle) <= _SAME_LEVEL * middle
    near &= (np.abs(colours - np.median(colours, axis=0)) <= _SAME_COLOUR).all(axis=1)
    return bool(near.mean() >= _ALIKE_PART)


def _overlap(one: _Found, other: _Found) -> bool:
    """Whether they are the same thing at two thresholds."""
    return all(
        first.start < second.stop and second.start < first.stop
        for first, second in zip(one.piece.box, other.piece.box, strict=True)
    )


def _mark_copies(drawn: Mask, found: list[_Found]) -> None:
    """Mark what is repeated, and what else has the same colour and nearly the same size."""
    marks = [Mark(one.piece, one.colour) for one in found if one.flat]
    copies = list(find_copies(marks, _COPIES_APART, _SAME_COLOUR))
    for one in found:
        if any(_is_like(one, copy) for copy in copies):
            drawn[one.piece.box] |= one.piece.own


def _is_like(one: _Found, copy: Mark) -> bool:
    if (np.abs(one.colour - copy.colour) > _LIKE_COLOUR).any():
        return False
    areas = np.count_nonzero(one.piece.own), np.count_nonzero(copy.piece.own)
    return bool(max(areas) <= _LIKE_SIZE * min(areas))
