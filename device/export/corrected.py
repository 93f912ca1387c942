"""The corrections by hand of a result, as the exports need them."""

import msgspec
import numpy as np

from device.counting.records import Cell, CountResult, LabelImage


class Corrections(msgspec.Struct, frozen=True, kw_only=True):
    """The corrections that are in force; undone ones are left out.

    Attributes:
        added: (x, y) of cells that a person added, in pixels like `Cell.x`, `Cell.y`.
        removed: ids of cells that a person removed.
        accepted: ids of doubtful objects, not counted, that a person accepted: cells with an outline of their own.
    """

    added: tuple[tuple[float, float], ...] = ()
    removed: frozenset[int] = frozenset()
    accepted: frozenset[int] = frozenset()

    def __bool__(self) -> bool:
        """True if they change the count."""
        return bool(self.added or self.removed or self.accepted)


NO_CORRECTIONS = Corrections()


def remaining_cells(result: CountResult, corrections: Corrections) -> tuple[Cell, ...]:
    """The cells with an outline: the automatic ones that were not removed, and doubtful ones that were accepted."""
    kept = (cell for cell in result.cells if cell.id not in corrections.removed)
    return (*kept, *accepted_cells(result, corrections))


def accepted_cells(result: CountResult, corrections: Corrections) -> tuple[Cell, ...]:
    """The doubtful objects, not counted, that somebody accepted."""
    return tuple(cell for cell in result.doubtful if cell.id in corrections.accepted)


def corrected_count(result: CountResult, corrections: Corrections) -> int:
    """The count after corrections by hand."""
    return len(remaining_cells(result, corrections)) + len(corrections.added)


def added_ids(result: CountResult, corrections: Corrections) -> list[int]:
    """Ids for the added cells in exports: above every id in the result, in the order of adding."""
    used = [cell.id for cell in (*result.cells, *result.doubtful)]
    first = max(used, default=0) + 1
    return list(range(first, first + len(corrections.added)))


def remaining_labels(labels: LabelImage, corrections: Corrections) -> LabelImage:
    """The label image (H, W) int32 without the removed cells; itself where none was removed."""
    if not corrections.removed:
        return labels
    gone = np.isin(labels, np.fromiter(corrections.removed, dtype=labels.dtype))
    return np.where(gone, labels.dtype.type(0), labels)
