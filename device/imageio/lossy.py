"""Lettering and marks on a picture that was compressed as photographs are: no two pixels of them are equal any more.

Colours are stored at half the size, so a letter in colour fades out over three pixels; its brightness (luma) does not.
In the luma a drawn thing is still flat, and falls to the background within two pixels on all sides. A small cell in
focus does that too; but neither do three of them stand side by side, equally bright and of thin strokes, nor have three
of them the same outline to the pixel. Where a thin stroke is as even as ink and all that surrounds it is dark, two
letters are enough, or one.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy
from numpy.typing import NDArray
from PIL import Image

from device.counting.records import ImageArray
from device.counting.scale import brightest
from device.imageio.copies import LEAST_AREA_PX, MOST_SIDE_PX, Mark, find_copies, has_noise
from device.imageio.lettering import Letter, beyond, lines_of, mark_small, stroke_px
from device.imageio.strokes import Piece, find_inked, in_blocks

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
_CLEAR = ((0.8, 0.8, 0.2), (0.9, 0.85, 0.15))
"""How much clearer two letters in a line must be drawn, and one alone: part that is as steep as that, part of the
outline that is as dark as the background, and by how much of its level three quarters of the pixels differ from it."""
_DARK_SHARE = 0.2
"""Of the level; darker is background, with the light that colours at half the size leave beside a stroke."""
_MIDDLE_SHARE = 0.6
"""Of the level; darker pixels are the smoothed edge of a stroke."""
_FALLEN_SHARE, _FALLEN_PART = 0.25, 0.9
"""Two pixels out so much of the outline is darker than that part of the level."""
_SAME_LEVEL = 0.12
"""Letters of a line differ by less."""
_SAME_COLOUR = 24
"""And each of their channels by less; colours at half the size are smeared."""
_SMEARED_COLOUR, _REACH_HEIGHTS = 60, 2
"""By how much a letter in the line of clear ones may differ in colour, and how far from them it may be in heights."""
_LEAST_COLOUR = 178
"""Of 255, in its brightest channel: people draw in full colours; dim nuclei of one size are flat within some levels."""
_ALIKE_PART = 0.75
_LEAST_LETTERS = 3
_LEAST_HEIGHT_PX = 7
_ALONE_SIDES_PX = 5, 12
"""Short and long side of a letter that needs no neighbours."""
_FLAT_SHARE, _FLAT_LEVELS = 0.06, 7
"""Of its level, at least so many levels: three quarters of the pixels inside its edge are as near to their median."""
_COPIES_APART = 0.08
"""Part of the pixels by which copies may differ."""
_LIKE_COLOUR, _LIKE_SIZE = 32, 1.4
"""What else differs by no more from marks that were found is one of them, blurred by what lies beside it."""


@dataclass(frozen=True, slots=True, eq=False)
class _Picture:
    """(height, width) or (height, width, 3) samples, and their luma above that of the background."""

    samples: ImageArray
    light: Luma
    floor: int


@dataclass(frozen=True, slots=True, eq=False)
class _Found:
    """A piece with sharp edges.

    Attributes:
        piece: its pixels.
        level: its luma above the background.
        colour: (channels,).
        flat: whether all of it is as bright.
        clear: how clearly it is drawn, see _CLEAR.
    """

    piece: Piece
    level: float
    colour: NDArray[np.float64]
    flat: bool
    clear: int

    def letter(self) -> Letter:
        """As one of a line."""
        return Letter(self.piece, stroke_px(self.piece.own), 1.0, False)


def mark_lossy(drawn: Mask, possible: Mask, samples: ImageArray) -> None:
    """Mark lines of letters, and marks that are repeated.

    Args:
        drawn: (height, width), gets True where one is.
        possible: the same, where something may be a lone one.
        samples: (height, width) or (height, width, 3) uint8.
    """
    bright = samples if samples.ndim == 2 else brightest(samples)
    full = bright >= _LEAST_COLOUR
    if not full.any():
        return
    luma = np.asarray(Image.fromarray(samples).convert("L"))
    if not has_noise(luma):
        return
    floor = int(np.median(luma[::_GRID, ::_GRID]))
    light = np.maximum(luma, floor) - np.uint8(floor)
    picture = _Picture(samples, light, floor)
    steep, near = _steep(light), in_blocks(full)
    found: list[_Found] = []
    for threshold in _thresholds(int(light.max())):
        strokes = light > threshold
        pieces = find_inked(strokes, steep & strokes, _STEEP_PART, LEAST_AREA_PX, near)
        judged = (_judge(piece, strokes, picture, threshold) for piece in pieces)
        sharp = [one for one in judged if one is not None]
        _mark_lines(drawn, strokes, samples, sharp)
        found += [one for one in sharp if not any(_overlap(one, known) for known in found)]
    _mark_copies(drawn, found)
    for one in found:
        if one.flat and one.clear == len(_CLEAR) and _is_large(one.piece):
            possible[one.piece.box] |= one.piece.own


def _thresholds(top: int) -> Iterator[int]:
    """As many as have one near half of every level up to the highest."""
    threshold = _LEAST_LEVEL * 0.5
    while round(threshold) <= _NEAR_HALF[1] * top:
        yield round(threshold)
        threshold *= _STEP


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


def _judge(piece: Piece, strokes: Mask, picture: _Picture, threshold: int) -> _Found | None:
    """A piece that falls to the background on all sides, of luma and of a level near twice the threshold."""
    light = picture.light
    if not _LEAST_HEIGHT_PX <= max(piece.own.shape) <= MOST_SIDE_PX:
        return None
    inside = light[piece.box][piece.own]
    level = _upper_quartile(inside)
    if not _NEAR_HALF[0] * level <= threshold <= _NEAR_HALF[1] * level:
        return None
    outside = beyond(piece, strokes, light)
    if (outside < _FALLEN_SHARE * level).mean() < _FALLEN_PART:
        return None
    colours = picture.samples[piece.box][piece.own][inside >= level]
    colour = np.atleast_1d(np.median(colours, axis=0)).astype(np.float64)
    if colour.max() < _LEAST_COLOUR:
        return None
    clear = _clearness(piece, inside, outside, level) if level >= picture.floor else 0
    return _Found(piece, level, colour, _is_flat(piece, light, level), clear)


def _clearness(piece: Piece, inside: Luma, outside: NDArray[np.float64], level: float) -> int:
    """How many of _CLEAR a piece fulfils; its pixels' brightness and that beyond them are given."""
    fallen = float((outside < _DARK_SHARE * level).mean())
    middle = inside[inside >= _MIDDLE_SHARE * level].astype(np.float64)
    apart = _upper_quartile(np.abs(middle - level)) / level
    return sum(
        piece.inked >= steep and fallen >= around and apart <= even
        for steep, around, even in _CLEAR
    )


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


