"""Large frames block by block, so that their memory is bounded.

A block sees a margin of several cells around its core and owns the objects whose box begins in the core, so that
each object is owned once and seen whole.
"""

import itertools
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import msgspec
import numpy as np

from device.counting.judge import Judged
from device.counting.labelling.regions import Regions
from device.counting.measure import Found
from device.counting.records import Cell, Frame
from device.counting.segmented import Segmented

LARGE_FRAME_PX = 8_000_000
"""Frames of more pixels are examined in blocks: labelling needs 50 bytes a pixel among many cells, 400 MB then."""
CORE_PX = 1200
"""Edge of a block's core in original pixels; with its margins a block is about as large as an ordinary frame."""
MARGIN_DIAMETERS = 8
"""What a block sees around its core, in cell diameters; a larger clump may be cut."""

Owns = Callable[[Regions], np.ndarray]
"""From the n objects of a block, at the working scale, to (n,) bool: which of them belong to the block."""
Find = Callable[[Segmented, Owns], Found]
"""Finds the cells of one block that belong to it."""


def owns_all(objects: Regions) -> np.ndarray:
    """Every object belongs to a frame that is one block."""
    return np.ones(len(objects), dtype=bool)


def is_large(frame: Frame) -> bool:
    """Whether a frame is examined in blocks."""
    return frame.height * frame.width > LARGE_FRAME_PX


@dataclass(frozen=True, slots=True)
class _Span:
    """One axis of a block: the core at the working scale, and what is read at both scales."""

    core: slice
    working: slice
    frame: slice


def find_in_blocks(seen: Segmented, find: Find) -> Found:
    """Find the cells of a large frame; labels are uint16 where they fit, cells are numbered block by block.

    Args:
        seen: the whole frame.
        find: finds the cells of a block.
    """
    frame, settings, working_shape = seen.frame, seen.settings, seen.probability.shape
    merged = _Merged((frame.height, frame.width))
    for rows, columns in itertools.product(
        _spans(frame.height, working_shape[0], seen.card.cell_diameter_px),
        _spans(frame.width, working_shape[1], seen.card.cell_diameter_px),
    ):
        block = replace(
            seen,
            frame=replace(frame, image=frame.image[rows.frame, columns.frame], ignored=None),
            image=seen.image[rows.working, columns.working],
            probability=seen.probability[rows.working, columns.working],
            # A block's edge is not the frame's.
            settings=replace(settings, exclude_border=False),
        )
        owner = _Owner(rows, columns, working_shape, settings.exclude_border)
        merged.add(find(block, owner), rows.frame, columns.frame)
    return merged.found()


def _spans(length: int, working_length: int, diameter_px: float) -> list[_Span]:
    """Cut one axis.

    Args:
        length, working_length: pixels of the original image and at the working scale.
        diameter_px: cell diameter at the working scale.
    """
    count = math.ceil(length / CORE_PX)
    margin = math.ceil(MARGIN_DIAMETERS * diameter_px)
    cuts = [working_length * number // count for number in range(count + 1)]
    spans = []
    for begin, end in itertools.pairwise(cuts):
        low, high = max(0, begin - margin), min(working_length, end + margin)
        pixels = slice(round(low * length / working_length), round(high * length / working_length))
        spans.append(_Span(slice(begin, end), slice(low, high), pixels))
    return spans


@dataclass(frozen=True, slots=True)
class _Owner:
    """Whose box begins in the core; those at the frame's edge are left out where that is asked for."""

    rows: _Span
    columns: _Span
    shape: tuple[int, ...]
    exclude_border: bool

    def __call__(self, objects: Regions) -> np.ndarray:
        """(n,) bool: which objects belong to the block."""
        boxes, owned = objects.boxes(), owns_all(objects)
        for span, axis, length in zip((self.rows, self.columns), (0, 1), self.shape, strict=True):
            begin, end = (
                boxes[:, axis] + span.working.start,
                boxes[:, 2 + axis] + span.working.start,
            )
            owned &= (begin >= span.core.start) & (begin < span.core.stop)
            if self.exclude_border:
                owned &= (begin > 0) & (end < length)
        return owned


class _Merged:
    """Collects what the blocks own."""

    def __init__(self, shape: tuple[int, int]) -> None:
        self._labels: np.ndarray = np.zeros(shape, dtype=np.uint16)
        self._cells: list[Cell] = []
        self._candidates: list[Cell] = []
        self._judged: list[Judged] = []

    def add(self, part: Found, rows: slice, columns: slice) -> None:
        """Take over what a block owns."""
        before, here = len(self._cells), len(part.cells)
        if before + here > np.iinfo(self._labels.dtype).max:
            self._labels = self._labels.astype(np.int32)
        view = self._labels[rows, columns]
        inside = part.labels > 0
        view[inside] = part.labels[inside] + before
        corner = rows.start, columns.start
        self._cells += _move(part.cells, corner, before)
        self._candidates += _move(part.candidates, corner, 0)
        self._judged.append(part.judged)

    def found(self) -> Found:
        """All blocks as one; candidates get the ids after the last cell."""
        candidates = (
            msgspec.structs.replace(cell, id=number)
            for number, cell in enumerate(self._candidates, start=len(self._cells) + 1)
        )
        judged = Judged(
            np.concatenate([part.probabilities for part in self._judged]),
            np.concatenate([part.counted for part in self._judged]),
        )
        order = np.argsort(~judged.counted, kind="stable")
        return Found(self._labels, tuple(self._cells), tuple(candidates), judged.select(order))


def _move(cells: tuple[Cell, ...], corner: tuple[int, int], before: int) -> Iterator[Cell]:
    """Cells of a block in the coordinates of the frame, their ids after `before`."""
    down, right = corner
    for cell in cells:
        x0, y0, x1, y1 = cell.bbox
        yield msgspec.structs.replace(
            cell,
            id=cell.id + before,
            x=round(cell.x + right, 2),
            y=round(cell.y + down, 2),
            bbox=(x0 + right, y0 + down, x1 + right, y1 + down),
        )
