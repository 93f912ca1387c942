"""A whole study for training and for other programs: COCO, and a folder for QuPath."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from device import __version__
from device.counting.records import CountResult, LabelImage, to_json
from device.errors import FluocountError, InputError, StorageError
from device.export.archive import plain_name
from device.export.polygons import Polygon, cell_polygons
from device.export.stored import StoredCount, corrected_labels, export_file, load_count
from device.machine.files import display_name, write_atomic
from device.store import CountRow, Store

OUTLINED, POINT = 1, 2
_CATEGORIES = [
    {"id": OUTLINED, "name": "cell", "supercategory": "cell"},
    {
        "id": POINT,
        "name": "cell marked as a point",
        "supercategory": "cell",
        "keypoints": ["centre"],
        "skeleton": [],
    },
]
"""A cell that a person added by a click has no outline."""


def write_coco(store: Store, name: str, out_dir: Path) -> list[str]:
    """Write images/ and annotations.json; returns sentences about images that could not be written.

    Corrections by hand are applied. Outlines follow the pixel edges; cells with holes are run lengths, as COCO has it.

    Raises:
        NotFoundError: there is no such study.
        InputError: the folder holds files already.
        StorageError: it cannot be written.
    """
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    problems: list[str] = []
    study = store.studies.get(name)
    try:
        for row, count in _counts(store, name, out_dir, problems):
            labels = corrected_labels(store, count)
            images.append(_image(len(images) + 1, row))
            annotations += _annotations(len(images), len(annotations) + 1, count, labels)
        described = {
            "info": {"description": study.question or study.name, "version": __version__},
            "images": images,
            "annotations": annotations,
            "categories": _CATEGORIES,
        }
        write_atomic(out_dir / "annotations.json", to_json(described))
    except OSError as error:
        raise StorageError(
            f"{out_dir} cannot be written ({error.strerror}); check the folder."
        ) from None
    return problems


def write_qupath(store: Store, name: str, out_dir: Path) -> list[str]:
    """Write images/ and cells/NAME.geojson as QuPath reads it; returns sentences about what could not be written.

    Raises:
        As `write_coco`.
    """
    problems: list[str] = []
    try:
        for row, count in _counts(store, name, out_dir, problems):
            data = export_file(store, count, "cells.geojson")
            (out_dir / "cells").mkdir(exist_ok=True)
            write_atomic(out_dir / "cells" / f"{plain_name(row)}.geojson", data)
    except OSError as error:
        raise StorageError(
            f"{out_dir} cannot be written ({error.strerror}); check the folder."
        ) from None
    return problems


def _counts(
    store: Store, name: str, out_dir: Path, problems: list[str]
) -> Iterator[tuple[CountRow, StoredCount]]:
    """Every finished count of the study, with a copy of its image in images/."""
    store.studies.get(name)
    if out_dir.exists() and (not out_dir.is_dir() or any(out_dir.iterdir())):
        raise InputError(f"{out_dir} contains files already; name a new folder.")
    (out_dir / "images").mkdir(parents=True)
    for image in store.studies.images(name):
        row = image.row
        try:
            count = load_count(store, row)
            corrected_labels(store, count)
        except FluocountError as error:
            problems.append(f"{display_name(row.image)}: {error}")
            continue
        original = store.counts.original_path(row)
        shutil.copyfile(original, out_dir / "images" / f"{plain_name(row)}{row.suffix}")
        yield row, count


def _image(number: int, row: CountRow) -> dict[str, Any]:
    return {
        "id": number,
        "file_name": f"images/{plain_name(row)}{row.suffix}",
        "width": row.width,
        "height": row.height,
    }


def _annotations(
    image_id: int, first_id: int, count: StoredCount, labels: LabelImage
) -> Iterator[dict[str, Any]]:
    number = first_id
    for cell_id, pieces in cell_polygons(labels):
        yield _outlined(number, image_id, pieces, labels == cell_id)
        number += 1
    for x, y in count.corrections.added:
        yield _point(number, image_id, (x, y), count.result)
        number += 1


def _outlined(
    number: int, image_id: int, pieces: list[Polygon], mask: "np.ndarray[Any, np.dtype[np.bool_]]"
) -> dict[str, Any]:
    rows, columns = np.nonzero(mask)
    left, top = int(columns.min()), int(rows.min())
    return {
        "id": number,
        "image_id": image_id,
        "category_id": OUTLINED,
        "iscrowd": 0,
        "area": int(mask.sum()),
        "bbox": [left, top, int(columns.max()) + 1 - left, int(rows.max()) + 1 - top],
        "segmentation": _segmentation(pieces, mask),
    }


def _segmentation(pieces: list[Polygon], mask: "np.ndarray[Any, np.dtype[np.bool_]]") -> Any:
    """Polygons x, y, x, y ...; a list of run lengths (column by column, background first) where there are holes."""
    if not any(piece.holes for piece in pieces):
        return [[value for corner in piece.outer for value in corner] for piece in pieces]
    flat = mask.ravel(order="F")
    edges = np.flatnonzero(np.diff(flat)) + 1
    runs = np.diff([0, *edges, flat.size]).tolist()
    return {"size": list(mask.shape), "counts": [0, *runs] if flat[0] else runs}


def _point(
    number: int, image_id: int, place: tuple[float, float], result: CountResult
) -> dict[str, Any]:
    """COCO counts pixels from their corners: the centre of the first is (0.5, 0.5)."""
    x, y = place[0] + 0.5, place[1] + 0.5
    half = result.cell_diameter_px / 2
    return {
        "id": number,
        "image_id": image_id,
        "category_id": POINT,
        "iscrowd": 0,
        "area": 0,
        "bbox": [x - half, y - half, 2 * half, 2 * half],
        "segmentation": [],
        "keypoints": [x, y, 2],
        "num_keypoints": 1,
    }
