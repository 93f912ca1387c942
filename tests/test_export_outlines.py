import io
import json
import zipfile

import geojson as geojson_reader
import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from roifile import ROI_TYPE, ImagejRoi
from skimage.draw import polygon as fill

from device.counting.pipeline import count_frame
from device.counting.records import Cell, CountResult, CountSettings, ModelRef
from device.export.corrected import Corrections, remaining_labels
from device.export.geojson import geojson
from device.export.measurements import measurements
from device.export.polygons import mask_polygons
from device.export.rois import rois_zip
from device.synthetic import make_frame

label_images = st.tuples(st.integers(1, 14), st.integers(1, 14)).flatmap(
    lambda shape: arrays.arrays(np.int32, shape, elements=st.integers(0, 3))
)

RING = [[1, 1, 1, 1], [1, 2, 0, 1], [1, 0, 0, 1], [1, 1, 1, 1]]
DIAGONAL = [[1, 0, 1], [0, 1, 0], [1, 0, 1]]
PINCHED = [[1, 1, 1, 0], [1, 0, 1, 1], [1, 1, 0, 1], [0, 1, 1, 1]]
FULL = [[1, 1], [1, 1]]
SHAPES = {"ring around a cell": RING, "diagonal": DIAGONAL, "pinched": PINCHED, "full": FULL}


def result_of(labels, pixel_size_um=None):
    cells = [
        Cell(
            id=int(cell_id),
            x=1.0,
            y=1.0,
            area_px=int((labels == cell_id).sum()),
            equivalent_diameter_px=2.0,
            bbox=(0, 0, 1, 1),
            mean_intensity=(1.0, 2.0, 3.0),
            max_intensity=(4.0, 5.0, 6.0),
            score=0.5,
            probability=0.75,
        )
        for cell_id in np.unique(labels[labels > 0])
    ]
    return CountResult(
        image="a.png",
        image_sha256="ab" * 32,
        count=len(cells),
        cells=tuple(cells),
        interval=(0, len(cells)),
        model=ModelRef(name="m", version="1", sha256="cd"),
        threshold=0.5,
        cell_diameter_px=30,
        min_area_px=1,
        width=labels.shape[1],
        height=labels.shape[0],
        pixel_size_um=pixel_size_um,
    )


def read_rois(data):
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert archive.testzip() is None
        return [ImagejRoi.frombytes(archive.read(name)) for name in archive.namelist()]


def rasterise(rings, shape):
    """Even-odd rule at the pixel centres, as ImageJ fills polygons and composite ROIs."""
    inside = np.zeros(shape, dtype=bool)
    for ring in rings:
        x, y = np.asarray(ring, dtype=float).T
        rows, columns = fill(y - 0.5, x - 0.5, shape)
        inside[rows, columns] ^= True
    return inside


def labels_from_rois(rois, shape):
    labels = np.zeros(shape, dtype=np.int32)
    for roi in rois:
        inside = rasterise(roi.coordinates(multi=True), shape)
        assert not labels[inside].any(), "two ROIs overlap"
        labels[inside] = int(roi.name)
    return labels


def labels_from_geojson(data, shape):
    labels = np.zeros(shape, dtype=np.int32)
    for feature in json.loads(data)["features"]:
        geometry = feature["geometry"]
        pieces = geometry["coordinates"]
        pieces = [pieces] if geometry["type"] == "Polygon" else pieces
        inside = rasterise([ring for piece in pieces for ring in piece], shape)
        labels[inside] = int(feature["properties"]["name"])
    return labels


@settings(max_examples=200, deadline=None)
@given(label_images)
def test_rois_rasterise_to_the_label_image(labels):
    rois = read_rois(rois_zip(result_of(labels), labels))

    np.testing.assert_array_equal(labels_from_rois(rois, labels.shape), labels)


@settings(max_examples=200, deadline=None)
@given(label_images)
def test_geojson_is_valid_and_rasterises_to_the_label_image(labels):
    data = geojson(result_of(labels), labels)

    collection = geojson_reader.loads(data.decode())
    assert isinstance(collection, geojson_reader.FeatureCollection)
    assert collection.is_valid, collection.errors()
    for feature in collection["features"]:
        shape = shapely.geometry.shape(feature["geometry"])
        assert shape.is_valid, shapely.is_valid_reason(shape)
        assert shape.area == feature["properties"]["measurements"]["area_px"]
    np.testing.assert_array_equal(labels_from_geojson(data, labels.shape), labels)


