"""A whole study for training and for other programs: COCO, and a folder for QuPath."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from device import __version__
from device.counting.records import CountResult, LabelImage, to_json
from device.errors import FluocountError
from device.export.archive import plain_name
from device.export.polygons import Polygon, cell_polygons
from device.export.stored import StoredCount, corrected_labels, export_file, load_count
from device.machine.files import display_name
from device.store import CountRow, Store
from device.studies.bundle import Part, write_folder

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
PROBLEMS = "problems.txt"
_FOLDER = Path(__file__).parent / "qupath"


def write_coco(store: Store, name: str, out_dir: Path) -> list[str]:
    """Write `coco_parts`; returns sentences about images that could not be written.

    Raises:
        NotFoundError: there is no such study.
        InputError: the folder holds files already.
        StorageError: it cannot be written.
    """
    problems: list[str] = []
    write_folder(coco_parts(store, name, problems), out_dir)
    return problems


def write_qupath(store: Store, name: str, out_dir: Path) -> list[str]:
    """Write `qupath_parts`; returns sentences about images that could not be written.

    Raises:
        As `write_coco`.
    """
    problems: list[str] = []
    write_folder(qupath_parts(store, name, problems), out_dir)
    return problems


def coco_parts(store: Store, name: str, problems: list[str]) -> Iterator[Part]:
    """images/ and annotations.json.

    Corrections by hand are applied. Outlines follow the pixel edges; cells with holes are run lengths, as COCO has it.

    Args:
        store: with the study.
        name: of the study.
        problems: receives a sentence for each image that is left out; they are the last file, too.

    Raises:
        NotFoundError: there is no such study.
    """
    study = store.studies.get(name)
    return _coco(store, name, study.question or study.name, problems)


def qupath_parts(store: Store, name: str, problems: list[str]) -> Iterator[Part]:
    """images/, cells/NAME.geojson for each as QuPath reads it, a script that reads all of them, and what to do.

    Raises:
        As `coco_parts`.
    """
    store.studies.get(name)
    return _qupath(store, name, problems)


def _coco(store: Store, name: str, description: str, problems: list[str]) -> Iterator[Part]:
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for row, count in _counts(store, name, problems):
        labels = corrected_labels(store, count)
        images.append(_image(len(images) + 1, row))
        annotations += _annotations(len(images), len(annotations) + 1, count, labels)
        yield _copy(store, row)
    described = {
        "info": {"description": description, "version": __version__},
        "images": images,
        "annotations": annotations,
        "categories": _CATEGORIES,
    }
    yield "annotations.json", to_json(described)
    yield from _told(problems)


def _qupath(store: Store, name: str, problems: list[str]) -> Iterator[Part]:
    for helper in sorted(_FOLDER.iterdir()):
        yield helper.name, helper
    for row, count in _counts(store, name, problems):
        yield _copy(store, row)
        yield f"cells/{plain_name(row)}.geojson", export_file(store, count, "cells.geojson")
    yield from _told(problems)


def _counts(store: Store, name: str, problems: list[str]) -> Iterator[tuple[CountRow, StoredCount]]:
    """Every finished count of the study whose files can be read."""
    for image in store.studies.images(name):
        row = image.row
        try:
            count = load_count(store, row)
            corrected_labels(store, count)
            store.counts.original_path(row).stat()
        except (FluocountError, OSError) as error:
            problems.append(f"{display_name(row.image)}: {error}")
            continue
        yield row, count


def _copy(store: Store, row: CountRow) -> Part:
    return f"images/{plain_name(row)}{row.suffix}", store.counts.original_path(row)


def _told(problems: list[str]) -> Iterator[Part]:
    """What is left out stands within the export."""
    if problems:
        yield PROBLEMS, "\n".join([*problems, ""]).encode()


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
        yield _describe_outline(number, image_id, pieces, labels == cell_id)
        number += 1
    for x, y in count.corrections.added:
        yield _point(number, image_id, (x, y), count.result)
        number += 1


def _describe_outline(
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
