"""Labelling the occupied parts of a map is labelling the map."""

import msgspec
import numpy as np
import pytest
from conftest import make_card
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from device.counting.labelling import labels
from device.counting.labelling.candidates import beside
from device.counting.labelling.labels import label_all, label_cells
from device.counting.labelling.occupied import find_occupied
from device.counting.records import disc_area

POSTPROCESSING = make_card().postprocessing


def random_map(seed, height, width, sigma, contrast):
    smooth = ndimage.gaussian_filter(np.random.default_rng(seed).random((height, width)), sigma)
    return ((smooth - smooth.min()) / np.ptp(smooth)) ** contrast * 255


def in_reading_order(found):
    labels._number_by_position(found, lambda pixels: pixels)
    return found


@settings(max_examples=80, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    height=st.integers(20, 260),
    width=st.integers(20, 260),
    sigma=st.floats(1, 10),
    contrast=st.floats(0.5, 6),
    diameter_px=st.sampled_from([6.0, 9.25, 20.0, 37.0]),
)
def test_parts_give_what_the_whole_map_gives(seed, height, width, sigma, contrast, diameter_px):
    probability = random_map(seed, height, width, sigma, contrast).astype(np.uint8)
    arguments = 0.4, diameter_px, 0.15 * disc_area(diameter_px), POSTPROCESSING
    whole = in_reading_order(labels._label_map(probability, *arguments))
    found = label_cells(probability, *arguments)
    np.testing.assert_array_equal(found > 0, whole > 0)
    assert found.max(initial=0) == whole.max(initial=0)
    # Of two equally high seeds of a clump, which one floods first depends on what else is flooded.
    assert np.count_nonzero(found != whole) <= 2 + np.count_nonzero(whole) // 1000


@pytest.mark.parametrize("inner_px", [3, 9])
def test_a_hole_with_something_in_it_is_judged_without_that(inner_px):
    probability = np.zeros((120, 140), dtype=np.uint8)
    probability[20:90, 30:110] = 200
    probability[40:70, 50:90] = 0
    probability[55 : 55 + inner_px, 65 : 65 + inner_px] = 200
    arguments = 0.5, 20.0, 0.0, POSTPROCESSING
    whole = in_reading_order(labels._label_map(probability, *arguments))
    np.testing.assert_array_equal(label_cells(probability, *arguments), whole)


def test_the_sheet_of_a_nearly_empty_frame_is_small():
    probability = np.zeros((1200, 1600), dtype=np.uint8)
    probability[300:330, 700:735] = probability[1190:, 1580:] = 255
    occupied = find_occupied(probability, 128, 37.0, 269.0)
    assert len(occupied.boxes) == 2
    assert occupied.atlas.sheet.size < 10_000
    np.testing.assert_array_equal(
        occupied.spread((occupied.atlas.sheet > 128).astype(np.int32)), probability > 128
    )


def test_an_empty_map_has_no_parts():
    assert find_occupied(np.zeros((50, 60), np.uint8), 0, 9.0, 4.0) is None


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    sigma=st.floats(1, 8),
    min_peak=st.sampled_from([0.0, 0.5, 0.8]),
    diameter_px=st.sampled_from([9.25, 20.0]),
)
def test_one_labelling_gives_what_one_with_and_one_without_a_least_peak_give(
    seed, sigma, min_peak, diameter_px
):
    probability = random_map(seed, 150, 200, sigma, 2.0).astype(np.uint8)
    card = msgspec.structs.replace(POSTPROCESSING, min_peak=min_peak)
    any_peak = msgspec.structs.replace(POSTPROCESSING, min_peak=0.0)
    sizes = 0.4, diameter_px, 0.15 * disc_area(diameter_px)
    every, sure = label_all(probability, *sizes, card)
    np.testing.assert_array_equal(every, label_cells(probability, *sizes, any_peak))
    found = label_cells(probability, *sizes, card)
    assert found.max(initial=0) == sure.sum()
    both = labels.renumber(every, sure)
    np.testing.assert_array_equal(found > 0, both > 0)
    # Of two equally high seeds of a clump, which one floods first depends on what else is flooded.
    assert np.count_nonzero(found != both) <= 2 + np.count_nonzero(both) // 1000


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10**6), sigma=st.floats(1, 8), diameter_px=st.sampled_from([9.25, 20.0]))
def test_what_lies_beside_the_counted_is_the_same_where_their_clumps_stay_whole(
    seed, sigma, diameter_px
):
    probability = random_map(seed, 150, 200, sigma, 2.0).astype(np.uint8)
    size = diameter_px, 0.15 * disc_area(diameter_px), POSTPROCESSING
    counted, every = (label_cells(probability, threshold, *size) for threshold in (0.7, 0.3))
    some = label_cells(probability, 0.3, *size, settled=counted)
    numbers = np.arange(counted.max(initial=0) + 1, dtype=np.int32)
    expected = beside(counted, every, numbers, exclude_border=False)
    found = beside(counted, some, numbers, exclude_border=False)
    np.testing.assert_array_equal(found > 0, expected > 0)
    assert found.max(initial=0) == expected.max(initial=0)
    assert np.count_nonzero(found != expected) <= 2 + np.count_nonzero(expected) // 1000
