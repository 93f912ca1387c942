"""Connected pieces found at the cost of their own pixels, against the labelling of the whole picture."""

from unittest import mock

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from device.imageio import deep, inks, runs, strokes

seeds = st.integers(0, 10**6)
sides = st.integers(1, 70)
parts = st.floats(0.01, 0.6)


def speckled(seed, height, width, part):
    return np.random.default_rng(seed).random((height, width)) < part


def placed(pieces):
    """Where each piece lies, and which pixels it has there."""
    return {(str(piece.box), piece.own.tobytes()) for piece in pieces}


def pieces_of_scipy(mask, least_px):
    labels, _ = ndimage.label(mask, np.ones((3, 3)))
    for number, box in enumerate(ndimage.find_objects(labels), start=1):
        own = labels[box] == number
        if np.count_nonzero(own) >= least_px:
            yield strokes.Piece(box, own, 1.0)


@given(seeds, sides, sides, parts, st.integers(1, 12), st.integers(1, 20))
def test_pieces_of_some_pixels_are_those_of_the_picture(
    seed, height, width, part, least_px, side_px
):
    mask = speckled(seed, height, width, part)
    found = strokes.find_pieces(np.flatnonzero(mask), mask.shape, least_px, side_px)
    large = [piece for piece in found if max(piece.own.shape) >= side_px]
    expected = [
        piece for piece in pieces_of_scipy(mask, least_px) if max(piece.own.shape) >= side_px
    ]
    assert placed(large) == placed(expected)


@given(seeds, sides, sides, parts)
def test_pieces_near_ink_are_those_of_the_picture_that_hold_some(seed, height, width, part):
    mask = speckled(seed, height, width, part)
    ink = mask & speckled(seed + 1, height, width, 0.2)
    near = strokes.blocks_of(np.flatnonzero(ink), ink.shape)
    assert (near == strokes.in_blocks(ink)).all()
    found = strokes.find_inked(mask, ink, 0.25, 1, near)
    expected = [
        piece for piece in pieces_of_scipy(mask, 1) if ink[piece.box][piece.own].mean() >= 0.25
    ]
    assert placed(found) == placed(expected)


@given(seeds, sides, sides)
def test_the_pixels_two_away_from_a_piece_surround_it(seed, height, width):
    mask = speckled(seed, height, width, 0.3)
    for piece in pieces_of_scipy(mask, 1):
        own = np.zeros_like(mask)
        own[piece.box] = piece.own
        box, ring = strokes.surroundings(piece, mask.shape)
        around = ndimage.binary_dilation(own, np.ones((5, 5)))
        around &= ~ndimage.binary_dilation(own, np.ones((3, 3)))
        assert (ring == around[box]).all()
        assert np.count_nonzero(ring) == np.count_nonzero(around)


@given(seeds, st.sampled_from([np.uint8, np.uint16]), st.integers(1, 3), st.floats(1, 40))
def test_levels_are_inks_whether_or_not_dark_pixels_are_counted(seed, kind, step, mean):
    numbers = np.random.default_rng(seed)
    bright = step * numbers.exponential(mean, (60, 60)).clip(0, 80).astype(kind)
    bright.ravel()[:100] = step * numbers.integers(20, 80)
    top = int(bright.max())
    found = inks.find_inks(bright, top)
    with mock.patch.object(inks, "_COUNTED_SHARE", 0.0):
        expected = inks.find_inks(bright, top)
    assert [(ink.low, ink.high) for ink in found] == [(ink.low, ink.high) for ink in expected]
    for ink in found:
        is_ink = (bright >= ink.low) & (bright <= ink.high)
        np.testing.assert_array_equal(ink.pixels, np.flatnonzero(is_ink))


def runs_of(bright, top):
    """Row, first and last column of each run, pixel by pixel."""
    levels = np.minimum(bright, top)
    dark = int(runs._DARK_SHARE * top)
    for row, line in enumerate(levels.tolist()):
        begin = 0
        for place in range(1, len(line) + 1):
            if place == len(line) or line[place] != line[begin]:
                if place - begin >= runs._LEAST_RUN_PX and line[begin] > dark:
                    yield row, begin, place
                begin = place


@given(seeds, st.integers(32, 60), st.integers(32, 60), st.integers(2, 9))
def test_runs_are_found_in_every_row_whatever_the_bands(seed, height, width, at_once):
    numbers = np.random.default_rng(seed)
    bright = numbers.integers(0, 60, (height, width)).astype(np.uint8)
    for row, left, length in zip(*numbers.integers(0, 32, (3, 40)), strict=True):
        bright[row, left : left + length] = numbers.integers(0, 60)
    with mock.patch.object(runs, "_ROWS_AT_ONCE", at_once):
        for picture in (bright, bright.T):
            rows, left, right = runs._all_runs(picture, 50)
            assert list(zip(rows, left, right, strict=True)) == list(runs_of(picture, 50))


@given(seeds, st.integers(1, 40), sides, st.floats(0.01, 0.99), st.integers(1, 9))
def test_an_edge_is_soft_where_too_much_of_it_lies_inside(seed, height, width, part, at_once):
    above = ndimage.binary_dilation(speckled(seed, height, width, part))
    edge = above & speckled(seed + 1, height, width, 0.5)
    near = edge & ndimage.binary_dilation(~above, np.ones((3, 3)))
    with mock.patch.object(deep, "_ROWS_AT_ONCE", at_once):
        soft = deep._is_soft(above, edge)
    assert soft == (np.count_nonzero(near) < deep._EDGE_PART * np.count_nonzero(edge))
