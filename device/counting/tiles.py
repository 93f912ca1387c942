"""Tiles: how a frame is cut, segmented piece by piece and put together again without a seam.

A tile computes more than it keeps. What it keeps lies at least a margin inside its edges, unless the edge is the
canvas's own, where a tile sees exactly what one pass over the whole canvas sees. With a margin of at least the
receptive field and origins on multiples of the network's total stride, tiled and whole are therefore the same.
"""

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from device.counting.card import ModelCard
from device.counting.records import ProbabilityMap
from device.counting.segmenter import Segmenter

MIN_CANVAS_PX = 64
"""Smaller frames are extended by reflection to this, so that the network sees some surroundings."""

Progress = Callable[[int, int], None]
"""Called with (tiles done, tiles in all) after each tile; an exception raised in it stops the count."""


@dataclass(frozen=True, slots=True)
class Tile:
    """One piece of the canvas, in canvas pixels: what is read, and which part of it is kept."""

    read: tuple[slice, slice]
    keep: tuple[slice, slice]

    @property
    def crop(self) -> tuple[slice, slice]:
        """The kept part, counted from the tile's own corner."""
        rows, columns = (
            slice(keep.start - read.start, keep.stop - read.start)
            for read, keep in zip(self.read, self.keep, strict=True)
        )
        return rows, columns


@dataclass(frozen=True, slots=True)
class TilePlan:
    """The cut of one canvas; all tiles have the same shape."""

    canvas_shape: tuple[int, int]
    tile_shape: tuple[int, int]
    tiles: tuple[Tile, ...]

    @property
    def computed_px(self) -> int:
        """Pixels the network computes for this canvas, overlap included."""
        return len(self.tiles) * self.tile_shape[0] * self.tile_shape[1]


@dataclass(frozen=True, slots=True)
class _Axis:
    """The cut of one axis: equal sizes, aligned origins, and where one tile's kept part ends."""

    size: int
    origins: tuple[int, ...]
    cuts: tuple[int, ...]


def round_up(value: int, step: int) -> int:
    """The least multiple of step that is not below value."""
    return -(-value // step) * step


def plan_tiles(
    height: int, width: int, *, stride_px: int, margin_px: int, max_tile_px: int
) -> TilePlan:
    """Cut a frame into equal tiles that compute as few pixels twice as the memory bound allows.

    Args:
        height, width: of the frame at the working scale, pixels.
        stride_px: total stride of the network; canvas, origins and sizes are multiples of it.
        margin_px: pixels read but not kept at each inner edge; rounded up to the stride.
        max_tile_px: pixels in the largest tile allowed. Where no cut fits, the smallest tile is taken.

    Returns:
        Tiles whose kept parts cover the canvas exactly once.
    """
    rows, columns = (round_up(max(side, MIN_CANVAS_PX), stride_px) for side in (height, width))
    return cut_canvas(
        (rows, columns), stride_px=stride_px, margin_px=margin_px, max_tile_px=max_tile_px
    )


def plan_for(height: int, width: int, card: ModelCard) -> TilePlan:
    """The cut of a (height, width) image at the working scale with the card's tiling."""
    tiling = card.tiling
    return plan_tiles(
        height,
        width,
        stride_px=tiling.stride_px,
        margin_px=tiling.margin_px,
        max_tile_px=tiling.max_tile_px,
    )


@lru_cache(maxsize=64)
def cut_canvas(
    canvas_shape: tuple[int, int],
    *,
    stride_px: int,
    margin_px: int,
    max_tile_px: int,
    wide_columns: int = 1,
) -> TilePlan:
    """`plan_tiles` for a (height, width) that is a multiple of the stride already.

    Across, tiles are multiples of `wide_columns` strides.
    """
    down, right = (
        _axis_choices(side, round_up(margin_px, stride), stride)
        for side, stride in zip(canvas_shape, (stride_px, wide_columns * stride_px), strict=True)
    )
    candidates = list(itertools.product(down, right))
    fitting = [pair for pair in candidates if pair[0].size * pair[1].size <= max_tile_px]
    if fitting:
        rows, columns = min(fitting, key=_computed_px)
    else:
        rows, columns = min(candidates, key=lambda pair: pair[0].size * pair[1].size)
    tiles = tuple(
        Tile(read=(row_read, column_read), keep=(row_keep, column_keep))
        for row_read, row_keep in _pieces(rows)
        for column_read, column_keep in _pieces(columns)
    )
    return TilePlan(canvas_shape, (rows.size, columns.size), tiles)


def _computed_px(pair: tuple[_Axis, _Axis]) -> int:
    rows, columns = pair
    return rows.size * len(rows.origins) * columns.size * len(columns.origins)


def _axis_choices(length: int, margin: int, stride: int) -> list[_Axis]:
    """Every number of tiles along one axis that still makes the tiles smaller."""
    choices: list[_Axis] = []
    for count in range(1, length // stride + 1):
        size = round_up(-(-(length + 2 * margin * (count - 1)) // count), stride)
        if choices and size >= choices[-1].size:
            break
        choices.append(_cut_axis(length, size, count, margin, stride))
    return choices


def _cut_axis(length: int, size: int, count: int, margin: int, stride: int) -> _Axis:
    """Spread `count` tiles evenly, first and last flush with the canvas."""
    slack = length - size
    origins = [slack * i // max(count - 1, 1) // stride * stride for i in range(count)]
    origins[-1] = slack
    cuts = [0, *(origin + margin for origin in origins[1:]), length]
    return _Axis(size, tuple(origins), tuple(cuts))


def _pieces(axis: _Axis) -> list[tuple[slice, slice]]:
    """(read, keep) of each tile along one axis."""
    return [
        (slice(origin, origin + axis.size), slice(axis.cuts[i], axis.cuts[i + 1]))
        for i, origin in enumerate(axis.origins)
    ]


def extend(image: np.ndarray, canvas_shape: tuple[int, int]) -> np.ndarray:
    """Extend (h, w, 3) at the bottom and the right by reflection to the canvas; no copy where it fits."""
    bottom, right = canvas_shape[0] - image.shape[0], canvas_shape[1] - image.shape[1]
    if bottom == 0 and right == 0:
        return image
    return np.pad(image, ((0, bottom), (0, right), (0, 0)), mode="symmetric")


def segment(
    image: np.ndarray, segmenter: Segmenter, plan: TilePlan, progress: Progress | None = None
) -> ProbabilityMap:
    """Run the network tile by tile.

    Args:
        image: (h, w, 3) uint8 at the working scale.
        segmenter: the network.
        plan: a cut of this (h, w).
        progress: told after every tile.

    Returns:
        (h, w) uint8 codes.
    """
    canvas = extend(image, plan.canvas_shape)
    stitched = np.empty(plan.canvas_shape, dtype=np.uint8)
    for done, tile in enumerate(plan.tiles, start=1):
        stitched[tile.keep] = segmenter(canvas[tile.read])[tile.crop]
        if progress is not None:
            progress(done, len(plan.tiles))
    return stitched[: image.shape[0], : image.shape[1]]
