"""Marks in exactly one colour: dots, crosses and rings that a person sets on cells are copies of one another.

No two cells have the same outline to the pixel, one colour throughout and an edge without any blur. A single one is a
mark where its colour is a full one that the stain does not have, such as a red dot on a grey picture.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from device.counting.filters import median
from device.counting.records import ImageArray
from device.imageio.inks import Ink
from device.imageio.strokes import Piece, find_pieces, surroundings

Mask = NDArray[np.bool_]

_LEAST_COPIES = 3
LEAST_AREA_PX, MOST_SIDE_PX = 20, 150
"""Smaller specks are alike by chance."""
_MOST_COLOURS = 6
"""Of one level that are looked at, the most frequent first."""
_OTHER_SHARE, _OTHER_PART = 0.2, 0.9
"""Two pixels out so much of the outline differs from the mark by that part of the highest level."""
_ALONE_SHARE, _ALONE_PART = 0.6, 0.95
"""Around a mark of a colour of its own each channel of that colour is so much darker, on that part of the outline."""
_FULL_COLOUR = 0.35
"""The darkest channel of a full colour, per brightest; white and pale colours are those of saturated cells."""
_SAME_HUE = 0.9
"""Cosine of the angle between two colours of one hue: red and orange have 0.84."""
_NOISE_PART = 0.8
"""Part of the outline that is not as dark as the mark in one channel at least: dark pixels that were not cut off."""
_LEAST_HUE = 0.3
"""Levels of light, of 255, that a picture must have on average for a hue of its own."""
_LOOKED_AT_PX = 40_000
"""So many pixels are enough for it."""
_EMPTY_SHARE = 0.93
"""Of neighbours that are equal: no sensor's picture, in which discs may be as perfect as marks."""


@dataclass(frozen=True, slots=True, eq=False)
class Mark:
    """What may be one: its pixels, and (n,) numbers that copies share, such as its colour."""

    piece: Piece
    colour: NDArray[Any]


def has_noise(bright: NDArray[Any]) -> bool:
    """Whether (height, width) samples come from a sensor; those of a computer have empty areas."""
    rows = bright[::4]
    equal = rows[:, 1:] == rows[:, :-1]
    return bool(np.count_nonzero(equal) < _EMPTY_SHARE * equal.size)


def mark_copies(
    drawn: Mask, samples: ImageArray, bright: NDArray[Any], inks: Sequence[Ink]
) -> None:
    """Mark what is repeated in exactly one colour.

    Args:
        drawn: (height, width), gets True where such a mark is.
        samples: (height, width) or (height, width, 3).
        bright: (height, width), the brightest channel, less its lowest value.
        inks: levels in it that are unusually frequent.
    """
    exact = [ink for ink in inks if ink.low == ink.high]
    found = [one for ink in exact for one in _pieces(samples, ink)]
    if not found or not has_noise(bright):
        return
    apart = _OTHER_SHARE * float(bright.max())
    stain = _stain_colour(samples)
    for colour, pieces in found:
        for piece in _marks(pieces, samples, colour, apart, stain):
            drawn[piece.box] |= piece.own


def _pieces(samples: ImageArray, ink: Ink) -> Iterator[tuple[NDArray[Any], list[Piece]]]:
    """What hangs together in exactly one colour and has the size of a mark, by colour."""
    shape = samples.shape[:2]
    for colour, own in _colours(samples.reshape(math.prod(shape), -1)[ink.pixels]):
        pieces = find_pieces(ink.pixels[own], shape, LEAST_AREA_PX)
        small = [piece for piece in pieces if max(piece.own.shape) <= MOST_SIDE_PX]
        if small:
            yield colour, small


def _marks(
    pieces: Sequence[Piece],
    samples: ImageArray,
    colour: NDArray[Any],
    apart: float,
    stain: NDArray[np.float64] | None,
) -> Iterator[Piece]:
    """Those of one colour that are repeated, and those that need not be."""
    sharp = [Mark(piece, colour) for piece in pieces if _stands_out(piece, samples, colour, apart)]
    yield from (mark.piece for mark in find_copies(sharp, 0.0, 0.0))
    if _is_foreign(colour, stain):
        yield from (piece for piece in pieces if _is_alone(piece, samples, colour))


