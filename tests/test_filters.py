"""The fast filters and quantiles against the calls of NumPy and SciPy that they stand for."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from device.counting import filters
from device.counting.scale import (
    brightest,
    enlarge_again,
    probability_around,
    probability_at_frame_scale,
)

shapes = st.tuples(st.integers(1, 40), st.integers(1, 40))
seeds = st.integers(0, 10**6)


def numbers(seed, shape, whole):
    """Float32, with many equal ones where they are whole."""
    values = np.random.default_rng(seed).normal(0, 5, shape).astype(np.float32)
    return np.rint(values) if whole else values


@given(seeds, shapes, st.floats(0, 100), st.sampled_from([np.uint8, np.uint16]))
def test_percentiles_of_whole_numbers_are_numpys(seed, shape, percent, kind):
    values = np.random.default_rng(seed).integers(0, np.iinfo(kind).max, shape).astype(kind)
    found = filters.percentiles(values, (percent,))
    np.testing.assert_allclose(found, [np.percentile(values, percent)], rtol=1e-12, atol=1e-12)
    assert filters.median(values) == float(np.median(values))


@given(seeds, shapes)
def test_codes_are_counted_as_numpy_does_however_they_lie(seed, shape):
    values = np.random.default_rng(seed).integers(0, 256, (*shape, 3)).astype(np.uint8)
    for seen in (values, values[..., 1], values[::2, :, 0], values.ravel()):
        expected = np.bincount(seen.ravel(), minlength=256)
        np.testing.assert_array_equal(filters.count_codes(seen), expected)


@given(seeds, shapes, st.integers(1, 200), st.booleans())
def test_the_brightest_channel_is_the_maximum_however_it_lies(seed, shape, times, whole):
    image = np.random.default_rng(seed).integers(0, 256, (times * shape[0], shape[1], 3))
    seen = image.astype(np.uint8 if whole else np.uint16)
    for samples in (seen, seen[:, ::2], seen[1:, :, ::-1]):
        np.testing.assert_array_equal(brightest(samples), samples.max(axis=2))


@given(seeds, shapes, st.booleans(), st.lists(st.floats(0, 100), min_size=1, max_size=3))
def test_percentiles_and_median_are_numpys(seed, shape, whole, percents):
    values = numbers(seed, shape, whole)
    expected = np.percentile(values, tuple(percents)).tolist()
    assert filters.percentiles(values, tuple(percents)) == expected
    assert filters.median(values) == float(np.median(values))


@given(
    seeds,
    st.integers(20, 400),
    st.integers(0, 3),
    st.sampled_from([0.0, 0.4, 1.0, 2.5, 97.5, 99.9, 100.0]),
)
def test_percentiles_near_the_ends_of_many_values_are_numpys(seed, rows, step, percent):
    """Also where very many values are equal, and where those of a sample are unlike the rest."""
    values = np.random.default_rng(seed).normal(0, 5, (rows, 400)).astype(np.float32)
    if step:
        values = np.rint(values / step) * step
    values.ravel()[:: values.size // 2000 or 1] *= step
    assert filters.percentiles(values, (percent,)) == np.percentile(values, (percent,)).tolist()


@given(seeds, st.integers(1, 70), st.integers(1, 70))
def test_gaussians_are_those_of_scipy(seed, height, width):
    image = np.random.default_rng(seed).normal(0, 5, (height, width)).astype(np.float32)
    sigmas = (0.01, 0.9, 1.5, 4.8)
    for found, sigma in zip(filters.gaussians(image, sigmas, 3.0), sigmas, strict=True):
        expected = ndimage.gaussian_filter(image, sigma, truncate=3.0)
        np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-6)


@given(seeds, shapes, st.booleans(), st.floats(-5, 10))
def test_peaks_are_the_pixels_that_a_maximum_filter_leaves(seed, shape, whole, above):
    values = numbers(seed, shape, whole)
    expected = (values == ndimage.maximum_filter(values, size=3)) & (values > above)
    assert filters.count_peaks(values, above) == np.count_nonzero(expected)


@given(seeds, shapes, st.floats(0, 100))
def test_percentiles_of_channels_are_those_of_each(seed, shape, percent):
    image = np.random.default_rng(seed).integers(0, 256, (*shape, 3)).astype(np.uint8)
    for seen in (image, image[..., :1], image.astype(np.float32)):
        each = [filters.percentiles(channel, (percent,))[0] for channel in np.moveaxis(seen, 2, 0)]
        assert filters.channel_percentiles(seen, percent) == each


@given(seeds, shapes)
def test_codes_are_translated_as_numpy_does(seed, shape):
    rng = np.random.default_rng(seed)
    values, table = (rng.integers(0, 256, size).astype(np.uint8) for size in (shape, 256))
    np.testing.assert_array_equal(filters.translate_codes(values, table), table[values])


@given(seeds, st.integers(1, 300), st.floats(0, 1))
def test_quantiles_of_a_histogram_are_those_of_its_numbers(seed, size, part):
    values = np.random.default_rng(seed).integers(0, 256, size)
    found = filters.histogram_quantile(np.bincount(values, minlength=256), part)
    np.testing.assert_allclose(found, np.quantile(values, part), rtol=1e-12, atol=1e-12)


@given(seeds, shapes, st.booleans())
def test_neighbours_are_those_of_scipy(seed, shape, whole):
    values = numbers(seed, shape, whole)
    np.testing.assert_array_equal(
        filters.maximum_around(values), ndimage.maximum_filter(values, size=3)
    )
    mask = values > 4
    np.testing.assert_array_equal(filters.grow(mask), ndimage.binary_dilation(mask))


@given(seeds, st.integers(2, 5), st.integers(1, 3), st.booleans())
def test_the_map_around_boxes_is_that_of_the_whole_frame(seed, factor, number, whole):
    rng = np.random.default_rng(seed)
    probability = rng.integers(0, 256, (40, 50)).astype(np.uint8)
    height, width = (40 * factor, 50 * factor) if whole else (133, 177)
    corners = rng.integers(0, (38, 48), (number, 2))
    boxes = np.column_stack((corners, corners + rng.integers(1, 3, (number, 2))))
    found = probability_around(boxes, probability, height, width)
    expected = probability_at_frame_scale(probability, height, width)
    assert found.shape == expected.shape
    assert (found > 0).mean() < 0.2 or not whole
    for top, left, bottom, right in boxes * (height / 40, width / 50, height / 40, width / 50):
        box = np.s_[round(top) : round(bottom), round(left) : round(right)]
        np.testing.assert_array_equal(found[box], expected[box])


@given(seeds, shapes, st.tuples(st.integers(-5, 90), st.integers(-5, 90)), st.integers(1, 9))
def test_a_changed_map_is_enlarged_as_if_from_the_beginning(seed, shape, more, changes):
    numbers = np.random.default_rng(seed)
    before = numbers.integers(0, 256, shape).astype(np.uint8)
    size = tuple(max(1, side + added) for side, added in zip(shape, more, strict=True))
    changed = numbers.integers(0, before.size, changes)
    after = before.copy()
    after.ravel()[changed] = 255
    found = enlarge_again(probability_at_frame_scale(before, *size), after, changed)
    np.testing.assert_array_equal(found, probability_at_frame_scale(after, *size))
