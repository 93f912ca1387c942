"""From a map to separate objects: parts are those of scikit-image, and depend on their own clump alone."""

import msgspec
import numpy as np
import pytest
from conftest import draw_discs, make_card, regions_of
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy import ndimage
from skimage.feature import peak_local_max

from device.counting.labelling.clumps import fill_holes, label_map
from device.counting.labelling.regions import group_pixels
from device.counting.labelling.sheet import lay_out
from device.counting.labelling.split import GAUSSIAN_REACH, Splitting, split_clumps
from device.counting.records import disc_area

POSTPROCESSING = make_card().postprocessing


def random_map(seed, height, width, sigma, contrast):
    smooth = ndimage.gaussian_filter(np.random.default_rng(seed).random((height, width)), sigma)
    levels = ((smooth - smooth.min()) / np.ptp(smooth)) ** contrast * 255
    return levels.astype(np.uint8)


def random_mask(seed):
    """One object that fills its box."""
    smooth = ndimage.gaussian_filter(np.random.default_rng(seed).random((50, 60)), 4)
    labels, _ = ndimage.label(smooth > np.median(smooth), np.ones((3, 3)))
    largest = 1 + np.argmax(np.bincount(labels.ravel())[1:])
    return np.ascontiguousarray(labels[ndimage.find_objects(labels)[largest - 1]] == largest)


def side_by_side(masks):
    """Masks as labels 1.. of one image, one column between them."""
    image = np.zeros((50, sum(mask.shape[1] + 1 for mask in masks)), dtype=np.int32)
    left = 0
    for number, mask in enumerate(masks, start=1):
        image[: mask.shape[0], left : left + mask.shape[1]][mask] = number
        left += mask.shape[1] + 1
    return image


@settings(max_examples=40)
@given(seed=st.integers(0, 10**6), count=st.integers(1, 8), smoothing_px=st.sampled_from([0, 1.5]))
def test_clumps_are_parted_at_the_peaks_of_the_plain_distance_map(seed, count, smoothing_px):
    clumps = side_by_side([random_mask(seed + number) for number in range(count)])
    parts, clump_of = split_clumps(
        regions_of(clumps),
        np.where(clumps > 0, 255, 0).astype(np.uint8),
        Splitting(0, 5, smoothing_px),
    )
    painted = parts.paint()
    np.testing.assert_array_equal(painted > 0, clumps > 0)
    for number in range(1, count + 1):
        mask = np.pad(clumps == number, 9)
        distance = ndimage.distance_transform_edt(mask)
        if smoothing_px:
            distance = ndimage.gaussian_filter(distance, smoothing_px, truncate=GAUSSIAN_REACH)
        inner = np.where(mask, distance, 0)[9:-9, 9:-9]
        seeds = peak_local_max(inner, min_distance=5, threshold_abs=0, exclude_border=False)
        own = np.unique(painted[clumps == number])
        assert set(clump_of[own - 1]) == {number - 1}
        assert len(own) == len(np.unique(painted[tuple(seeds.T)])) == len(seeds)


@settings(max_examples=40)
@example(seed=118, height=57, width=34, sigma=1.75, contrast=2.4375, diameter_px=6.0)
@given(
    seed=st.integers(0, 10**6),
    height=st.integers(20, 200),
    width=st.integers(20, 200),
    sigma=st.floats(1, 8),
    contrast=st.floats(0.5, 6),
    diameter_px=st.sampled_from([6.0, 9.25, 20.0, 37.0]),
)
def test_an_object_is_the_same_whatever_else_is_in_the_frame(
    seed, height, width, sigma, contrast, diameter_px
):
    probability = random_map(seed, height, width, sigma, contrast)
    arguments = 0.4, diameter_px, 0.15 * disc_area(diameter_px), POSTPROCESSING
    together, _ = label_map(probability, *arguments)
    mask = probability > 0.4 * 256
    fill_holes(mask, POSTPROCESSING.max_hole_ratio * disc_area(diameter_px))
    clumps, count = ndimage.label(mask, np.ones((3, 3)))
    found = {tuple(pixels) for pixels in np.split(together.pixels, together.starts[1:])}
    alone = set()
    for number in range(1, count + 1):
        parts, _ = label_map(np.where(clumps == number, 255, 0).astype(np.uint8), *arguments)
        if len(parts):
            alone |= {tuple(pixels) for pixels in np.split(parts.pixels, parts.starts[1:])}
    assert found - {()} == alone