def _stain_colour(samples: ImageArray) -> NDArray[np.float64] | None:
    """(3,) of length 1: what the light of a picture adds to its background; None for a grey or an empty one."""
    if samples.ndim == 2:
        return None
    step = max(1, math.isqrt(samples.shape[0] * samples.shape[1] // _LOOKED_AT_PX))
    channels = (samples[::step, ::step, channel] for channel in range(3))
    light = np.array([np.maximum(one - median(one), 0).mean() for one in channels])
    length = float(np.linalg.norm(light))
    least = _LEAST_HUE * np.iinfo(samples.dtype).max / 255
    return light / length if length >= least else None


def _is_foreign(colour: NDArray[Any], stain: NDArray[np.float64] | None) -> bool:
    """Whether a full colour is not the stain's."""
    if stain is None or colour.min() > _FULL_COLOUR * colour.max():
        return False
    return bool(colour @ stain < _SAME_HUE * np.linalg.norm(colour))


def _colours(pixels: NDArray[Any]) -> Iterator[tuple[NDArray[Any], Mask]]:
    """The most frequent colours of (n, channels) pixels, and (n,) which have it."""
    codes = np.zeros(len(pixels), dtype=np.int64)
    for channel in pixels.T:
        codes = codes << 16 | channel
    known, counts = np.unique(codes, return_counts=True)
    for code in known[np.argsort(counts)[::-1][:_MOST_COLOURS]]:
        own = codes == code
        if np.count_nonzero(own) >= LEAST_AREA_PX:
            yield pixels[int(np.argmax(own))].astype(np.int64), own


def _stands_out(piece: Piece, samples: ImageArray, colour: NDArray[Any], apart: float) -> bool:
    """Whether its colour ends within two pixels on all sides."""
    wide, ring = surroundings(piece, samples.shape[:2])
    around = samples[wide].astype(np.int64)
    differs = np.abs(around[ring].reshape(np.count_nonzero(ring), -1) - colour).max(axis=1)
    return bool((differs >= apart).mean() >= _OTHER_PART)


def _is_alone(piece: Piece, samples: ImageArray, colour: NDArray[Any]) -> bool:
    """Whether a piece of a full colour needs no copies.

    All that makes its colour ends beside it, and what its colour lacks is noise there: a saturated cell of a second
    stain has that noise too, and where the background was cut off nothing tells the two apart.
    """
    wide, ring = surroundings(piece, samples.shape[:2])
    full = colour > _FULL_COLOUR * colour.max()
    around = samples[wide][ring].astype(np.int64)
    falls = (around[:, full] <= _ALONE_SHARE * colour[full]).all(axis=1).mean()
    noise = (around[:, ~full] > colour[~full]).mean(axis=0).max()
    return bool(falls >= _ALONE_PART and noise >= _NOISE_PART)


def find_copies(marks: Sequence[Mark], apart: float, colours_apart: float) -> Iterator[Mark]:
    """Those of which there are three or more.

    Args:
        marks: sharp and of one colour each.
        apart: part of the pixels by which copies may differ, 0 to 1.
        colours_apart: the same for each number of `colour`.
    """
    left = list(marks)
    while left:
        first, *others = left
        alike = [mark for mark in others if _is_copy(first, mark, apart, colours_apart)]
        if len(alike) + 1 >= _LEAST_COPIES:
            yield from (first, *alike)
        taken = {id(mark) for mark in alike}
        left = [mark for mark in others if id(mark) not in taken]


def _is_copy(one: Mark, other: Mark, apart: float, colours_apart: float) -> bool:
    if (np.abs(one.colour - other.colour) > colours_apart).any():
        return False
    return _differ(one.piece.own, other.piece.own) <= apart


def _differ(one: Mask, other: Mask) -> float:
    """Pixels that only one of two shapes has, per pixel of both; 1 where their sides differ by more than a pixel."""
    if np.abs(np.subtract(one.shape, other.shape)).max() > 1:
        return 1.0
    height, width = np.maximum(one.shape, other.shape)
    return min(
        float((first ^ second).sum() / (first | second).sum())
        for first in _place(one, height, width)
        for second in _place(other, height, width)
    )


def _place(shape: Mask, height: int, width: int) -> Iterator[Mask]:
    """A shape at every place in a box that is no more than a pixel larger."""
    below, right = height - shape.shape[0], width - shape.shape[1]
    for down in range(below + 1):
        for across in range(right + 1):
            yield np.pad(shape, ((down, below - down), (across, right - across)))
