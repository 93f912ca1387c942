"""Every flag is raised by what it is about, says what was seen and what to do, and by nothing else."""

import msgspec
import numpy as np
import pytest
from conftest import (
    USUAL,
    FakeSegmenter,
    draw_discs,
    make_card,
    make_confidence,
    make_frame,
)

from device.counting.card import NormalFrame, Range
from device.counting.confidence.flags import frame_flags
from device.counting.confidence.statistics import (
    frame_statistics,
)
from device.counting.pipeline import count_frame
from device.counting.records import CountSettings, as_three_channels

NORMAL = NormalFrame(
    contrast=Range(low=1.5, high=None),
    background=Range(low=None, high=80.0),
    noise=Range(low=None, high=0.6),
    sharpness=Range(low=0.23, high=None),
    green_share=Range(low=0.35, high=0.5),
    blue_share=Range(low=None, high=0.1),
    saturated_share=Range(low=None, high=0.005),
    cell_size_ratio=Range(low=0.6, high=1.8),
    covered_share=Range(low=None, high=0.06),
)


@pytest.mark.parametrize(
    ("changed", "code", "seen", "remedy"),
    [
        ({"contrast": 0.4}, "blank", "0.4 grey levels", "check excitation light"),
        ({"saturated_share": 0.03}, "saturated", "3.0%", "shorten the exposure"),
        ({"background": 120.0}, "unusual_brightness", "bright", "stray light"),
        ({"green_share": 0.05}, "wrong_stain", "5% green", "check filter"),
        ({"blue_share": 0.3}, "wrong_stain", "30% blue", "check filter"),
        ({"sharpness": 0.15}, "out_of_focus", "0.15", "focus again"),
        ({"noise": 0.9}, "unusual_noise", "0.90", "lower the gain"),
    ],
)
def test_each_flag_says_what_was_seen_and_what_to_do(changed, code, seen, remedy):
    (flag,) = frame_flags(msgspec.structs.replace(USUAL, **changed), NORMAL)
    assert flag.code == code
    assert seen in flag.text
    assert remedy in flag.text


@pytest.mark.parametrize(
    ("changed", "code", "seen", "remedy"),
    [
        ({"cell_size_ratio": 2.5}, "cell_size", "2.5 times", "check the cell diameter"),
        ({"cell_size_ratio": 0.4}, "cell_size", "0.4 times", "check the cell diameter"),
        ({"covered_share": 0.2}, "crowded", "20%", "check the outlines"),
    ],
)
def test_each_flag_about_cells_says_what_was_seen_and_what_to_do(changed, code, seen, remedy):
    (flag,) = frame_flags(msgspec.structs.replace(USUAL, **changed), NORMAL)
    assert flag.code == code
    assert seen in flag.text
    assert remedy in flag.text


def test_a_usual_frame_has_no_flag():
    assert frame_flags(USUAL, NORMAL) == ()


def test_what_cannot_be_measured_is_not_judged():
    unknown = dict.fromkeys(("sharpness", "green_share", "blue_share", "cell_size_ratio"))
    assert frame_flags(msgspec.structs.replace(USUAL, **unknown), NORMAL) == ()


def test_a_blank_frame_is_not_also_called_out_of_focus_or_wrongly_stained():
    blank = msgspec.structs.replace(USUAL, contrast=0.1, sharpness=0.0, green_share=0.0)
    assert [flag.code for flag in frame_flags(blank, NORMAL)] == ["blank"]


def test_several_things_can_be_wrong_at_once_each_said_once():
    bad = msgspec.structs.replace(USUAL, green_share=0.0, blue_share=0.9, noise=2.0)
    assert sorted(flag.code for flag in frame_flags(bad, NORMAL)) == [
        "unusual_noise",
        "wrong_stain",
    ]


def yellow(image):
    return (image[..., None] * np.array([1.0, 0.75, 0.08])).astype(np.uint8)


def statistics(image, diameter=37.0, **frame):
    made = make_frame(image, **frame)
    pixels = made.image if made.bits == 8 else (made.image >> (made.bits - 8)).astype(np.uint8)
    return frame_statistics(made, pixels, diameter)


def scene(side=600, diameter=37.0, level=150):
    grey = np.full((side, side), 20.0)
    for x, y in ((0.2, 0.3), (0.5, 0.6), (0.8, 0.25), (0.7, 0.8)):
        grey[draw_discs(grey.shape, [(x * side, y * side, diameter)]) > 0] = level
    return grey


def test_colour_is_that_of_the_structures_not_of_the_background():
    image = yellow(scene())
    image[image.max(axis=2) <= 20] = (20, 20, 20)
    seen = statistics(image)
    assert seen.green_share == pytest.approx(0.41, abs=0.03)
    assert seen.blue_share < 0.05


@pytest.mark.parametrize("factor", [0.25, 0.5])
def test_statistics_agree_between_full_size_and_reduced_frames(factor):
    full = statistics(yellow(scene()))
    reduced = statistics(yellow(scene(round(600 * factor), 37 * factor)), 37 * factor)
    for name in ("contrast", "background", "green_share", "blue_share"):
        assert getattr(reduced, name) == pytest.approx(getattr(full, name), rel=0.15, abs=0.02)
    assert reduced.sharpness == pytest.approx(full.sharpness, rel=0.2)


def test_saturation_is_judged_by_the_significant_bits():
    image = yellow(scene(level=250)).astype(np.uint16) << 4
    assert statistics(image, bits=12).saturated_share == 0
    image[image > 3000] = 4095
    assert statistics(image, bits=12).saturated_share > 0.005


def test_cells_that_are_not_as_wide_as_was_set_are_flagged_and_stored_in_the_result():
    discs = [(60 + 100 * (i % 4), 60 + 100 * (i // 4), 80) for i in range(8)]
    card = make_card(confidence=make_confidence(normal_frame=NORMAL))
    image = draw_discs((300, 420), discs)

    def codes(diameter):
        chosen = CountSettings(cell_diameter_px=diameter)
        result = count_frame(make_frame(image), FakeSegmenter(card), chosen).result
        return {flag.code for flag in result.flags}

    assert "cell_size" in codes(37.0)
    assert "cell_size" not in codes(80.0)


@pytest.mark.parametrize("shape", [(1, 1), (1, 300), (8, 8), (40, 2000)])
def test_frames_of_any_shape_are_measured(shape):
    seen = statistics(np.full((*shape, 3), 50, np.uint8))
    assert seen.contrast == pytest.approx(0, abs=1e-3)
    assert seen.sharpness is None


def test_a_model_never_tried_on_unseen_frames_says_so_with_every_count():
    image = np.zeros((64, 64), np.uint8)
    untested = make_card(confidence=make_confidence(frames=0))
    for card, codes in ((make_card(), []), (untested, ["untested_model"])):
        counted = count_frame(make_frame(image), FakeSegmenter(card), CountSettings())
        assert [flag.code for flag in counted.result.flags] == codes


@pytest.mark.parametrize("diameter_px", [4.0, 9.0, 16.0, 37.0])
def test_a_grey_frame_is_measured_as_its_copy_in_colour(diameter_px):
    grey = np.random.default_rng(7).poisson(30, (203, 310)).astype(np.uint8)
    grey[40:60, 50:80] = 200
    image = as_three_channels(grey)
    frame = make_frame(image)
    assert frame_statistics(frame, image, diameter_px) == frame_statistics(
        frame, image.copy(), diameter_px
    )
