"""Strips of information that programs write along an edge of the picture."""

import numpy as np
import pytest
from forms import COLOUR, DEEP, GREY
from PIL import Image, ImageDraw, ImageFont

from device.imageio.annotations import find_annotations, find_drawings
from device.imageio.strips import mark_strips
from device.synthetic import SyntheticSettings, make_frame

ROWS = 36


def with_strip(picture, ground="black", ink="white"):
    image = Image.fromarray(picture)
    width, height = image.size
    pen = ImageDraw.Draw(image)
    pen.rectangle((0, height - ROWS, width, height), fill=ground)
    font = ImageFont.load_default(18)
    pen.text((10, height - ROWS + 6), "EVOS FL 20x GFP 200 um", fill=ink, font=font)
    return image


def strips(samples):
    found = np.zeros(samples.shape[:2], bool)
    mark_strips(found, samples)
    return found


@pytest.mark.parametrize("picture", [GREY, COLOUR], ids=["grey", "colour"])
@pytest.mark.parametrize(("ground", "ink"), [("black", "white"), ("white", "black")])
@pytest.mark.parametrize("factor", [1, 1.5, 2.3])
def test_a_strip_is_found_also_where_the_picture_was_enlarged_with_it(picture, ground, ink, factor):
    image = with_strip(picture, ground, ink)
    size = round(image.width * factor), round(image.height * factor)
    samples = np.asarray(image.resize(size, Image.Resampling.BICUBIC))
    edge = round((GREY.shape[0] - ROWS) * factor)
    for turn in range(4):
        found = np.rot90(find_annotations(np.ascontiguousarray(np.rot90(samples, turn))), -turn)
        assert found[edge + 5 :].all()
        assert not found[: edge - 6].any()


def test_a_strip_in_deep_samples_is_found_whatever_its_white_is():
    samples = DEEP.copy()
    samples[-ROWS:] = np.asarray(with_strip(GREY))[-ROWS:].astype(np.uint16) * 257
    drawn = find_drawings(samples)
    assert drawn.certain[-ROWS:].all()
    assert drawn.possible is None


@pytest.mark.parametrize("cut", [0, 12, 40])
def test_background_that_is_cut_off_is_no_strip(cut):
    for seed in range(6):
        image = make_frame(seed, SyntheticSettings(width_px=240, height_px=180)).frame.image
        assert not strips(np.maximum(image, cut) - np.uint8(cut)).any()


def test_the_black_around_a_round_field_of_view_is_no_strip():
    rows, columns = np.mgrid[-1 : 1 : GREY.shape[0] * 1j, -1 : 1 : GREY.shape[1] * 1j]
    noisy = np.maximum(GREY, 1)
    assert not strips(np.where(rows**2 + columns**2 < 0.8, noisy, 0).astype(np.uint8)).any()


def test_what_is_transparent_is_no_strip():
    samples = GREY.copy()
    samples[-ROWS:] = 255
    hidden = np.zeros(GREY.shape, bool)
    hidden[-ROWS:] = True
    assert find_annotations(samples, (hidden,)) is None
