"""How large a cell is: estimated where nobody said it, doubted where the image says something else."""

import numpy as np
import pytest
from conftest import FakeSegmenter, draw_discs, make_card, make_frame
from PIL import Image

from device.counting.card import DiameterReader
from device.counting.confidence.promise import holds
from device.counting.diameter import (
    LEVELS,
    Diameter,
    estimate_diameter,
    level_of,
    scale_spectrum,
    window,
)
from device.counting.pipeline import count_frame
from device.counting.records import CountSettings
from device.models.card import find_model, load_card
from device.synthetic import SyntheticSettings
from device.synthetic import make_frame as synthetic_frame

READER = DiameterReader(
    mean=(0.0,) * 6,
    sd=(1.0,) * 6,
    first=(((0.0,), (0.0,), (1.0,), (0.0,), (0.0,), (0.0,), (0.0,)),),
    first_bias=(10.0,),
    second=((6.0,),),
    second_bias=0.0,
    fitted_on="tests: the scale whose brightest structures stand out most",
)
TEN = [(40 + 60 * (i % 5), 40 + 60 * (i // 5), 37) for i in range(10)]


def count(monkeypatch, discs, seen, **settings):
    """Count discs with a fake estimate."""
    estimate = None if seen is None else Diameter(seen, seen / 1.3, seen * 1.3)
    monkeypatch.setattr("device.counting.readings.estimate_diameter", lambda *_: estimate)
    frame = make_frame(draw_discs((180, 340), discs) // 255 * 230)
    segmenter = FakeSegmenter(make_card(diameter_reader=READER))
    return count_frame(frame, segmenter, CountSettings(**settings)).result


def codes(result):
    return {flag.code for flag in result.flags}


def test_an_open_diameter_is_estimated_and_the_result_says_so(monkeypatch):
    result = count(monkeypatch, TEN, 36.0)
    assert (result.count, result.cell_diameter_px) == (10, 36.0)
    assert result.cell_diameter_from == "estimated"
    low, high = result.cell_diameter_range_px
    assert low < 36 < high
    assert "scale" not in codes(result)


def test_an_estimate_that_the_cells_contradict_is_corrected_by_them(monkeypatch):
    result = count(monkeypatch, TEN, 22.0)
    assert result.count == 10
    assert result.cell_diameter_px == pytest.approx(37, rel=0.1)


def test_a_set_diameter_that_the_cells_contradict_is_kept_and_doubted(monkeypatch):
    result = count(monkeypatch, TEN, None, cell_diameter_px=20.0)
    assert result.cell_diameter_px == 20
    assert result.cell_diameter_from == "set"
    assert "scale" in codes(result)
    assert holds(result.interval, 10)


def test_where_nothing_is_counted_the_frame_itself_is_asked(monkeypatch):
    result = count(monkeypatch, TEN, 37.0, cell_diameter_px=150.0)
    assert result.count == 0
    assert "scale" in codes(result)
    assert holds(result.interval, 10)


def test_a_right_diameter_is_not_doubted(monkeypatch):
    for seen in (37.0, 300.0):
        assert "scale" not in codes(count(monkeypatch, TEN, seen, cell_diameter_px=37.0))


def test_a_blank_frame_takes_the_usual_diameter(monkeypatch):
    result = count(monkeypatch, [], None)
    assert result.cell_diameter_from == "usual"
    assert result.count == 0


@pytest.mark.parametrize("diameter", [8, 16, 32])
def test_the_estimate_grows_with_the_picture(diameter):
    places = range(2 * diameter, 320 - diameter, 3 * diameter)
    image = draw_discs((320, 320), [(x, y, diameter) for x in places for y in places])
    found = estimate_diameter(make_frame(image), READER)
    assert found.px == pytest.approx(diameter, rel=0.35)
    assert found.low_px < found.px < found.high_px


TURNS = [
    transform
    for turn in range(4)
    for transform in (
        lambda image, turn=turn: np.rot90(image, turn),
        lambda image, turn=turn: np.fliplr(np.rot90(image, turn)),
    )
]


@pytest.mark.parametrize(
    ("width", "height", "shrink"),
    [(480, 360, 1), (301, 223, 1), (457, 333, 2), (801, 601, 1)],
)
def test_the_estimate_does_not_depend_on_how_the_camera_was_turned(width, height, shrink):
    size = SyntheticSettings(width_px=width * shrink, height_px=height * shrink, cells=12)
    image = Image.fromarray(synthetic_frame(width, size).frame.image).reduce(shrink)
    reader = load_card(find_model("fast")).diameter_reader
    found = [
        estimate_diameter(make_frame(np.ascontiguousarray(turn(np.asarray(image)))), reader).px
        for turn in TURNS
    ]
    # Pillow reduces a large frame along its width first, and rounds in between.
    assert found == pytest.approx([found[0]] * len(TURNS), rel=0.01)


def test_the_part_of_a_large_frame_that_is_looked_at_does_not_depend_on_it_either():
    image = np.random.default_rng(2).integers(0, 200, (150, 230, 3), np.uint8)
    image[100:110, 20:30] = 255
    seen = {
        int(window(make_frame(np.ascontiguousarray(turn(image))), 90).image.astype(int).sum())
        for turn in TURNS
    }
    assert len(seen) == 1


def test_a_spectrum_has_a_level_for_each_scale_and_none_beyond_the_frame():
    small = scale_spectrum(np.zeros((40, 60), np.uint8))
    large = scale_spectrum(np.zeros((600, 600), np.uint8))
    assert len(small) < len(large) <= LEVELS
    assert level_of(2 * 9.0) == pytest.approx(level_of(9.0) + 3)


def test_nothing_is_estimated_in_a_black_frame():
    assert estimate_diameter(make_frame(np.zeros((100, 100), np.uint8)), READER) is None


def test_an_estimate_below_what_has_a_shape_is_raised_to_it(monkeypatch):
    result = count(monkeypatch, [], 1.2)
    assert result.cell_diameter_px >= 3


def test_cells_of_too_few_pixels_are_warned_of(monkeypatch):
    small = [(12 + 20 * (i % 5), 12 + 20 * (i // 5), 12) for i in range(10)]
    assert "coarse" in codes(count(monkeypatch, small, 12.0))
    assert "coarse" not in codes(count(monkeypatch, TEN, 37.0))


def test_an_image_too_small_to_tell_the_size_of_a_cell_is_warned_of(monkeypatch):
    monkeypatch.setattr(
        "device.counting.readings.estimate_diameter", lambda *_: Diameter(37.0, 28.0, 48.0)
    )
    segmenter = FakeSegmenter(make_card(diameter_reader=READER))
    tiny = make_frame(draw_discs((60, 80), [(40, 30, 37)]) // 255 * 230)
    left_open = count_frame(tiny, segmenter, CountSettings()).result
    assert "scale" in codes(left_open)
    assert "80 x 60 pixels" in next(flag.text for flag in left_open.flags if flag.code == "scale")
    said = count_frame(tiny, segmenter, CountSettings(cell_diameter_px=37.0)).result
    assert "scale" not in codes(said)
