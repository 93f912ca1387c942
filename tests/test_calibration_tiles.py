"""Tiles for the integer conversion."""

import numpy as np
import pytest
from conftest import make_frame

from convert.calibrate import calibration_tiles
from device.errors import ModelError
from trainer.frames.example import Example


def example(level, height=150, width=200, scale=1.0):
    image = np.full((height, width, 3), level, np.uint8)
    labels = np.zeros((height, width), np.int32)
    return Example(make_frame(image, source=f"{level}.png"), labels, scale, str(level), "test")


def test_darkest_and_brightest_frames_are_always_among_the_tiles():
    frames = [example(level) for level in [*range(100, 140, 2), 0, 255]]
    tiles = calibration_tiles(frames, 1.0, stride_px=8, count=100)
    assert tiles.shape == (100, 128, 128, 3)
    levels = set(tiles[:, 0, 0, 0].tolist())
    assert {0, 255} <= levels
    assert len(levels) > 10


def test_small_frames_are_extended_and_odd_strides_kept():
    tiles = calibration_tiles([example(7, 40, 50)], 0.5, stride_px=24, count=100)
    assert tiles.shape == (100, 144, 144, 3)
    assert set(np.unique(tiles)) == {7}


def test_the_same_seed_gives_the_same_tiles():
    rng = np.random.default_rng(0)
    image = rng.integers(0, 255, (300, 300, 3)).astype(np.uint8)
    one = Example(make_frame(image), np.zeros((300, 300), np.int32), 1.0, "a", "test")
    first, again = (calibration_tiles([one], 1.0, 8, 100, seed=4) for _ in range(2))
    assert np.array_equal(first, again)


@pytest.mark.parametrize(("frames", "count"), [([], 128), ([example(1)], 99)])
def test_too_little_to_calibrate_on_is_refused(frames, count):
    with pytest.raises(ModelError, match="at least 100"):
        calibration_tiles(frames, 1.0, 8, count)