@settings(max_examples=30)
@given(seed=st.integers(0, 10**6), sigma=st.floats(1, 8))
def test_objects_are_numbered_as_a_reader_meets_them(seed, sigma):
    probability = random_map(seed, 120, 150, sigma, 2.0)
    objects, is_sure = label_map(probability, 0.3, 9.25, 10.0, POSTPROCESSING)
    first = objects.pixels[objects.starts]
    assert (np.diff(first) > 0).all()
    assert len(is_sure) == len(objects)
    labels = objects.paint()
    numbers, position = np.unique(labels, return_index=True)
    np.testing.assert_array_equal(position[numbers > 0], first)


def test_a_least_peak_is_asked_of_the_whole_clump():
    probability = draw_discs((120, 300), [(60, 60, 40), (92, 60, 40), (220, 60, 40)])
    probability[probability > 0] = 150
    probability[55:65, 50:60] = 250
    strict = msgspec.structs.replace(POSTPROCESSING, min_peak=0.9)
    objects, is_sure = label_map(probability, 0.5, 37.0, 100.0, strict)
    assert is_sure.tolist() == [True, True, False]
    assert len(objects) == 3


@pytest.mark.parametrize(("side_px", "filled"), [(3, True), (9, False)])
def test_a_hole_is_filled_up_to_its_largest_size(side_px, filled):
    mask = np.ones((30, 40), dtype=bool)
    mask[:, 0] = False
    mask[10 : 10 + side_px, 20 : 20 + side_px] = False
    fill_holes(mask, 20.0)
    assert mask[10, 20] == filled
    assert not mask[:, 0].any()


def test_background_that_reaches_the_edge_is_no_hole():
    mask = np.ones((30, 40), dtype=bool)
    mask[10, 20:] = mask[5, 5] = False
    fill_holes(mask, 100.0)
    assert mask[5, 5]
    assert not mask[10, 20:].any()


@pytest.mark.parametrize("value", [0, 255])
def test_a_map_of_one_value_is_nothing_or_one_object(value):
    probability = np.full((50, 60), value, np.uint8)
    objects, _ = label_map(probability, 0.5, 100.0, 4.0, POSTPROCESSING)
    assert len(objects) == (value > 0)


def test_more_objects_than_16_bits_hold():
    image = np.zeros((1040, 1040), np.uint8)
    image[1::4, 1::4] = 255
    objects, _ = label_map(image, 0.5, 1.0, 0.0, POSTPROCESSING)
    assert len(objects) == 260 * 260 > 65_535
    assert len(np.unique(objects.paint())) == 260 * 260 + 1


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
    labels = label_map(probability, 0.5, 37.0, 100.0, POSTPROCESSING)[0].paint()
    assert labels.max() == 3
    assert labels[hanging] in (labels[60, 50], labels[60, 100])
    boxes = ndimage.find_objects(labels)
    assert all(box[1].stop - box[1].start < 60 for box in boxes)


@settings(max_examples=40)
@given(seed=st.integers(0, 10**6), count=st.integers(0, 30))
def test_regions_know_boxes_edges_and_masks_as_scipy_does(seed, count):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, count + 1, (20, 25)) * (rng.random((20, 25)) < 0.3)
    inside = np.flatnonzero(labels)
    objects, numbers = group_pixels(inside, labels.ravel()[inside], labels.shape)
    boxes = ndimage.find_objects(labels)
    assert len(objects) == len(numbers) == len(objects.boxes())
    for number, box, edge, (mask, top, left) in zip(
        numbers, objects.boxes().tolist(), objects.touches_edge(), objects.masks(), strict=True
    ):
        rows, columns = boxes[number - 1]
        assert box == [rows.start, columns.start, rows.stop, columns.stop]
        assert (top, left) == (rows.start, columns.start)
        np.testing.assert_array_equal(mask, labels[rows, columns] == number)
        assert edge == (top == 0 or left == 0 or rows.stop == 20 or columns.stop == 25)
    kept = rng.random(len(objects)) < 0.5
    np.testing.assert_array_equal(
        objects.select(kept).paint() > 0, np.isin(labels, numbers[kept]) & (labels > 0)
    )


@given(
    st.lists(st.tuples(st.integers(1, 40), st.integers(1, 40)), min_size=1, max_size=30),
    st.integers(0, 9),
)
def test_a_sheet_keeps_every_piece_apart(shapes, gap):
    heights, widths = np.array(shapes).T
    sheet = lay_out(heights, widths, gap)
    taken = np.zeros(sheet.shape, dtype=int)
    for top, left, height, width in zip(sheet.tops, sheet.lefts, heights, widths, strict=True):
        assert min(top, left) >= gap
        assert top + height + gap <= sheet.shape[0]
        assert left + width + gap <= sheet.shape[1]
        taken[top : top + height + gap, left : left + width + gap] += 1
    assert taken.max() == 1
