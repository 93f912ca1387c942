import msgspec
import numpy as np
import pytest
from conftest import FakeSegmenter, draw_discs, make_card, make_frame
from hypothesis import given, settings
from hypothesis import strategies as st

from device.counting.pipeline import count_frame, relabel
from device.counting.records import CountResult, CountSettings, to_json
from device.counting.settings import postprocessing_at, resolve
from device.errors import InputError

DEFAULTS = CountSettings()


def count(image, card=None, settings=DEFAULTS, **frame):
    return count_frame(make_frame(image, **frame), FakeSegmenter(card), settings)


def test_separate_discs_are_counted_where_they_are():
    discs = [(100, 80, 37), (300, 90, 40), (200, 250, 30)]
    counted = count(draw_discs((300, 400), discs))
    assert counted.result.count == 3
    for cell, (x, y, diameter) in zip(counted.result.cells, discs, strict=True):
        assert (cell.x, cell.y) == (pytest.approx(x, abs=0.5), pytest.approx(y, abs=0.5))
        assert cell.equivalent_diameter_px == pytest.approx(diameter, rel=0.05)
        assert cell.max_intensity == (255.0,)
    assert set(np.unique(counted.labels)) == {0, 1, 2, 3}


def test_an_empty_frame_is_a_result():
    counted = count(np.zeros((100, 120), np.uint8))
    assert counted.result.count == 0
    assert counted.labels.shape == (100, 120)


def test_a_frame_that_is_all_foreground_does_not_fail():
    assert count(np.full((64, 64), 255, np.uint8)).result.count >= 1


def test_touching_cells_are_split_and_keep_their_pixels():
    image = draw_discs((200, 300), [(100, 100, 40), (132, 100, 40)])
    counted = count(image)
    assert counted.result.count == 2
    assert (counted.labels > 0).sum() == (image > 0).sum()
    assert [round(cell.x) for cell in counted.result.cells] == pytest.approx([99, 133], abs=4)


def test_an_elongated_cell_stays_one():
    rows, columns = np.mgrid[:200, :200]
    ellipse = ((columns - 100) / 32) ** 2 + ((rows - 100) / 15) ** 2 <= 1
    assert count((ellipse * 255).astype(np.uint8)).result.count == 1


def test_holes_are_filled_and_crumbs_dropped():
    image = draw_discs((200, 200), [(100, 100, 40)])
    image[95:105, 95:105] = 0
    image[10:13, 10:13] = 255
    (cell,) = count(image).result.cells
    assert cell.area_px == pytest.approx(np.pi * 400, rel=0.05)


@pytest.mark.parametrize("scale", [0.25, 0.5, 2.0])
def test_results_are_in_original_pixels_at_any_working_scale(scale):
    discs = [(100.5, 80.5, 37), (300.5, 90.5, 40), (200.5, 250.5, 33)]
    card = make_card(cell_diameter_px=37.0 * scale)
    counted = count(draw_discs((300, 400), discs), card)
    assert counted.probability.shape == (300 * scale, 400 * scale)
    assert counted.labels.shape == (300, 400)
    assert counted.result.count == 3
    for cell, (x, y, diameter) in zip(counted.result.cells, discs, strict=True):
        assert (cell.x, cell.y) == (pytest.approx(x, abs=0.7), pytest.approx(y, abs=0.7))
        assert cell.equivalent_diameter_px == pytest.approx(diameter, rel=0.08)


def test_the_cell_diameter_rescales_a_foreign_image():
    image = draw_discs((150, 200), [(50, 40, 18), (150, 45, 18), (100, 120, 18)])
    counted = count(image, settings=CountSettings(cell_diameter_px=18.0))
    assert counted.probability.shape == (round(150 * 37 / 18), round(200 * 37 / 18))
    assert counted.result.count == 3


def test_cells_on_the_border_can_be_left_out():
    image = draw_discs((200, 200), [(0, 100, 40), (100, 100, 40)])
    assert count(image).result.count == 2
    counted = count(image, settings=CountSettings(exclude_border=True))
    assert counted.result.count == 1
    assert counted.labels.max() == 1
    assert counted.result.cells[0].x == pytest.approx(100, abs=0.5)


