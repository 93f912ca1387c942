"""Connected pieces of bright strokes that hold pixels of one exact level, as lettering does."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import cc3d
import numpy as np
from numpy.typing import NDArray

from device.counting.filters import maximum_around
from device.counting.labelling.regions import group_pixels, places_of

Box = tuple[slice, slice]
"""Rows and columns."""
Mask = NDArray[np.bool_]

_BLOCK_PX = 8
"""Edge of the blocks that strokes are looked for in first, since most of a frame is dark: one byte of packed bits."""
_CROWDED_PART = 0.125
"""Of a frame: more is looked at faster in one go."""
_COUNTED_AT_ONCE = 1_000_000
"""Pixels."""


@dataclass(frozen=True, slots=True)
class Piece:
    """A connected piece.

    Attributes:
        box: where it lies.
        own: (height, width) of the box, its pixels.
        inked: part of it that is ink, 0 to 1.
    """

    box: Box
    own: Mask
    inked: float


def surroundings(piece: Piece, shape: tuple[int, int]) -> tuple[Box, Mask]:
    """The pixels two away from a piece: the next ones may still have some of its light.

    Args:
        piece: of a picture.
        shape: (height, width) of that picture.

    Returns:
        A box around the piece, and which pixels of the box they are.
    """
    rows, columns = (
        slice(max(0, side.start - 3), min(length, side.stop + 3))
        for side, length in zip(piece.box, shape, strict=True)
    )
    own = np.zeros((rows.stop - rows.start, columns.stop - columns.start), dtype=bool)
    top, left = piece.box[0].start - rows.start, piece.box[1].start - columns.start
    own[top : top + piece.own.shape[0], left : left + piece.own.shape[1]] = piece.own
    near = maximum_around(own)
    return (rows, columns), maximum_around(near) & ~near


def find_inked(
    strokes: Mask, ink: Mask, least_part: float, least_px: int, near: Mask
) -> Iterator[Piece]:
    """The connected pieces of strokes of which enough is ink.

    Args:
        strokes, ink: (height, width); ink lies within the strokes.
        least_part: of a piece that must be ink, above 0 to 1.
        least_px: pixels of the smallest one.
        near: blocks of what every piece must hold; others may be left out, which saves most of the time.
    """
    for window, inside in _windows(strokes, near):
        yield from _pieces(window, inside, ink[window], least_part, least_px)


def find_pieces(
    pixels: NDArray[np.intp], shape: tuple[int, int], least_px: int, least_side_px: int = 1
) -> Iterator[Piece]:
    """The connected pieces of a few pixels of a picture; what it costs depends on these alone.

    Args:
        pixels: (m,) flat indices, ascending.
        shape: (height, width) of the picture.
        least_px: pixels of the smallest one.
        least_side_px: most that are shorter are left out.
    """
    labels = cc3d.connected_components(blocks_of(pixels, shape), connectivity=8, binary_image=True)
    areas, _ = group_pixels(pixels, labels[_places_of_blocks(pixels, shape)], shape)
    areas = areas.select(areas.areas >= least_px)
    areas = areas.select(np.maximum(*areas.sizes()) >= least_side_px)
    for inside, top, left in areas.masks():
        yield from _pieces(_box(top, left, inside), inside, inside, 1.0, least_px)


def _pieces(
    window: Box, inside: Mask, ink: Mask, least_part: float, least_px: int
) -> Iterator[Piece]:
    """Those in a window of the picture, given what lies in it; other arguments as of `find_inked`."""
    # Of a boolean mask cc3d 4.1 numbers some dark pixels too (docs/upstream/connected-components-3d.md).
    labels = cc3d.connected_components(inside.view(np.uint8), connectivity=8)
    count = int(labels.max()) + 1
    # Most of a window is dark: only the strokes are counted.
    counts = (np.bincount(values, minlength=count) for _, values in _own(labels, inside))
    areas = sum(counts, np.zeros(count, np.intp))
    inked = np.bincount(labels[ink], minlength=count)
    inked[0] = 0
    is_wanted = (inked >= least_part * areas.clip(1)) & (areas >= least_px)
    if not is_wanted.any():
        return
    pixels = np.concatenate([own[is_wanted[values]] for own, values in _own(labels, inside)])
    pieces, numbers = group_pixels(pixels, labels.ravel()[pixels], labels.shape)
    parts = (inked[numbers] / pieces.areas).tolist()
    for (own, top, left), part in zip(pieces.masks(), parts, strict=True):
        yield Piece(_box(window[0].start + top, window[1].start + left, own), own, part)


def _own(
    labels: NDArray[np.integer[Any]], inside: Mask
) -> Iterator[tuple[NDArray[np.intp], NDArray[np.integer[Any]]]]:
    """Flat indices of the pixels of a mask, and their labels; some rows at a time, so that a large frame fits."""
    rows = max(1, _COUNTED_AT_ONCE // labels.shape[1])
    for top in range(0, len(labels), rows):
        own = np.flatnonzero(inside[top : top + rows])
        yield own + top * labels.shape[1], labels[top : top + rows].ravel()[own]


def _windows(strokes: Mask, near: Mask) -> Iterator[tuple[Box, Mask]]:
    """Parts of the frame, and in each the strokes that may hang together with what lies in blocks near it."""
    occupied = in_blocks(strokes)
    labels = cc3d.connected_components(occupied, connectivity=8, binary_image=True)
    blocks = np.flatnonzero(occupied)
    areas, _ = group_pixels(blocks, labels.ravel()[blocks], occupied.shape)
    areas = areas.select(areas.touches(near))
    heights, widths = areas.sizes()
    if (heights * widths).sum() > _CROWDED_PART * occupied.size:
        yield _box(0, 0, strokes), strokes
        return
    for own_blocks, top, left in areas.masks():
        inside = own_blocks.repeat(_BLOCK_PX, 0).repeat(_BLOCK_PX, 1)
        window = _box(_BLOCK_PX * top, _BLOCK_PX * left, inside)
        own = strokes[window].copy()
        own &= inside[: own.shape[0], : own.shape[1]]
        yield window, own


def _box(top: int, left: int, mask: Mask) -> Box:
    """Where a mask lies whose corner is there."""
    return slice(top, top + mask.shape[0]), slice(left, left + mask.shape[1])


def in_blocks(mask: Mask) -> Mask:
    """(blocks down, blocks across): for each block of pixels whether one of a mask (height, width) lies in it."""
    packed = np.packbits(mask, axis=1)
    packed = np.pad(packed, ((0, -len(packed) % _BLOCK_PX), (0, 0)))
    rows = packed.reshape(-1, _BLOCK_PX, packed.shape[1])
    return np.asarray(np.bitwise_or.reduce(rows, axis=1) > 0)


def blocks_of(pixels: NDArray[np.intp], shape: tuple[int, int]) -> Mask:
    """`in_blocks` of (m,) flat indices of pixels of a picture of that (height, width)."""
    blocks = np.zeros([-(-side // _BLOCK_PX) for side in shape], dtype=bool)
    blocks[_places_of_blocks(pixels, shape)] = True
    return blocks


def _places_of_blocks(
    pixels: NDArray[np.intp], shape: tuple[int, int]
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    rows, columns = places_of(pixels, shape[1])
    return rows // _BLOCK_PX, columns // _BLOCK_PX
