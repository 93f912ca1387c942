"""Stored counts as the exports need them: result, corrections in force, label image."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import tifffile

from device.counting.records import CountResult, LabelImage
from device.errors import DamagedError, NotFoundError
from device.export.accepted import map_in_frame, paint_accepted
from device.export.corrected import Corrections, accepted_cells, remaining_labels
from device.export.geojson import geojson
from device.export.ometiff import labels_ome_tiff
from device.export.regions import REGIONS_COLUMNS, read_regions, region_line
from device.export.rois import rois_zip
from device.export.tables import (
    Kept,
    cells_csv,
    counts_header,
    counts_row,
    csv_lines,
    csv_text,
    place_texts,
)
from device.machine.clock import local_time, utc_text
from device.store import CountRow, Store
from device.store.records import Correction
from device.store.region import Region
from device.store.studies import Place

DAMAGED_FLAG = "damaged_files"
"""In the table: the line is from the database alone, because the count's own files cannot be read."""

FileFormat = Literal["cells.csv", "regions.csv", "labels.tiff", "rois.zip", "cells.geojson"]


@dataclass(frozen=True, slots=True)
class StoredCount:
    """A finished count with its corrections by hand, and its place in studies by their names."""

    row: CountRow
    result: CountResult
    corrections: Corrections
    places: Mapping[str, Place]

    def is_changed(self, picture: str) -> bool:
        """True where people changed what this picture, such as overlay.jpg, shows: the stored one lacks it."""
        shows_regions = picture.startswith("overlay.")
        return bool(self.corrections) or (shows_regions and bool(self.row.regions))


def load_count(store: Store, row: CountRow) -> StoredCount:
    """Read a done count.

    Raises:
        ConflictError: it is not done.
        NotFoundError: it was deleted.
        DamagedError: its file is damaged.
    """
    result = store.result(row.id)
    corrections = in_force(store.corrections.of(row.id), result)
    return StoredCount(row, result, corrections, store.studies.places_of(row))


def in_force(log: Iterable[Correction], result: CountResult) -> Corrections:
    """The corrections in force from a log: all except the undone ones."""
    holding = [entry for entry in log if entry.undone_s is None]
    adds = [entry for entry in holding if entry.action == "add"]
    doubtful = {cell.id for cell in result.doubtful}
    return Corrections(
        added=tuple((entry.x, entry.y) for entry in adds if entry.cell_id not in doubtful),
        removed=frozenset(entry.cell_id for entry in holding if entry.action == "remove"),
        accepted=frozenset(entry.cell_id for entry in adds if entry.cell_id in doubtful),
    )


def stored_labels(store: Store, count_id: str) -> LabelImage:
    """The label image (H, W) int32 of a done count, corrections not applied.

    Raises:
        ConflictError: the count is not done.
        NotFoundError: it was deleted.
        DamagedError: the stored file is damaged, or not of this image.
    """
    path, row = store.product(count_id, "labels.tiff"), store.counts.get(count_id)
    try:
        with tifffile.TiffFile(path) as file:
            page = file.pages.first
            if page.shape != (row.height, row.width):
                raise ValueError(f"its shape is {page.shape}, not {(row.height, row.width)}")
            labels: LabelImage = np.asarray(page.asarray()).astype(np.int32)
    except Exception as error:  # noqa: BLE001 - tifffile raises any exception for a damaged file
        raise DamagedError(
            f"{path} is damaged ({error}); restore a backup or count the image again."
        ) from None
    return labels


def counts_line(count: StoredCount, *, image: str | None = None) -> list[str]:
    """The count's line of counts.csv, named by `image` where given."""
    row = count.row
    return counts_row(
        count.result,
        corrections=count.corrections,
        image=image,
        kept=kept_of(row, count.places),
    )


def kept_of(row: CountRow, places: Mapping[str, Place]) -> Kept:
    """What the database knows beside the result."""
    capture = row.capture or {}
    return Kept(
        sample=row.sample,
        notes=row.notes,
        counted_at=local_time(row.finished_s, row.clock_correction_s),
        result_id=row.id,
        exposure_s=capture.get("exposure_s"),
        gain=capture.get("gain"),
        reviewed_by=row.reviewed_by or "",
        places=places,
    )


def counts_lines(store: Store, rows: Iterable[CountRow]) -> Iterator[list[str]]:
    """Lines of counts.csv; a count with a damaged result has what the database knows, and says so under `flags`.

    One that was deleted meanwhile has no line.
    """
    for row in rows:
        try:
            yield counts_line(load_count(store, row))
        except (NotFoundError, DamagedError):
            if exists(store, row):
                yield _line_of_row(row, store.studies.places_of(row))


def exists(store: Store, row: CountRow) -> bool:
    """False once somebody deleted the count."""
    try:
        store.counts.get(row.id)
    except NotFoundError:
        return False
    return True


