"""Stored counts as the exports need them: result, corrections in force, label image."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import tifffile

from device.counting.records import CountResult, LabelImage
from device.errors import StorageError
from device.export.corrected import Corrections, remaining_labels
from device.export.geojson import geojson
from device.export.ometiff import labels_ome_tiff
from device.export.rois import rois_zip
from device.export.tables import cells_csv, counts_row
from device.machine.clock import local_time
from device.store import CountRow, Store
from device.store.records import Correction

FileFormat = Literal["cells.csv", "labels.tiff", "rois.zip", "cells.geojson"]


@dataclass(frozen=True, slots=True)
class StoredCount:
    """A done count with what people changed."""

    row: CountRow
    result: CountResult
    corrections: Corrections


def load_count(store: Store, row: CountRow) -> StoredCount:
    """Read a done count.

    Raises:
        ConflictError: it is not done.
        NotFoundError: it was deleted.
        StorageError: its file is damaged.
    """
    result = store.result(row.id)
    return StoredCount(row, result, in_force(store.corrections.of(row.id)))


def in_force(log: Iterable[Correction]) -> Corrections:
    """What remains of a log of corrections without the undone ones."""
    holding = [entry for entry in log if entry.undone_s is None]
    return Corrections(
        added=tuple((entry.x, entry.y) for entry in holding if entry.action == "add"),
        removed=frozenset(entry.cell_id for entry in holding if entry.action == "remove"),
    )


def stored_labels(store: Store, count_id: str) -> LabelImage:
    """The label image (H, W) int32 of a done count, corrections not applied.

    Raises:
        ConflictError: the count is not done.
        NotFoundError: it was deleted.
        StorageError: the stored file is damaged.
    """
    path = store.product(count_id, "labels.tiff")
    try:
        return np.asarray(tifffile.imread(path)).astype(np.int32)
    except (OSError, ValueError, tifffile.TiffFileError) as error:
        raise StorageError(
            f"{path} is damaged ({error}); restore a backup or count the image again."
        ) from None


def counts_line(count: StoredCount, *, image: str | None = None) -> list[str]:
    """The count's line of counts.csv, named by `image` where given."""
    row = count.row
    return counts_row(
        count.result,
        corrections=count.corrections,
        image=image,
        sample=row.sample,
        counted_at=local_time(row.finished_s, row.clock_correction_s),
        result_id=row.id,
    )


def export_file(store: Store, count: StoredCount, file_format: FileFormat) -> bytes:
    """One count in one format, corrections applied.

    Raises:
        NotFoundError, StorageError: as `stored_labels`.
    """
    return _ENCODERS[file_format](store, count)


def _cells(store: Store, count: StoredCount) -> bytes:
    return cells_csv(count.result, corrections=count.corrections).encode()


def _labels(store: Store, count: StoredCount) -> bytes:
    labels = remaining_labels(stored_labels(store, count.row.id), count.corrections)
    return labels_ome_tiff(labels, count.result.pixel_size_um)


def _rois(store: Store, count: StoredCount) -> bytes:
    labels = stored_labels(store, count.row.id)
    return rois_zip(count.result, labels, corrections=count.corrections)


def _geojson(store: Store, count: StoredCount) -> bytes:
    labels = stored_labels(store, count.row.id)
    return geojson(count.result, labels, corrections=count.corrections)


_ENCODERS: dict[FileFormat, Callable[[Store, StoredCount], bytes]] = {
    "cells.csv": _cells,
    "labels.tiff": _labels,
    "rois.zip": _rois,
    "cells.geojson": _geojson,
}
