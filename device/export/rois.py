"""Cells as a zip of ImageJ ROIs, which cover exactly the cells' pixels in Fiji."""

import io
import re
import zipfile
from collections.abc import Iterable

import numpy as np
from roifile import ROI_TYPE, ImagejRoi

from device.counting.records import CountResult, LabelImage
from device.export.corrected import NO_CORRECTIONS, Corrections, added_ids, remaining_labels
from device.export.polygons import Polygon, Ring, cell_polygons
from device.imageio.points import REGION_ROI
from device.store.region import Region

_MOVE_TO, _LINE_TO, _CLOSE = 0.0, 1.0, 4.0
_ZIP_TIME = (1980, 1, 1, 0, 0, 0)


def rois_zip(
    result: CountResult,
    labels: LabelImage,
    *,
    corrections: Corrections = NO_CORRECTIONS,
    regions: Iterable[Region] = (),
) -> bytes:
    """One ROI per cell, named by its id; the same input gives the same bytes.

    Args:
        result: gives the number of ids.
        labels: (height, width) int32; 0 background, 1..n cells.
        corrections: removed cells are left out, added ones become point ROIs.
        regions: that a person drew; they become polygons named "region 1 NAME" and so on.

    Returns:
        A zip as `ROI Manager > Open...` reads it. A cell in one piece without holes is a traced
        polygon; any other is a composite ROI.
    """
    rois = [
        _cell_roi(polygons, _name(cell_id))
        for cell_id, polygons in cell_polygons(remaining_labels(labels, corrections))
    ]
    rois += [
        _point_roi(x + 0.5, y + 0.5, _name(cell_id))
        for cell_id, (x, y) in zip(added_ids(result, corrections), corrections.added, strict=True)
    ]
    rois += [_region_roi(number, region) for number, region in enumerate(regions, start=1)]
    return _zip(rois)


def _region_roi(number: int, region: Region) -> ImagejRoi:
    # The name becomes a file name within the archive.
    plain = re.sub(r"[^\w .+()-]", "_", region.name)
    corners = np.array(region.points, dtype=np.float32) + 0.5
    roi = ImagejRoi.frompoints(corners, name=f"{REGION_ROI}{number} {plain}")
    roi.roitype = ROI_TYPE.POLYGON
    return roi


def _cell_roi(polygons: list[Polygon], name: str) -> ImagejRoi:
    corners = np.array([corner for polygon in polygons for corner in polygon.outer])
    (left, top), (right, bottom) = corners.min(axis=0).tolist(), corners.max(axis=0).tolist()
    roi = ImagejRoi(name=name, left=left, top=top, right=right, bottom=bottom)
    if len(polygons) == 1 and not polygons[0].holes:
        roi.roitype = ROI_TYPE.TRACED
        roi.n_coordinates = len(corners)
        roi.integer_coordinates = (corners - [left, top]).astype(np.int32)
    else:
        path = [
            step for polygon in polygons for ring in _ring_order(polygon) for step in _path(ring)
        ]
        roi.roitype = ROI_TYPE.RECT
        roi.multi_coordinates = np.array(path, dtype=np.float32)
        roi.shape_roi_size = len(path)
    return roi


def _point_roi(x: float, y: float, name: str) -> ImagejRoi:
    roi = ImagejRoi.frompoints([(x, y)], name=name)
    roi.roitype = ROI_TYPE.POINT
    return roi


def _ring_order(polygon: Polygon) -> tuple[Ring, ...]:
    return (polygon.outer, *polygon.holes)


def _path(ring: Ring) -> list[float]:
    first, *others = ring
    path = [_MOVE_TO, *first]
    for corner in others:
        path += [_LINE_TO, *corner]
    return [*path, _CLOSE]


def _name(cell_id: int) -> str:
    return f"{cell_id:05d}"


def _zip(rois: list[ImagejRoi]) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for roi in rois:
            entry = zipfile.ZipInfo(f"{roi.name}.roi", _ZIP_TIME)
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, roi.tobytes())
    return stream.getvalue()