def _line_of_row(row: CountRow, places: Mapping[str, Place]) -> list[str]:
    """What the database knows of a count whose files are damaged: the count and its interval stand in it."""
    known = {
        "image": csv_text(row.image),
        "sample": csv_text(row.sample),
        "count": row.count,
        "corrected_count": row.corrected_count,
        "interval_low": row.interval_low,
        "interval_high": row.interval_high,
        "flags": " ".join([*(flag.code for flag in row.flags), DAMAGED_FLAG]),
        "width_px": row.width,
        "height_px": row.height,
        "threshold": row.threshold,
        "model": csv_text(row.model),
        "model_sha256": row.model_sha256,
        "counted_at": local_time(row.finished_s, row.clock_correction_s),
        "id": row.id,
        "image_sha256": row.image_sha256,
        "reviewed_by": csv_text(row.reviewed_by or ""),
        "notes": csv_text(row.notes),
        "counted_utc": utc_text(local_time(row.finished_s, row.clock_correction_s)),
        **dict(zip(("study", "group", "subject", "slice"), place_texts(places), strict=True)),
    }
    cells = (known.get(column) for column in counts_header())
    return ["" if cell is None else str(cell) for cell in cells]


def export_file(store: Store, count: StoredCount, file_format: FileFormat) -> bytes:
    """One count in one format, corrections applied.

    Raises:
        NotFoundError, DamagedError: as `stored_labels`.
    """
    return _ENCODERS[file_format](store, count)


def _cells(store: Store, count: StoredCount) -> bytes:
    regions = count.row.regions
    return cells_csv(count.result, corrections=count.corrections, regions=regions).encode()


def _regions(store: Store, count: StoredCount) -> bytes:
    return csv_lines([REGIONS_COLUMNS, *_region_lines(count)]).encode()


def _region_lines(count: StoredCount) -> list[list[str]]:
    row = count.row
    readings = read_regions(row.regions, count.result, count.corrections)
    return [
        [*region_line(one, count.result, row.sample, row.id), *place_texts(count.places)]
        for one in readings
    ]


def regions_lines(store: Store, rows: Iterable[CountRow]) -> Iterator[list[str]]:
    """Lines of regions.csv; of a count with a damaged result the names alone, which says so under `flags`.

    One that was deleted meanwhile has no line.
    """
    for row in rows:
        if not row.regions:
            continue
        try:
            yield from _region_lines(load_count(store, row))
        except (NotFoundError, DamagedError):
            if exists(store, row):
                places = place_texts(store.studies.places_of(row))
                yield from ([*_line_of_region(row, region), *places] for region in row.regions)


def _line_of_region(row: CountRow, region: Region) -> list[str]:
    known = {
        "image": csv_text(row.image),
        "sample": csv_text(row.sample),
        "region": csv_text(region.name),
        "area_px": f"{region.area_px:.6g}",
        "flags": " ".join([*(flag.code for flag in row.flags), DAMAGED_FLAG]),
        "drawn_by": csv_text(region.who),
        "id": row.id,
        "image_sha256": row.image_sha256,
    }
    columns = REGIONS_COLUMNS[: -len(place_texts({}))]
    return [known.get(column, "") for column in columns]


def _labels_of(store: Store, count: StoredCount) -> LabelImage:
    labels = stored_labels(store, count.row.id)
    if set(np.unique(labels)) - {0} != set(range(1, count.result.count + 1)):
        raise DamagedError(
            f"The label image of {count.row.image} has other cells than its result; restore a backup or count "
            "the image again."
        )
    return labels


def corrected_labels(store: Store, count: StoredCount) -> LabelImage:
    """The label image (H, W) int32 without removed cells and with the accepted doubtful ones.

    Raises:
        NotFoundError, DamagedError: as `stored_labels`.
    """
    labels = _labels_of(store, count)
    accepted = accepted_cells(count.result, count.corrections)
    if accepted:
        codes = map_in_frame(store, count.row.id, count.result)
        labels = paint_accepted(labels, accepted, codes)
    return remaining_labels(labels, count.corrections)


def _labels(store: Store, count: StoredCount) -> bytes:
    return labels_ome_tiff(corrected_labels(store, count), count.result.pixel_size_um)


def _rois(store: Store, count: StoredCount) -> bytes:
    labels = corrected_labels(store, count)
    return rois_zip(count.result, labels, corrections=count.corrections, regions=count.row.regions)


def _geojson(store: Store, count: StoredCount) -> bytes:
    labels = corrected_labels(store, count)
    return geojson(count.result, labels, corrections=count.corrections, regions=count.row.regions)


_ENCODERS: dict[FileFormat, Callable[[Store, StoredCount], bytes]] = {
    "cells.csv": _cells,
    "regions.csv": _regions,
    "labels.tiff": _labels,
    "rois.zip": _rois,
    "cells.geojson": _geojson,
}
