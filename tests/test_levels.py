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
    bright = np.minimum(DEEP.astype(np.uint32) * 4095 // int(np.percentile(DEEP, 99.5)), 4095)
    plain = read(tiff(bright.astype(np.uint16)))
    frame = read(tiff((bright + offset).astype(np.uint16)))
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
