import numpy as np
import pytest
from conftest import draw_discs, make_card
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from skimage.feature import peak_local_max

from device.counting.clumps import find_peaks
from device.counting.labels import label_cells

POSTPROCESSING = make_card().postprocessing


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10**6), distance_px=st.integers(1, 9), levels=st.sampled_from([3, 9, 99])
)
def test_peaks_are_those_of_scikit_image_ties_included(seed, distance_px, levels):
    rng = np.random.default_rng(seed)
    smooth = ndimage.gaussian_filter(rng.random((50, 70)), 1.5)
    values = np.rint((smooth - smooth.min()) / np.ptp(smooth) * levels)
    expected = peak_local_max(
        values, min_distance=distance_px, threshold_abs=0, exclude_border=False
    )
    np.testing.assert_array_equal(find_peaks(values, distance_px), expected)


def test_a_map_without_anything_has_no_peak():
    assert find_peaks(np.zeros((20, 20)), 3).shape == (0, 2)


@pytest.mark.parametrize("last", [(300, 200), (300, 60)])
def test_a_pixel_that_hangs_on_by_its_corner_stays_with_its_clump(last):
    x, y = last
    probability = draw_discs((240, 360), [(60, 60, 40), (90, 60, 40), (x, y, 36)])
    rows = np.flatnonzero(probability[:, 60])
    corner = rows[-1] + 1, 61
    probability[rows[-1] + 1, 55:66] = 0
    probability[corner[0], corner[1]] = 0
    edge = np.argwhere(probability[:100, :120])[-1]
    hanging = edge[0] + 1, edge[1] + 1
    probability[hanging] = 255
    labels = label_cells(probability, 0.5, 37.0, 100.0, POSTPROCESSING)
    assert labels.max() == 3
    assert labels[hanging] in (labels[60, 50], labels[60, 100])
    boxes = ndimage.find_objects(labels)
    assert all(box[1].stop - box[1].start < 60 for box in boxes)