@pytest.mark.parametrize("name", SHAPES)
def test_awkward_shapes(name):
    labels = np.array(SHAPES[name], dtype=np.int32)

    rois = read_rois(rois_zip(result_of(labels), labels))

    np.testing.assert_array_equal(labels_from_rois(rois, labels.shape), labels)


@pytest.mark.parametrize("offset", [0, 3000, 40_000])
def test_rois_far_from_the_origin(offset):
    labels = np.zeros((4, offset + 20), dtype=np.int32)
    labels[1:3, offset + 5 : offset + 15] = 1
    labels[2, offset + 7] = 2

    rois = read_rois(rois_zip(result_of(labels), labels))

    np.testing.assert_array_equal(labels_from_rois(rois, labels.shape), labels)


def test_a_plain_cell_is_a_traced_polygon_with_its_bounds():
    labels = np.zeros((9, 9), dtype=np.int32)
    labels[2:5, 3:8] = 1

    (roi,) = read_rois(rois_zip(result_of(labels), labels))

    assert roi.roitype == ROI_TYPE.TRACED
    assert (roi.left, roi.top, roi.right, roi.bottom) == (3, 2, 8, 5)
    assert len(roi.integer_coordinates) == 4


def test_rings_run_as_rfc_7946_asks():
    (piece,) = mask_polygons(np.array(RING) == 1)

    assert shapely.LinearRing(piece.outer).is_ccw
    assert [shapely.LinearRing(hole).is_ccw for hole in piece.holes] == [False]


@pytest.mark.parametrize("pixel_size_um", [None, 0.5])
def test_qupath_finds_what_it_looks_for(pixel_size_um):
    labels = np.array(RING, dtype=np.int32)
    result = result_of(labels, pixel_size_um)

    features = json.loads(geojson(result, labels))["features"]

    assert len({feature["id"] for feature in features}) == 2
    for feature, cell in zip(features, result.cells, strict=True):
        assert feature["properties"]["objectType"] == "detection"
        assert feature["properties"]["classification"]["name"] == "Cell"
        assert feature["properties"]["measurements"] == measurements(cell, result)
        assert ("area_um2" in feature["properties"]["measurements"]) == (pixel_size_um is not None)


def test_corrections_reach_rois_and_geojson():
    labels = np.array([[1, 0, 2], [1, 0, 2]], dtype=np.int32)
    corrections = Corrections(added=((1.0, 0.5),), removed=frozenset({2}))
    left = remaining_labels(labels, corrections)

    *areas, point = read_rois(rois_zip(result_of(labels), labels, corrections=corrections))
    *detections, added = json.loads(geojson(result_of(labels), labels, corrections=corrections))[
        "features"
    ]

    np.testing.assert_array_equal(labels_from_rois(areas, labels.shape), left)
    assert point.roitype == ROI_TYPE.POINT
    assert point.coordinates().tolist() == [[1.5, 1.0]]
    assert len(detections) == 1
    assert added["properties"]["objectType"] == "annotation"
    assert added["geometry"] == {"type": "Point", "coordinates": [1.5, 1.0]}


def test_no_cells_is_an_empty_collection():
    labels = np.zeros((3, 3), dtype=np.int32)

    assert json.loads(geojson(result_of(labels), labels))["features"] == []
    assert read_rois(rois_zip(result_of(labels), labels)) == []


def test_rois_of_a_counted_frame_rasterise_to_its_label_image(fake_segmenter):
    synthetic = make_frame(seed=3)
    counted = count_frame(synthetic.frame, fake_segmenter, CountSettings(threshold=0.35))
    assert counted.result.count > 5

    rois = read_rois(rois_zip(counted.result, counted.labels))
    data = geojson(counted.result, counted.labels)

    np.testing.assert_array_equal(labels_from_rois(rois, counted.labels.shape), counted.labels)
    np.testing.assert_array_equal(labels_from_geojson(data, counted.labels.shape), counted.labels)
