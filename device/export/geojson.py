"""Cells as GeoJSON as QuPath reads it: a polygon per cell with its measurements."""

import uuid
from collections.abc import Iterable
from typing import Any

from device.counting.records import Cell, CountResult, LabelImage, to_json
from device.export.corrected import (
    NO_CORRECTIONS,
    Corrections,
    added_ids,
    remaining_cells,
    remaining_labels,
)
from device.export.measurements import measurements
from device.export.polygons import Polygon, Ring, cell_polygons
from device.export.regions import RegionReading, read_regions
from device.imageio.points import REGION_CLASS
from device.store.region import Region

CLASSIFICATION = {"name": "Cell", "color": [255, 200, 0]}


REGION = {"name": REGION_CLASS, "color": [90, 159, 210]}


def geojson(
    result: CountResult,
    labels: LabelImage,
    *,
    corrections: Corrections = NO_CORRECTIONS,
    regions: Iterable[Region] = (),
) -> bytes:
    """A FeatureCollection in pixels of the image, (0, 0) its top-left corner.

    Args:
        result: gives the measurements.
        labels: (height, width) int32; 0 background, 1..n cells with the ids of `result.cells`.
        corrections: removed cells are left out; added ones become point annotations.
        regions: that a person drew; they become polygon annotations of class "Region" with their numbers.

    Returns:
        UTF-8 JSON. Counted cells are detections, Polygon or (several pieces) MultiPolygon.
    """
    cells = {cell.id: cell for cell in remaining_cells(result, corrections)}
    outlines = cell_polygons(remaining_labels(labels, corrections))
    features = [_detection(cells[cell_id], polygons, result) for cell_id, polygons in outlines]
    features += [
        _point_feature(cell_id, position, result)
        for cell_id, position in zip(added_ids(result, corrections), corrections.added, strict=True)
    ]
    readings = read_regions(regions, result, corrections)
    features += [_region_feature(reading, result) for reading in readings]
    return to_json({"type": "FeatureCollection", "features": features})


def _detection(cell: Cell, polygons: list[Polygon], result: CountResult) -> dict[str, Any]:
    pieces = [[_close(ring) for ring in (piece.outer, *piece.holes)] for piece in polygons]
    if len(pieces) == 1:
        geometry = {"type": "Polygon", "coordinates": pieces[0]}
    else:
        geometry = {"type": "MultiPolygon", "coordinates": pieces}
    properties = {"objectType": "detection", "measurements": measurements(cell, result)}
    return _feature(cell.id, geometry, properties, result)


def _point_feature(
    cell_id: int, position: tuple[float, float], result: CountResult
) -> dict[str, Any]:
    x, y = position
    geometry = {"type": "Point", "coordinates": [x + 0.5, y + 0.5]}
    return _feature(cell_id, geometry, {"objectType": "annotation"}, result)


def _region_feature(reading: RegionReading, result: CountResult) -> dict[str, Any]:
    region = reading.region
    ring = [[x + 0.5, y + 0.5] for x, y in region.points]
    numbers = {
        "cells": reading.count,
        "area_px": region.area_px,
        "area_mm2": reading.area_mm2,
        "cells_per_mm2": reading.per_mm2,
    }
    properties = {
        "name": region.name,
        "classification": REGION,
        "objectType": "annotation",
        "measurements": {name: value for name, value in numbers.items() if value is not None},
    }
    geometry = {"type": "Polygon", "coordinates": [[*ring, ring[0]]]}
    return _feature(f"region {region.id}", geometry, properties, result)


def _feature(
    key: int | str, geometry: dict[str, Any], properties: dict[str, Any], result: CountResult
) -> dict[str, Any]:
    return {
        "type": "Feature",
        "id": str(uuid.uuid5(uuid.NAMESPACE_OID, f"{result.image_sha256}/{key}")),
        "geometry": geometry,
        "properties": {"name": str(key), "classification": CLASSIFICATION, **properties},
    }


def _close(ring: Ring) -> Ring:
    return [*ring, ring[0]]
