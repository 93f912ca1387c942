import numpy as np
import pytest
from conftest import draw_discs, make_card
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from skimage.feature import peak_local_max

from device.counting.labelling.clumps import GAUSSIAN_REACH, SETTLED, find_peaks, split_clumps
from device.counting.labelling.distance import distance_to_border
from device.counting.labelling.labels import label_cells

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
    everywhere = np.argwhere(values >= 0)
    np.testing.assert_array_equal(find_peaks(values, distance_px, everywhere), expected)


def test_a_map_without_anything_has_no_peak():
    values = np.zeros((20, 20))
    assert find_peaks(values, 3, np.argwhere(values == 0)).shape == (0, 2)


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10**6), count=st.integers(1, 8), smoothing_px=st.sampled_from([0, 1.5]))
def test_clumps_are_parted_at_the_peaks_of_the_plain_distance_map(seed, count, smoothing_px):
    masks = [random_mask(seed + number) for number in range(count)]
    found = split_clumps([mask.view(np.uint8) for mask in masks], 5, smoothing_px)
    for index, mask in enumerate(masks):
        distance = ndimage.distance_transform_edt(np.pad(mask, 9))
        if smoothing_px:
            distance = ndimage.gaussian_filter(distance, smoothing_px, truncate=GAUSSIAN_REACH)
        inner = np.where(mask, distance[9:-9, 9:-9], 0)
        seeds = peak_local_max(inner, min_distance=5, threshold_abs=0, exclude_border=False)
        assert (index in found) == (len(seeds) > 1)
        if index in found:
            parts = found[index]
            assert (
                len(np.unique(parts[tuple(seeds.T)])) == len(np.unique(parts[mask])) == len(seeds)
            )
            np.testing.assert_array_equal(parts > 0, mask)


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10**6), count=st.integers(1, 6))
def test_only_clumps_whose_seeds_are_all_settled_stay_whole(seed, count):
    masks = [random_mask(seed + number) for number in range(count)]
    known = [
        random_mask(seed + 100 + number, mask.shape) & mask for number, mask in enumerate(masks)
    ]
    coded = [
        np.where(own, SETTLED, mask.view(np.uint8)) for mask, own in zip(masks, known, strict=True)
    ]
    every = split_clumps([mask.view(np.uint8) for mask in masks], 5, 1.5)
    wanted = split_clumps([code.astype(np.uint8) for code in coded], 5, 1.5)
    assert wanted.keys() <= every.keys()
    for index, parts in every.items():
        without = set(np.unique(parts[masks[index]])) - set(np.unique(parts[known[index]]))
        assert index in wanted or not without
        if index in wanted and len(wanted) == len(every):
            np.testing.assert_array_equal(wanted[index], parts)


def random_mask(seed, shape=None):
    """One object that fills its box."""
    rng = np.random.default_rng(seed)
    smooth = ndimage.gaussian_filter(rng.random(shape or (50, 60)), 4)
    labels, _ = ndimage.label(smooth > np.median(smooth), np.ones((3, 3)))
    if shape:
        return labels > 0
    largest = 1 + np.argmax(np.bincount(labels.ravel())[1:])
    return np.ascontiguousarray(labels[ndimage.find_objects(labels)[largest - 1]] == largest)


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10**6), height=st.integers(3, 90), width=st.integers(3, 90))
def test_distances_are_those_of_scipy_to_the_last_bit(seed, height, width):
    rng = np.random.default_rng(seed)
    smooth = ndimage.gaussian_filter(rng.random((height, width)), rng.uniform(0, 6))
    mask = smooth > np.quantile(smooth, rng.uniform(0, 1))
    mask[[0, -1]] = mask[:, [0, -1]] = False
    expected = ndimage.distance_transform_edt(mask)
    np.testing.assert_array_equal(distance_to_border(mask), expected)


def test_distances_in_thick_objects_are_those_of_scipy():
    mask = draw_discs((420, 900), [(110, 110, 200), (400, 200, 380), (650, 100, 90)]) > 0
    np.testing.assert_array_equal(distance_to_border(mask), ndimage.distance_transform_edt(mask))


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
