import io

import numpy as np
import pytest
import tifffile

from device.export.ometiff import labels_ome_tiff


def reread(data):
    return tifffile.TiffFile(io.BytesIO(data))


def random_labels(shape, highest, seed=0):
    return np.random.default_rng(seed).integers(0, highest + 1, shape).astype(np.int32)


@pytest.mark.parametrize("shape", [(1, 1), (3, 700), (600, 5), (257, 311)])
def test_another_reader_gets_the_same_labels(shape):
    labels = random_labels(shape, 400)

    with reread(labels_ome_tiff(labels, 0.3225)) as tiff:
        assert tiff.is_ome
        assert tiff.series[0].axes == "YX"
        np.testing.assert_array_equal(tiff.series[0].asarray(), labels)


def test_the_pixel_size_is_in_the_ome_metadata_and_in_the_tiff_tags():
    with reread(labels_ome_tiff(random_labels((20, 30), 9), 0.3225)) as tiff:
        pixels = tifffile.xml2dict(tiff.ome_metadata)["OME"]["Image"]["Pixels"]
        per_cm, over = tiff.pages[0].tags["XResolution"].value
        unit = tiff.pages[0].tags["ResolutionUnit"].value

    assert pixels["PhysicalSizeX"] == pixels["PhysicalSizeY"] == 0.3225
    assert pixels["PhysicalSizeXUnit"] == pixels["PhysicalSizeYUnit"] == "µm"
    assert (pixels["SizeX"], pixels["SizeY"]) == (30, 20)
    assert 1e4 / (per_cm / over) == pytest.approx(0.3225)
    assert unit == tifffile.RESUNIT.CENTIMETER


def test_an_unknown_pixel_size_is_not_invented():
    with reread(labels_ome_tiff(random_labels((20, 30), 9), None)) as tiff:
        pixels = tifffile.xml2dict(tiff.ome_metadata)["OME"]["Image"]["Pixels"]

    assert "PhysicalSizeX" not in pixels


@pytest.mark.parametrize(
    ("highest", "dtype"), [(0, "uint16"), (65535, "uint16"), (65536, "uint32")]
)
def test_more_cells_than_uint16_holds_take_uint32(highest, dtype):
    labels = np.zeros((4, 4), np.int32)
    labels[1, 2] = highest

    with reread(labels_ome_tiff(labels, None)) as tiff:
        page = tiff.series[0].asarray()

    assert page.dtype == dtype
    np.testing.assert_array_equal(page, labels)


def test_it_is_compressed():
    assert len(labels_ome_tiff(np.zeros((1000, 1000), np.int32), None)) < 20_000
