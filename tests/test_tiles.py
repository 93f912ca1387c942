import numpy as np
import pytest
from conftest import FakeSegmenter
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from device.counting.tiles import plan_tiles, segment

TILING = {"stride_px": 8, "margin_px": 96, "max_tile_px": 370_000}


def test_known_cuts_of_a_full_frame():
    nine = plan_tiles(1200, 1600, **TILING)
    assert (len(nine.tiles), nine.tile_shape) == (9, (528, 664))
    assert nine.computed_px / (1600 * 1200) == pytest.approx(1.64, abs=0.01)
    four = plan_tiles(1200, 1600, **{**TILING, "max_tile_px": 630_000})
    assert (len(four.tiles), four.tile_shape) == (4, (696, 896))
    assert four.computed_px / (1600 * 1200) == pytest.approx(1.30, abs=0.01)


@given(
    height=st.integers(1, 900),
    width=st.integers(1, 900),
    margin=st.sampled_from([0, 5, 8, 96]),
    max_tile=st.sampled_from([64 * 64, 256 * 256, 10**6]),
)
def test_every_plan_covers_the_canvas_once_with_aligned_tiles(height, width, margin, max_tile):
    plan = plan_tiles(height, width, stride_px=8, margin_px=margin, max_tile_px=max_tile)
    kept = np.zeros(plan.canvas_shape, dtype=int)
    for tile in plan.tiles:
        kept[tile.keep] += 1
        for read, keep, side in zip(tile.read, tile.keep, plan.canvas_shape, strict=True):
            assert read.start % 8 == 0
            assert (read.stop - read.start) in plan.tile_shape
            assert keep.start - read.start >= margin or keep.start == read.start == 0
            assert read.stop - keep.stop >= margin or keep.stop == read.stop == side
    assert (kept == 1).all()


class StridedBlur:
    """A network in small: 8 px blocks averaged, mixed over 11 blocks, enlarged again.

    Its receptive field is 40..47 px, and it is only shift-invariant by multiples of 8, like a U-Net.
    """

    def __call__(self, tile):
        height, width = tile.shape[:2]
        blocks = tile[..., 0].reshape(height // 8, 8, width // 8, 8).astype(int).sum(axis=(1, 3))
        mixed = ndimage.convolve(blocks, np.ones((11, 11), int), mode="constant") // (64 * 121)
        return (np.kron(mixed, np.ones((8, 8), int)) ^ (tile[..., 1] >> 4)).astype(np.uint8)


@pytest.mark.parametrize("shape", [(300, 400), (297, 403), (40, 700)])
def test_tiled_equals_whole(shape):
    image = np.random.default_rng(1).integers(0, 256, (*shape, 3), dtype=np.uint8)
    whole = plan_tiles(*shape, stride_px=8, margin_px=40, max_tile_px=10**9)
    tiled = plan_tiles(*shape, stride_px=8, margin_px=40, max_tile_px=160 * 160)
    assert len(whole.tiles) == 1
    assert len(tiled.tiles) > 1
    np.testing.assert_array_equal(
        segment(image, StridedBlur(), whole), segment(image, StridedBlur(), tiled)
    )


def test_a_misaligned_origin_or_a_short_margin_shows():
    image = np.random.default_rng(1).integers(0, 256, (304, 400, 3), dtype=np.uint8)
    whole = segment(
        image, StridedBlur(), plan_tiles(304, 400, stride_px=8, margin_px=40, max_tile_px=10**9)
    )
    misaligned = plan_tiles(304, 400, stride_px=4, margin_px=44, max_tile_px=160 * 160)
    short = plan_tiles(304, 400, stride_px=8, margin_px=16, max_tile_px=160 * 160)
    assert any(tile.read[0].start % 8 or tile.read[1].start % 8 for tile in misaligned.tiles)
    for plan in (misaligned, short):
        assert (segment(image, StridedBlur(), plan) != whole).any()


def test_progress_is_told_after_every_tile_and_can_stop():
    image = np.zeros((400, 400, 3), np.uint8)
    plan = plan_tiles(400, 400, stride_px=8, margin_px=8, max_tile_px=200 * 200)
    seen = []
    segment(image, FakeSegmenter(), plan, lambda done, total: seen.append((done, total)))
    assert seen == [(i, len(plan.tiles)) for i in range(1, len(plan.tiles) + 1)]

    def stop(done, total):
        raise KeyboardInterrupt

    segmenter = FakeSegmenter()
    with pytest.raises(KeyboardInterrupt):
        segment(image, segmenter, plan, stop)
    assert len(segmenter.tiles) == 1


def test_all_tiles_have_one_shape():
    segmenter = FakeSegmenter()
    plan = plan_tiles(1000, 1300, stride_px=8, margin_px=32, max_tile_px=300 * 300)
    segment(np.zeros((1000, 1300, 3), np.uint8), segmenter, plan)
    assert len(set(segmenter.tiles)) == 1