def _mark_lines(drawn: Mask, strokes: Mask, samples: ImageArray, found: list[_Found]) -> None:
    """Mark letters of one colour that stand side by side, and one that is clear enough without others."""
    letters = [(one.letter(), one) for one in found]
    known = {id(letter): one for letter, one in letters if letter.thin}
    for line in lines_of([letter for letter, _ in letters if letter.thin]):
        members = [known[id(letter)] for letter in line]
        if len(line) >= _LEAST_LETTERS and _are_alike(members):
            for letter in line:
                drawn[letter.box] |= letter.piece.own
            mark_small(drawn, strokes, line)
            continue
        for one in members:
            alike = [other for other in members if _are_alike([one, other])]
            if _is_clear(alike):
                _mark_beside(drawn, strokes, samples, alike)


def _mark_beside(drawn: Mask, strokes: Mask, samples: ImageArray, alike: list[_Found]) -> None:
    """Mark letters and what has their colour in their line: letters that touch something."""
    rows = [side for one in alike for side in (one.piece.box[0].start, one.piece.box[0].stop)]
    columns = [side for one in alike for side in (one.piece.box[1].start, one.piece.box[1].stop)]
    reach = _REACH_HEIGHTS * (max(rows) - min(rows))
    line = slice(min(rows), max(rows)), slice(max(0, min(columns) - reach), max(columns) + reach)
    colour = np.median([one.colour for one in alike], axis=0)
    around = samples[line].reshape(*strokes[line].shape, -1)
    near = (np.abs(around - colour) <= _SMEARED_COLOUR).all(axis=2)
    drawn[line] |= strokes[line] & near
    for one in alike:
        drawn[one.piece.box] |= one.piece.own


def _is_clear(alike: list[_Found]) -> bool:
    """Whether letters of one colour are drawn so clearly that fewer than three are enough."""
    clear = [one.clear for one in alike if _is_large(one.piece)]
    return bool(clear) and (max(clear) >= 2 or sum(number >= 1 for number in clear) >= 2)


def _is_large(piece: Piece) -> bool:
    return all(np.greater_equal(sorted(piece.own.shape), _ALONE_SIDES_PX))


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