def test_relabelling_equals_counting_with_those_settings():
    rng = np.random.default_rng(3)
    image = np.kron(rng.integers(0, 256, (20, 30)), np.ones((20, 20))).astype(np.uint8)
    frame, segmenter = make_frame(image), FakeSegmenter(make_card(cell_diameter_px=18.5))
    first = count_frame(frame, segmenter, DEFAULTS)
    chosen = CountSettings(threshold=0.8, min_area_px=500.0)
    again = relabel(frame, first.probability, segmenter.card, chosen)
    direct = count_frame(frame, segmenter, chosen)
    np.testing.assert_array_equal(again.labels, direct.labels)
    assert again.result == direct.result
    assert again.result.count < first.result.count


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from([0.3, 1.0, 1.7]))
def test_labels_and_cells_always_agree(seed, scale):
    rng = np.random.default_rng(seed)
    image = np.kron(rng.integers(0, 256, (8, 9)), np.ones((13, 11))).astype(np.uint8)
    card = make_card(cell_diameter_px=37.0 * scale)
    counted = count(image, card, CountSettings(min_area_px=float(rng.integers(0, 200))))
    result = counted.result
    assert [cell.id for cell in result.cells] == list(range(1, result.count + 1))
    np.testing.assert_array_equal(
        np.bincount(counted.labels.ravel(), minlength=result.count + 1)[1:],
        [cell.area_px for cell in result.cells],
    )
    for cell in result.cells:
        x0, y0, x1, y1 = cell.bbox
        rows, columns = np.nonzero(counted.labels == cell.id)
        assert (x0, y0, x1, y1) == (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
        assert 0 <= cell.score <= 1


def test_16_bit_and_8_bit_versions_of_a_frame_count_alike():
    image = draw_discs((200, 300), [(100, 100, 40), (200, 100, 40)])
    for bits in (10, 12, 16):
        deep = (image.astype(np.uint16) * ((2**bits - 1) / 255)).round().astype(np.uint16)
        counted = count(deep, bits=bits)
        assert counted.result.count == 2
        assert counted.result.cells[0].max_intensity == (2**bits - 1,)


def test_a_dark_16_bit_frame_is_not_stretched():
    dark = np.random.default_rng(0).integers(0, 900, (200, 200), dtype=np.uint16)
    assert count(dark, bits=16).result.count == 0


def test_a_wrong_cell_diameter_degrades_gently():
    """Half or double the true diameter still finds isolated cells; what suffers is splitting and size limits."""
    discs = [(60 + 90 * (i % 6), 60 + 90 * (i // 6), 37) for i in range(24)]
    image = draw_discs((420, 570), discs)
    counts = {
        diameter: count(image, settings=CountSettings(cell_diameter_px=diameter)).result.count
        for diameter in (18.5, 26.0, 37.0, 52.0, 74.0)
    }
    assert counts[37.0] == 24
    assert all(abs(value - 24) <= 2 for value in counts.values()), counts


@pytest.mark.parametrize(
    ("chosen", "word"),
    [
        (CountSettings(threshold=0.0), "threshold"),
        (CountSettings(threshold=1.0), "threshold"),
        (CountSettings(cell_diameter_px=1.0), "diameter"),
        (CountSettings(cell_diameter_px=5000.0), "diameter"),
        (CountSettings(min_area_px=-1.0), "area"),
    ],
)
def test_settings_out_of_range_are_refused(chosen, word):
    with pytest.raises(InputError, match=word):
        count(np.zeros((64, 64), np.uint8), settings=chosen)


def test_a_result_survives_json():
    result = count(draw_discs((200, 300), [(100, 100, 40)])).result
    assert msgspec.json.decode(to_json(result), type=CountResult) == result


def test_a_result_cannot_contradict_itself():
    result = count(draw_discs((200, 300), [(100, 100, 40)])).result
    with pytest.raises(ValueError, match="count"):
        msgspec.structs.replace(result, count=2)


def chosen(card, threshold):
    return resolve(CountSettings(threshold=threshold), card)


def test_another_threshold_moves_the_least_peak_by_the_same_log_odds():
    card = make_card()
    strict = msgspec.structs.replace(card.postprocessing, min_peak=0.7)
    card = msgspec.structs.replace(card, threshold=0.2, postprocessing=strict)
    assert postprocessing_at(card, chosen(card, 0.2), is_usual=True) == strict
    lower, higher = (
        postprocessing_at(card, chosen(card, cut), is_usual=True).min_peak for cut in (0.1, 0.4)
    )
    assert 0.1 < lower < 0.7 < higher < 1
    odds = [p / (1 - p) for p in (lower, 0.7)]
    assert odds[1] / odds[0] == pytest.approx((0.2 / 0.8) / (0.1 / 0.9))
    card = make_card()
    own = postprocessing_at(card, chosen(card, 0.9), is_usual=True)
    assert own.min_peak == card.postprocessing.min_peak


def test_a_lower_threshold_finds_a_fainter_cell_that_the_least_peak_refused():
    card = make_card()
    strict = msgspec.structs.replace(card.postprocessing, min_peak=0.7)
    card = msgspec.structs.replace(card, threshold=0.3, postprocessing=strict)
    image = draw_discs((120, 200), [(50, 60, 36), (150, 60, 36)])
    probability = np.where(image > 0, 230, 0).astype(np.uint8)
    probability[:, 100:][probability[:, 100:] > 0] = 150
    frame = make_frame(probability)
    counts = [
        relabel(frame, probability, card, CountSettings(threshold=cut)).result.count
        for cut in (0.3, 0.15)
    ]
    assert counts == [1, 2]
