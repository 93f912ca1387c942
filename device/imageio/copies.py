"""Marks that repeat: dots, crosses and rings that a person sets on cells are copies of one another.

No two cells have the same outline to the pixel, one colour throughout and an edge without any blur.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from device.counting.records import ImageArray
from device.imageio.strokes import Piece, find_inked, surroundings

Mask = NDArray[np.bool_]

_LEAST_COPIES = 3
LEAST_AREA_PX, MOST_SIDE_PX = 20, 150
"""Smaller specks are alike by chance."""
_MOST_COLOURS = 6
"""Of one level that are looked at, the most frequent first."""
_MOST_INK_SHARE = 0.1
"""Of the frame; more of one level is saturation."""
_OTHER_SHARE, _OTHER_PART = 0.2, 0.9
"""Two pixels out so much of the outline differs from the mark by that part of the highest level."""
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
    return bool((rows[:, 1:] == rows[:, :-1]).mean() < _EMPTY_SHARE)


def mark_copies(
    drawn: Mask, samples: ImageArray, bright: NDArray[Any], inks: Sequence[tuple[int, int]]
) -> None:
    """Mark what is repeated in exactly one colour.

    Args:
        drawn: (height, width), gets True where such a mark is.
        samples: (height, width) or (height, width, 3).
        bright: (height, width), the brightest channel, less its lowest value.
        inks: ranges of levels in it that are unusually frequent.
    """
    exact = [low for low, high in inks if low == high]
    if not exact or not has_noise(bright):
        return
    apart = _OTHER_SHARE * float(bright.max())
    for level in exact:
        places = np.flatnonzero(bright == level)
        if len(places) > _MOST_INK_SHARE * bright.size:
            continue
        pixels = samples.reshape(bright.size, -1)[places]
        for colour, own in _colours(pixels):
            ink = np.zeros(bright.shape, dtype=bool)
            ink.ravel()[places[own]] = True
            marks = [
                Mark(piece, colour)
                for piece in find_inked(ink, ink, 1.0, LEAST_AREA_PX)
                if max(piece.own.shape) <= MOST_SIDE_PX
                and _stands_out(piece, samples, colour, apart)
            ]
            for mark in find_copies(marks, 0.0, 0.0):
                drawn[mark.piece.box] |= mark.piece.own


def _colours(pixels: NDArray[Any]) -> Iterator[tuple[NDArray[Any], Mask]]:
    """The most frequent colours of (n, channels) pixels, and (n,) which have it."""
    codes = np.zeros(len(pixels), dtype=np.int64)
    for channel in pixels.T:
        codes = codes << 16 | channel
    known, counts = np.unique(codes, return_counts=True)
    for code in known[np.argsort(counts)[::-1][:_MOST_COLOURS]]:
        own = codes == code
        if np.count_nonzero(own) >= _LEAST_COPIES * LEAST_AREA_PX:
            yield pixels[int(np.argmax(own))].astype(np.int64), own


def _stands_out(piece: Piece, samples: ImageArray, colour: NDArray[Any], apart: float) -> bool:
    """Whether its colour ends within two pixels on all sides."""
    wide, ring = surroundings(piece, samples.shape[:2])
    around = samples[wide].astype(np.int64)
    differs = np.abs(around[ring].reshape(np.count_nonzero(ring), -1) - colour).max(axis=1)
    return bool((differs >= apart).mean() >= _OTHER_PART)


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
        for first in _placed(one, height, width)
        for second in _placed(other, height, width)
    )


def _placed(shape: Mask, height: int, width: int) -> Iterator[Mask]:
    """A shape at every place in a box that is no more than a pixel larger."""
    below, right = height - shape.shape[0], width - shape.shape[1]
    for down in range(below + 1):
        for across in range(right + 1):
            yield np.pad(shape, ((down, below - down), (across, right - across)))
