"""Large frames block by block, so that their memory is bounded; ordinary frames are one block.

A block sees a margin of several cells around its core and owns the objects whose box begins in the core, so that
each object is owned once and seen whole.
"""

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import msgspec
import numpy as np
from scipy import ndimage

from device.counting.card import ModelCard
from device.counting.judge import Examined, examine
from device.counting.large import CORE_PX, LARGE_FRAME_PX, MARGIN_DIAMETERS
from device.counting.records import Cell, Frame, LabelImage, ProbabilityMap
from device.counting.resolved import Resolved
from device.counting.stages import Stage


@dataclass(frozen=True, slots=True)
class _Span:
    """One axis of a block: the core at the working scale, and what is read at both scales."""

    core: slice
    working: slice
    frame: slice


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


def examine_blocks(
    frame: Frame,
    image: np.ndarray,
    probability: ProbabilityMap,
    card: ModelCard,
    chosen: Resolved,
    stage: Stage,
) -> Examined:
    """`device.counting.judge.examine`, for frames of any size.

    In a large frame the labels are uint16 where they fit, and cells are numbered block by block.
    """
    if frame.height * frame.width <= LARGE_FRAME_PX:
        return examine(frame, image, probability, card, chosen, stage)
    merged = _Merged((frame.height, frame.width))
    for rows, columns in itertools.product(
        _spans(frame.height, probability.shape[0], card.cell_diameter_px),
        _spans(frame.width, probability.shape[1], card.cell_diameter_px),
    ):
        part = examine(
            replace(frame, image=frame.image[rows.frame, columns.frame]),
            image[rows.working, columns.working],
            probability[rows.working, columns.working],
            card,
            replace(chosen, exclude_border=False),
            stage,
            _Owner(rows, columns, probability.shape, chosen.exclude_border),
        )
        merged.add(part, rows.frame, columns.frame)
    return merged.examined()


@dataclass(frozen=True, slots=True)
class _Owner:
    """Whose box begins in the core; those at the frame's edge are left out where that is asked for."""

    rows: _Span
    columns: _Span
    shape: tuple[int, ...]
    exclude_border: bool

    def __call__(self, working: LabelImage) -> np.ndarray:
        boxes = ndimage.find_objects(working)
        return np.array([self._owns(*box) for box in boxes], dtype=bool)

    def _owns(self, down: slice, right: slice) -> bool:
        for span, side, length in zip(
            (self.rows, self.columns), (down, right), self.shape, strict=True
        ):
            begin, end = side.start + span.working.start, side.stop + span.working.start
            if not span.core.start <= begin < span.core.stop:
                return False
            if self.exclude_border and (begin == 0 or end == length):
                return False
        return True


class _Merged:
    """Collects the blocks' objects."""

    def __init__(self, shape: tuple[int, int]) -> None:
        self._labels: np.ndarray = np.zeros(shape, dtype=np.uint16)
        self._cells: list[Cell] = []
        self._candidates: list[Cell] = []
        self._chances: list[np.ndarray] = []
        self._other_chances: list[np.ndarray] = []

    def add(self, part: Examined, rows: slice, columns: slice) -> None:
        """Take over what a block owns."""
        before, here = len(self._cells), len(part.cells)
        if before + here > np.iinfo(self._labels.dtype).max:
            self._labels = self._labels.astype(np.int32)
        view = self._labels[rows, columns]
        inside = part.labels > 0
        view[inside] = part.labels[inside] + before
        corner = rows.start, columns.start
        self._cells += _moved(part.cells, corner, before)
        self._candidates += _moved(part.candidates, corner, 0)
        self._chances.append(part.chances[:here])
        self._other_chances.append(part.chances[here:])

    def examined(self) -> Examined:
        """All blocks as one; candidates get the ids after the last cell."""
        count = len(self._cells)
        candidates = [
            msgspec.structs.replace(cell, id=number)
            for number, cell in enumerate(self._candidates, start=count + 1)
        ]
        chances = np.concatenate([*self._chances, *self._other_chances])
        return Examined(self._labels, tuple(self._cells), tuple(candidates), chances)


def _moved(cells: tuple[Cell, ...], corner: tuple[int, int], before: int) -> Iterator[Cell]:
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
