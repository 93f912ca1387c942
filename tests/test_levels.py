"""The range of 16-bit samples: what is counted does not depend on a hot pixel, a header or an offset."""

import numpy as np
import pytest
from forms import COLOUR, DEEP, GREY, as_shown, imagej, ome, packed_12_bit, png, tiff

from device.counting.confidence.flags import file_flags
from device.counting.confidence.promise import holds
from device.counting.pipeline import count_frame
from device.counting.records import CountSettings, Reading
from device.imageio import decode_frame
from device.models.card import find_model
from device.models.interpreter import load_segmenter

RNG = np.random.default_rng(1)


@pytest.fixture(scope="module")
def segmenter():
    return load_segmenter(find_model("fast"), 2)


BRIGHT = np.minimum(DEEP.astype(np.uint32) * 4095 // int(np.percentile(DEEP, 99.5)), 4095)
BRIGHT = BRIGHT.astype(np.uint16)
"""Its brightest cells are at full scale."""


def read(data, **reading):
    return decode_frame(data, "a.tif", Reading(**reading))


def flags(frame):
    return [flag.code for flag in file_flags(frame.taken)]


def close(frame, expected=GREY):
    """Within one grey level but for the few pixels that were spoilt."""
    shown = as_shown(frame)[..., 0].astype(int)
    return (np.abs(shown - expected.astype(int)) <= 1).mean() > 0.999


def hot(image, pixels, value):
    spoilt = image.copy()
    spoilt.flat[RNG.choice(image.size, pixels, replace=False)] = value
    return spoilt


@pytest.mark.parametrize(
    "data",
    [
        tiff(DEEP),
        tiff(hot(DEEP, 1, 4097)),
        tiff(hot(DEEP, 12, 65535)),
        png(hot(DEEP, 1, 4097)),
        ome(DEEP, "YX", SignificantBits=16),
        ome(DEEP, "YX", SignificantBits=12),
        tiff(DEEP, extratags=[(281, "H", 1, 65535, False)]),
        tiff(DEEP + np.uint16(32768)),
        imagej(DEEP + np.uint16(32768), "c0=-32768.0\nc1=1.0\ncf=0\n"),
        tiff(4095 - DEEP, photometric="miniswhite"),
        packed_12_bit(DEEP),
        tiff(GREY.astype(np.uint16) * 17),
        tiff(GREY.astype(np.uint16) * 257),
    ],
    ids=lambda data: f"{len(data)} bytes",
)
def test_every_form_of_the_same_light_is_the_same_light(data):
    frame = read(data)
    assert close(frame)
    assert flags(frame) == []


@pytest.mark.parametrize("offset", [100, 300])
def test_a_camera_offset_does_not_push_a_frame_into_the_next_range(offset):
    plain = read(tiff(BRIGHT))
    frame = read(tiff(BRIGHT + np.uint16(offset)))
    assert frame.taken.full_scale == plain.taken.full_scale == 4095
    assert frame.taken.offset == pytest.approx(offset, abs=40)
    assert np.abs(as_shown(frame).astype(int) - as_shown(plain)).max() <= 3


def test_a_sweep_gives_a_smooth_count_or_a_flag(segmenter):
    deep = COLOUR.astype(np.uint16) * 16 + RNG.integers(0, 16, COLOUR.shape, np.uint16)
    right = count_frame(read(tiff(deep)), segmenter, CountSettings()).result.count
    assert right > 0
    for factor in (8, 12, 16, 17, 20, 32, 33, 40, 48, 64):
        frame = read(tiff(np.rint(deep * (factor / 16)).astype(np.uint16)))
        result = count_frame(frame, segmenter, CountSettings()).result
        assert "dim" in flags(frame) or holds(result.interval, right), factor


@pytest.mark.parametrize(("offset", "noise"), [(100, 3), (100, 12), (400, 40), (1000, 60)])
def test_an_empty_deep_frame_counts_nothing(segmenter, offset, noise):
    empty = RNG.normal(offset, noise, (400, 500)).clip(0).astype(np.uint16)
    result = count_frame(read(tiff(empty)), segmenter, CountSettings()).result
    assert result.count == 0
    assert result.flags


def test_a_range_that_is_hardly_used_is_said():
    frame = read(tiff(np.minimum(DEEP, 1500)))
    assert flags(frame) == ["dim"]
    (flag,) = file_flags(frame.taken)
    assert "4095" in flag.text
    assert "--full-scale" in flag.text


def test_a_stated_range_is_used():
    frame = read(tiff(DEEP + np.uint16(300)), full_scale=4095, offset=300)
    assert close(frame)
    assert (frame.taken.offset, frame.taken.full_scale, frame.taken.range_from) == (
        300,
        4095,
        "settings",
    )
    assert flags(frame) == []


def test_bits_of_a_header_are_an_upper_bound_only():
    assert read(ome(np.minimum(DEEP, 900), "YX", SignificantBits=12)).bits == 10
    assert read(ome(hot(DEEP, 200, 9000), "YX", SignificantBits=12)).bits == 12
    dark = np.full((40, 50), 90, np.uint16)
    assert read(ome(dark, "YX", SignificantBits=12)).bits == 10  # no camera of 12 bits gives 8


@pytest.mark.parametrize("value", [(4096, 16000), (65535, 65536), (0, 1)])
@pytest.mark.parametrize("share", [5e-4, 5e-3])
def test_hot_and_dead_pixels_do_not_count_however_many_there_are(value, share):
    image = BRIGHT + np.uint16(300)
    spoilt = RNG.random(image.shape) < share
    image[spoilt] = RNG.integers(*value, np.count_nonzero(spoilt))
    taken = read(tiff(image)).taken
    assert taken.full_scale == 4095
    assert taken.offset == pytest.approx(300, abs=40)


@pytest.mark.parametrize("depth", [np.uint8, np.uint16])
def test_hot_pixels_do_not_make_a_dim_frame_bright(depth):
    image = (GREY // 6).astype(depth) * depth(1 if depth == np.uint8 else 16)
    image[::31, ::13] = 255 if depth == np.uint8 else 4095
    assert flags(read(tiff(image))) == ["dim"]


def test_a_dim_frame_of_8_bits_promises_nothing_above_its_count(segmenter):
    result = count_frame(read(png(COLOUR // 8)), segmenter, CountSettings()).result
    assert [flag.code for flag in result.flags][:1] == ["dim"]
    assert result.interval[1] is None
    assert flags(read(png(COLOUR))) == []
    assert file_flags(read(png(COLOUR // 8)).taken, "grey") == ()


@pytest.mark.parametrize("offset", [1, 100, 1000])
def test_multiples_of_a_number_fit_the_range_of_the_samples(offset):
    wide = (BRIGHT.astype(np.uint32) * 14 + 2 * offset).astype(np.uint16)
    frame = read(tiff(wide))
    assert frame.taken.full_scale == 65535
    assert frame.taken.used_share > 0.65


def test_an_offset_is_subtracted_from_multiples_of_a_number():
    frame = read(tiff(BRIGHT * np.uint16(4) + np.uint16(1000)))
    assert frame.taken.full_scale == 4 * 4095
    assert frame.taken.offset == pytest.approx(1000, abs=100)


def test_the_empty_corners_of_a_mosaic_do_not_hide_the_offset():
    image = BRIGHT + np.uint16(400)
    image[:40, :60] = image[-30:, -90:] = 0
    taken = read(tiff(image)).taken
    assert taken.full_scale == 4095
    assert taken.offset >= 400
