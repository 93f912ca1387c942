"""Properties of probabilities, intervals, doubtful objects and flags."""

import itertools
import tracemalloc

import msgspec
import numpy as np
import pytest
from conftest import FakeSegmenter, draw_discs, make_card, make_confidence, make_frame, regions_of
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from device.counting.card import NormalFrame, ObjectFeature, Range
from device.counting.confidence import features
from device.counting.confidence.features import measure_doubt, measure_features
from device.counting.confidence.probabilities import (
    DOUBTFUL_ABOVE,
    DOUBTFUL_BELOW,
    cell_probabilities,
    count_distribution,
    count_interval,
)
from device.counting.pipeline import count_frame, relabel
from device.counting.records import CountResult, CountSettings, to_json

probabilities = st.lists(st.floats(0, 1), max_size=12).map(np.array)


def brute_force(chances):
    total = np.zeros(len(chances) + 1)
    for outcome in itertools.product((0, 1), repeat=len(chances)):
        total[sum(outcome)] += np.prod(np.where(outcome, chances, 1 - chances))
    return total


def scene(grey_levels, shape=(220, 420)):
    """Discs of 37 px of these brightnesses in a row: 255 is a probability of almost 1 to the fake network."""
    image = np.zeros(shape, np.uint8)
    for index, level in enumerate(grey_levels):
        disc = draw_discs(shape, [(40 + 60 * index % 360, 40 + 60 * (index // 6), 37)])
        image[disc > 0] = level
    return image


def count(image, chosen=None, **card):
    return count_frame(
        make_frame(image), FakeSegmenter(make_card(**card)), CountSettings(threshold=chosen)
    )


@given(st.lists(st.floats(0, 1), max_size=9).map(np.array))
def test_distribution_without_frame_shift_is_that_of_independent_decisions(chances):
    assert count_distribution(chances, 0.0) == pytest.approx(brute_force(chances), abs=1e-4)


@given(probabilities, st.floats(0, 3))
def test_distribution_is_one_in_all(chances, frame_sd):
    assert count_distribution(chances, frame_sd).sum() == pytest.approx(1)


@given(probabilities, st.floats(0, 3), st.integers(0, 12))
def test_interval_holds_the_count_and_no_more_than_there_is(chances, frame_sd, counted):
    low, high = count_interval(chances, frame_sd, counted)
    assert 0 <= low <= counted <= high <= max(len(chances), counted)


def test_certain_objects_leave_no_interval():
    assert count_interval(np.ones(50), 1.0, 50) == (50, 50)
    assert count_interval(np.zeros(50), 1.0, 0) == (0, 0)


def test_frames_that_differ_widen_the_interval():
    chances = np.full(40, 0.5)
    widths = [np.ptp(count_interval(chances, sd, 20)) for sd in (0.0, 0.5, 1.5)]
    assert widths == sorted(widths)
    assert widths[0] < widths[-1]


@pytest.mark.parametrize("frame_sd", [0.0, 0.7])
def test_interval_covers_nine_in_ten_of_frames_made_by_its_own_model(frame_sd):
    rng = np.random.default_rng(3)
    inside = 0
    for _ in range(600):
        log_odds = rng.normal(0, 2, 30)
        chances = 1 / (1 + np.exp(-log_odds))
        truth = (rng.random(30) < 1 / (1 + np.exp(-log_odds - rng.normal(0, frame_sd)))).sum()
        low, high = count_interval(chances, frame_sd, round(chances.sum()))
        inside += low <= truth <= high
    assert 0.88 <= inside / 600 <= 0.97


def test_thousands_of_objects_are_as_exact_as_few():
    chances = np.random.default_rng(1).random(4000)
    low, high = count_interval(chances, 0.0, round(chances.sum()))
    spread = 1.645 * np.sqrt((chances * (1 - chances)).sum())
    assert low == pytest.approx(chances.sum() - spread, abs=2)
    assert high == pytest.approx(chances.sum() + spread, abs=2)


def test_calibration_is_a_logistic_regression_on_standardised_features():
    term = ObjectFeature(mean=1.0, sd=2.0, coefficient=3.0)
    confidence = make_confidence(intercept=0.5, score=term, size=term)
    chances = cell_probabilities(
        np.array([[1.0, 1.0, 9, 9, 9, 9, 9], [3.0, 1.0, 9, 9, 9, 9, 9]]), confidence
    )
    assert chances == pytest.approx([1 / (1 + np.exp(-0.5)), 1 / (1 + np.exp(-3.5))])


def test_brighter_larger_and_clearer_objects_score_higher():
    image = np.full((200, 400), 20, np.uint8)
    for level, x, diameter in ((240, 60, 40), (130, 160, 40), (240, 260, 20)):
        image[draw_discs(image.shape, [(x, 100, diameter)]) > 0] = level
    labels = np.zeros(image.shape, np.int32)
    for number, x in enumerate((60, 160, 260), start=1):
        labels[:, x - 40 : x + 40][image[:, x - 40 : x + 40] > 20] = number
    pixels = np.broadcast_to(image[..., None], (*image.shape, 3))
    score, size, contrast, brightness, _, _ = measure_features(
        pixels, image, regions_of(labels), 37.0
    ).T
    assert score[0] > score[1]
    assert contrast[0] > contrast[1]
    assert size[0] > size[2]
    assert brightness[0] > brightness[1]


@pytest.mark.parametrize("diameter", [9.0, 18.0, 37.0])
def test_features_do_not_depend_on_the_working_scale(diameter):
    side = round(10 * diameter)
    image = np.full((side, side), 30, np.uint8)
    disc = draw_discs(image.shape, [(side / 2, side / 2, diameter)])
    image[disc > 0] = 180
    pixels = np.broadcast_to(image[..., None], (side, side, 3))
    labels = (disc > 0).astype(np.int32)
    (features,) = measure_features(pixels, np.where(labels, image, 0), regions_of(labels), diameter)
    odds = 180 / 256 / (1 - 180 / 256)
    expected = [np.log(odds), np.log(180 / 256), np.log(150 / 40), np.log(150)]
    assert features[:4] == pytest.approx(expected, abs=0.12)
    # The centre of a disc of radius r under a Gaussian of sigma s: (r / s)^2 exp(-(r / s)^2 / 2).
    inverse = (0.5 / 0.3) ** 2
    assert features[5] == pytest.approx(np.log(150 * inverse * np.exp(-inverse / 2)), abs=0.05)
    assert features[4] == pytest.approx(3.85, abs=0.1)


def test_what_is_out_of_focus_has_less_detail_than_blob():
    image = np.full((120, 240), 20.0)
    image[draw_discs(image.shape, [(60, 60, 37)]) > 0] = 200
    image[:, 120:] = ndimage.gaussian_filter(image[:, :120], 9)
    image = image.astype(np.uint8)
    labels = np.zeros(image.shape, np.int32)
    labels[draw_discs(image.shape, [(60, 60, 37)]) > 0] = 1
    labels[draw_discs(image.shape, [(180, 60, 37)]) > 0] = 2
    pixels = np.broadcast_to(image[..., None], (*image.shape, 3))
    *_, detail, blob = measure_features(pixels, image, regions_of(labels), 37.0).T
    assert detail[0] - detail[1] > 0.8
    assert detail[1] - blob[1] < detail[0] - blob[0]


def test_a_frame_is_doubted_as_far_as_its_foreground_is_unclear():
    clear, unclear = np.zeros((2, 60, 60), np.uint8)
    clear[10:40, 10:40] = unclear[10:40, 10:40] = 250
    unclear[10:40, 10:20] = 120
    doubts = [measure_doubt(own) for own in (clear, unclear, np.maximum(unclear, 120))]
    assert doubts == sorted(doubts)
    assert doubts[1] - doubts[0] > 1
    assert np.isfinite(
        [measure_doubt(np.full((9, 9), code, np.uint8)) for code in (0, 120, 255)]
    ).all()


def sure_above(least, **changes):
    """Objects count from this probability on, which is the score."""
    return make_confidence(least_probability=least, **changes)


def test_an_object_that_is_unlikely_a_cell_is_doubtful_and_not_counted():
    image = scene([255, 170, 255])
    counted = count(image, threshold=0.5, confidence=sure_above(0.75))
    assert counted.result.count == 2
    (doubtful,) = counted.result.doubtful
    assert doubtful.id == 3
    assert doubtful.x == pytest.approx(100, abs=1)
    assert counted.labels[40, 100] == 0
    assert [cell.x for cell in counted.result.cells] == pytest.approx([40, 160], abs=1)


def test_in_a_frame_that_the_calibration_does_not_know_the_network_alone_decides():
    unjudged = Range(low=None, high=None)
    limits = dict.fromkeys(NormalFrame.__struct_fields__, unjudged)
    dark = NormalFrame(**(limits | {"background": Range(low=None, high=20.0)}))
    confidence = sure_above(0.95, lone_peak=0.6, normal_frame=dark)
    cells = scene([255, 200, 140])
    known = count(cells, threshold=0.5, confidence=confidence).result
    stray_light = count(np.maximum(cells, 40), threshold=0.5, confidence=confidence).result
    assert (known.count, known.flags) == (1, ())
    assert stray_light.count == 2
    assert [flag.code for flag in stray_light.flags] == ["unusual_brightness"]
    assert [cell.id for cell in stray_light.doubtful if cell.id > 2] == [3]


def test_another_threshold_moves_the_least_probability_along():
    counts = [
        count(scene([255, 225, 170]), chosen, threshold=0.5, confidence=sure_above(0.8))
        for chosen in (0.3, 0.5, 0.8)
    ]
    assert [counted.result.count for counted in counts] == [3, 2, 1]


def test_what_is_below_the_threshold_is_doubtful_and_not_counted():
    counted = count(scene([255, 250, 100, 255]), threshold=0.5)
    assert counted.result.count == 3
    (doubtful,) = counted.result.doubtful
    assert doubtful.id == 4
    assert doubtful.x == pytest.approx(160, abs=1)
    assert doubtful.area_px == pytest.approx(np.pi * 37**2 / 4, rel=0.05)
    assert doubtful.max_intensity == (100.0,)
    assert DOUBTFUL_ABOVE <= doubtful.probability < 0.5
    assert set(np.unique(counted.labels)) == {0, 1, 2, 3}
    assert counted.labels[40, 160] == 0


def test_counted_cells_near_the_decision_are_doubtful_under_their_own_id():
    result = count(scene([255, 140, 255]), threshold=0.5).result
    assert [cell.id for cell in result.doubtful] == [2]
    assert result.doubtful[0] == result.cells[1]
    assert 0.5 < result.cells[1].probability < DOUBTFUL_BELOW


levels = st.lists(st.integers(0, 255), min_size=1, max_size=12)


@settings(max_examples=25, deadline=None)
@given(levels, st.floats(0.25, 0.9))
def test_lowering_the_threshold_moves_doubtful_objects_to_the_counted_ones(grey_levels, threshold):
    confidence = make_confidence(candidate_threshold=0.2)
    high = count(scene(grey_levels), threshold, confidence=confidence)
    candidates = sum(cell.id > high.result.count for cell in high.result.doubtful)
    low = relabel(
        make_frame(scene(grey_levels)),
        high.probability,
        make_card(confidence=confidence),
        CountSettings(threshold=0.2),
    )
    assert low.result.count >= high.result.count + candidates
    assert not any(cell.id > low.result.count for cell in low.result.doubtful)
    for cell in high.result.doubtful:
        assert low.labels[round(cell.y), round(cell.x)] > 0
        if cell.id > high.result.count:
            assert high.labels[round(cell.y), round(cell.x)] == 0


@settings(max_examples=25, deadline=None)
@given(levels, st.floats(0.25, 0.9))
def test_every_result_is_consistent(grey_levels, threshold):
    result = count(scene(grey_levels), threshold).result
    assert result.interval[0] <= result.count <= result.interval[1]
    new = [cell.id for cell in result.doubtful if cell.id > result.count]
    assert new == list(range(result.count + 1, result.count + 1 + len(new)))
    assert all(0 <= cell.probability <= 1 for cell in (*result.cells, *result.doubtful))


def test_the_interval_does_not_follow_the_threshold_but_reaches_to_the_count():
    image = scene([255] * 5 + [150, 140, 120, 110, 100])
    strict = count(image, threshold=0.95).result
    usual = count(image, threshold=0.5).result
    assert strict.count == 5
    assert usual.count == 7
    assert strict.interval[1] == usual.interval[1]
    assert strict.interval[0] <= 5


def test_a_doubtful_object_on_the_border_is_left_out_with_the_border():
    image = np.zeros((200, 200), np.uint8)
    image[draw_discs(image.shape, [(100, 100, 37)]) > 0] = 255
    image[draw_discs(image.shape, [(5, 100, 37)]) > 0] = 110
    segmenter = FakeSegmenter()
    kept = count_frame(make_frame(image), segmenter, CountSettings())
    left_out = count_frame(make_frame(image), segmenter, CountSettings(exclude_border=True))
    assert len(kept.result.doubtful) == 1
    assert left_out.result.doubtful == ()
    assert left_out.result.interval == (1, 1)


def test_a_cell_on_an_excluded_border_does_not_come_back_as_doubtful():
    image = draw_discs((200, 200), [(100, 100, 37), (5, 100, 37)])
    counted = count_frame(make_frame(image), FakeSegmenter(), CountSettings(exclude_border=True))
    assert counted.result.count == 1
    assert counted.result.doubtful == ()


def test_what_the_least_peak_refuses_is_doubtful():
    strict = msgspec.structs.replace(make_card().postprocessing, min_peak=0.8)
    result = count(scene([255, 150]), threshold=0.5, postprocessing=strict).result
    assert result.count == 1
    assert [cell.id for cell in result.doubtful] == [2]


def test_a_lower_threshold_finds_what_the_least_peak_refused_and_a_higher_one_refuses_more():
    strict = msgspec.structs.replace(make_card().postprocessing, min_peak=0.8)
    counts = [
        count(scene([255, 225, 170]), threshold, threshold=0.5, postprocessing=strict).result.count
        for threshold in (0.3, 0.5, 0.8)
    ]
    assert counts == [3, 2, 1]


def test_doubtful_objects_are_placed_in_original_pixels_when_the_network_works_at_another_scale():
    counted = count(scene([255, 255, 110]), threshold=0.5, cell_diameter_px=9.25)
    assert counted.probability.shape == (55, 105)
    (doubtful,) = counted.result.doubtful
    assert (doubtful.x, doubtful.y) == (pytest.approx(160, abs=2), pytest.approx(40, abs=2))
    assert doubtful.equivalent_diameter_px == pytest.approx(37, rel=0.15)
    x0, y0, x1, y1 = doubtful.bbox
    assert not counted.labels[y0:y1, x0:x1].any()


def test_counting_again_from_the_map_gives_the_same_confidence():
    image = scene([255, 150, 120, 100, 80])
    first = count(image, threshold=0.5)
    again = relabel(make_frame(image), first.probability, make_card(), CountSettings(threshold=0.5))
    assert again.result == first.result


def test_json_carries_interval_doubtful_flags_and_probabilities():
    result = count(scene([255, 150, 100]), threshold=0.5).result
    decoded = msgspec.json.decode(to_json(result))
    assert decoded["interval"] == list(result.interval)
    assert [cell["id"] for cell in decoded["doubtful"]] == [2, 3]
    assert decoded["flags"] == []
    assert decoded["cells"][1]["probability"] == result.cells[1].probability
    assert msgspec.json.decode(to_json(result), type=CountResult) == result


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10**6), sigma_px=st.floats(0.5, 3), corners=st.integers(0, 4))
def test_curvature_in_boxes_is_that_of_the_frame(seed, sigma_px, corners):
    rng = np.random.default_rng(seed)
    grey = rng.integers(0, 256, (120, 150)).astype(np.float32)
    labels = np.zeros(grey.shape, dtype=np.int32)
    for number, (row, column) in enumerate(rng.integers(0, (110, 140), (corners, 2)), start=1):
        labels[row : row + 10, column : column + 9] = number
    objects = regions_of(labels)
    found = features._curvature(grey, sigma_px, objects)
    whole = features._minus_laplacian(grey, sigma_px).ravel()
    np.testing.assert_array_equal(found, whole[objects.pixels])


def test_curvature_of_thousands_of_small_cells_takes_no_memory_of_its_own():
    labels = np.zeros((980, 980), dtype=np.int32)
    for number in range(4900):
        row, column = 14 * (number // 70), 14 * (number % 70)
        labels[row : row + 9, column : column + 9] = number + 1
    objects, grey = regions_of(labels), np.zeros(labels.shape, np.float32)
    tracemalloc.start()
    features._curvature(grey, 2.8, objects)
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak_bytes < 50 * labels.size


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10**6), size=st.integers(3, 30))
def test_sums_around_pixels_are_those_of_a_uniform_filter(seed, size):
    rng = np.random.default_rng(seed)
    values = rng.integers(0, 256, (40, 60)).astype(np.float64)
    rows, columns = rng.integers(0, 40, 20), rng.integers(0, 60, 20)
    found = features._window_sums(values, size, rows, columns)
    means = ndimage.uniform_filter(values, size, mode="constant")[rows, columns]
    np.testing.assert_allclose(found, means * size**2, rtol=1e-9, atol=1e-6)
