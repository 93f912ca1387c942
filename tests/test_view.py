"""The colour-blind plane: the same cells in any colour, at any light, look the same; noise stays dark."""

import numpy as np
import pytest

from device.counting.view import grey_plane, network_view, noise_of
from tests.conftest import draw_discs, make_frame

COLOURS = {
    "red": (1, 0, 0),
    "green": (0, 1, 0),
    "blue": (0, 0, 1),
    "yellow": (1, 0.74, 0.06),
    "grey": (1, 1, 1),
}


def lit(colour, light=1.0, dark=8):
    """Discs on a dark ground with a little noise, as uint8 RGB."""
    labels = draw_discs((120, 160), [(30, 30, 18), (90, 60, 20), (130, 95, 16)])
    grey = (labels > 0) * 90.0 * light + np.random.default_rng(1).normal(0, 1, labels.shape)
    return np.clip(dark + grey[..., None] * np.array(colour), 0, 255).astype(np.uint8)


@pytest.mark.parametrize("colour", COLOURS.values(), ids=COLOURS)
def test_the_same_cells_in_any_colour_look_the_same(colour):
    plain = network_view(make_frame(lit((1, 1, 1))), 1.0, "grey").astype(int)
    found = network_view(make_frame(lit(colour)), 1.0, "grey").astype(int)
    assert np.abs(found - plain).max() <= 12
    assert np.array_equal(found[..., 0], found[..., 2])


def test_the_exposure_changes_nothing():
    dim, bright = (
        network_view(make_frame(lit((1, 1, 1), light, 4)), 1.0, "grey") for light in (1, 2)
    )
    inside = draw_discs((120, 160), [(30, 30, 14)]) > 0
    assert abs(dim[inside].mean() - bright[inside].mean()) < 8


def test_noise_without_cells_stays_dark():
    noise = np.random.default_rng(2).normal(40, 6, (200, 200)).clip(0, 255).astype(np.uint8)
    seen = network_view(make_frame(np.dstack([noise] * 3)), 1.0, "grey")
    assert np.median(seen) < 70
    assert np.quantile(seen, 0.99) < 120


def test_sixteen_bits_are_not_rounded_to_eight():
    labels = draw_discs((60, 80), [(40, 30, 20)])
    image = np.dstack([((labels > 0) * 90 + 500).astype(np.uint16)] * 3)
    frame = make_frame(image, bits=16)
    seen = network_view(frame, 1.0, "grey")
    assert seen[30, 40, 0] > 150
    assert seen[5, 5, 0] == 0
    assert network_view(frame, 1.0, "colour")[30, 40, 0] < 3


@pytest.mark.parametrize("channels", [1, 3])
def test_the_plane_of_whole_levels_is_that_of_the_same_in_floating_point(channels):
    rng = np.random.default_rng(channels)
    for side in (41, 160):
        image = rng.normal(30, 12, (side, side + 7, channels)).clip(0, 255)
        image[5:20, 5:20] += rng.integers(0, 150, channels)
        codes = image.clip(0, 255).astype(np.uint8)
        assert np.array_equal(grey_plane(codes), grey_plane(codes.astype(np.float32)))


def test_a_blank_frame_is_black():
    assert grey_plane(np.full((40, 50, 3), 77, np.float32)).max() == 0
    assert noise_of(np.zeros((5, 1, 1), np.float32)) == 0
