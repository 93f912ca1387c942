"""Writes corrected counts as one training file."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from device.assays.selection import assay_name, list_looked_through
from device.counting.assay import Assay
from device.counting.records import Frame, LabelImage, with_pixel_size
from device.errors import InputError
from device.export.corrected import remaining_cells
from device.export.stored import StoredCount, corrected_labels, load_count
from device.export.trainingfile import CorrectedFrame, correct_frame, pack_training
from device.models.estimate import reading_mb
from device.sandbox import open_image
from device.store import CountRow, Store


@dataclass(frozen=True, slots=True, eq=False)
class Selection:
    """What goes into a training file.

    Attributes:
        assay: the newest version of the assay that all of them were counted with.
        rows: corrected or reviewed counts, one per image, oldest first.
        dots: leave the outlines out and keep the cells' middles alone.
    """

    assay: Assay
    rows: tuple[CountRow, ...]
    dots: bool = False


def select_training(
    store: Store, name: str | None, ids: tuple[str, ...] = (), *, dots: bool = False
) -> Selection:
    """Choose the counts of a training file.

    Args:
        store: where they are.
        name: of the assay; None: that of the named counts.
        ids: these counts; none: all of the assay that a person has looked through.
        dots: see Selection.

    Raises:
        InputError: nothing to train on, several assays, or several counts of one image.
        NotFoundError: there is no such assay or count.
    """
    if name is None:
        if not ids:
            raise InputError("Choose the frames by their assay (--assay NAME) or by their ids.")
        name = assay_name(store.counts.get(ids[0]))
    assay = store.assays.get(name)
    rows = list_looked_through(store, name, ids)
    if not rows:
        raise InputError(
            f"No count of the assay {name} has corrections or is marked as reviewed; correct some images first."
        )
    seen: dict[str, CountRow] = {}
    for row in rows:
        if row.image_sha256 in seen:
            raise InputError(
                f"{seen[row.image_sha256].image} and {row.image} are counts of the same image; leave one of them out."
            )
        seen[row.image_sha256] = row
    return Selection(assay, tuple(rows), dots)


def training_parts(store: Store, chosen: Selection) -> Iterator[bytes]:
    """The training file in pieces as it is made: one frame is in memory at a time.

    Raises:
        InputError, DamagedError, NotFoundError, ConflictError: a frame cannot be read; the pieces so far are no file.
    """
    return pack_training(
        chosen.assay, (_load_corrected(store, row, chosen.dots) for row in chosen.rows)
    )


def _load_corrected(store: Store, row: CountRow, dots: bool) -> CorrectedFrame:
    count = load_count(store, row)
    frame = _read(store, count)
    labels = np.zeros((frame.height, frame.width), np.int32)
    if not dots:
        labels = _renumber(corrected_labels(store, count))
    return correct_frame(
        frame,
        labels,
        cell_diameter_px=count.result.cell_diameter_px,
        counted=count.result.count,
        dots=_dots(count, dots),
    )


def _dots(count: StoredCount, all_cells: bool) -> Iterable[tuple[float, float]]:
    if all_cells:
        yield from ((cell.x, cell.y) for cell in remaining_cells(count.result, count.corrections))
    yield from count.corrections.added


def _read(store: Store, count: StoredCount) -> Frame:
    """The frame as it was counted."""
    row = count.row
    with open_image(
        store.counts.original_path(row), row.image, row.settings.reading, request=True
    ) as image:
        header = image.header()
        with image.reserve(reading_mb(header)):
            return with_pixel_size(image.frame(), count.result)


def _renumber(labels: LabelImage) -> LabelImage:
    """The same cells, numbered 1..n without gaps."""
    present = np.unique(labels[labels > 0])
    return np.searchsorted(np.r_[0, present], labels).astype(np.int32)
