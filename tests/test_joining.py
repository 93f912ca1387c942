"""Parts that look like one cell are joined again; touching cells are not."""

from dataclasses import replace

import msgspec
import numpy as np
import pytest
from conftest import make_card
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from device.counting.card import Joining
from device.counting.labelling.clumps import label_map
from device.counting.labelling.join import find_neighbours, join_parts

POSTPROCESSING = make_card().postprocessing
DIAMETER = 16.0
JOINING = Joining(intercept=-4.7, waist=4.3, probability=2.9, area=-1.4)
"""Much like that of the shipped model."""


def drawn(*ellipses, shape=(80, 120)):
    """A map of sure ellipses (y, x, semi-axes) on nothing."""
    rows, columns = np.indices(shape)
    inside = np.zeros(shape, dtype=bool)
    for y, x, down, right in ellipses:
        inside |= ((rows - y) / down) ** 2 + ((columns - x) / right) ** 2 <= 1
    return np.where(inside, 250, 0).astype(np.uint8)


def count(probability, joining):
    settings = msgspec.structs.replace(
        POSTPROCESSING, peak_distance_ratio=0.3, smoothing_ratio=0.06, joining=joining
    )
    return len(label_map(probability, 0.65, DIAMETER, 8.0, settings)[0])


def test_a_nucleus_with_a_slight_waist_is_one_and_two_that_touch_are_two():
    waisted = drawn((40, 36, 6, 7), (40, 46, 6, 7))
    touching = drawn((40, 32, 8, 8), (40, 47, 8, 8))
    assert (count(waisted, None), count(waisted, JOINING)) == (2, 1)
    assert (count(touching, None), count(touching, JOINING)) == (2, 2)


def test_what_the_network_doubts_between_two_parts_keeps_them_apart():
    waisted = drawn((40, 36, 6, 7), (40, 46, 6, 7))
    unclear = waisted.copy()
    unclear[:, 40:43] = np.minimum(unclear[:, 40:43], 170)
    strict = msgspec.structs.replace(JOINING, intercept=-8.0, probability=6.2)
    assert count(waisted, strict) == 1
    assert count(unclear, strict) == 2


def test_a_row_of_cells_is_not_joined_to_one():
    row = drawn(*((40, 20 + 13 * number, 8, 7) for number in range(6)))
    eager = msgspec.structs.replace(JOINING, intercept=-3.4)
    assert count(row, None) == 6
    assert 2 <= count(row, eager) < 6


@given(seed=st.integers(0, 10**6))
def test_joining_only_merges_neighbours(seed):
    rng = np.random.default_rng(seed)
    mask = ndimage.gaussian_filter(rng.normal(size=(50, 60)), 2) > 0
    seeds = np.zeros(mask.shape, dtype=int)
    places = np.flatnonzero(mask)
    seeds.ravel()[rng.choice(places, min(12, len(places)), replace=False)] = np.arange(1, 13)[
        : len(places)
    ]
    nearest = ndimage.distance_transform_edt(
        seeds == 0, return_distances=False, return_indices=True
    )
    parts = np.where(mask, seeds[tuple(nearest)], 0)
    distance = ndimage.distance_transform_edt(mask)
    codes = np.where(mask, 230, 0).astype(np.uint8)
    joined = join_parts(parts, distance, codes, DIAMETER, JOINING)
    np.testing.assert_array_equal(joined > 0, mask)
    touching = {tuple(pair) for pair in find_neighbours(parts, distance, codes).pairs.tolist()}
    for number in np.unique(joined[mask]):
        members = set(np.unique(parts[joined == number]).tolist())
        reached, border = {number}, [number]
        while border:
            here = border.pop()
            near = {sum(pair) - here for pair in touching if here in pair} & members - reached
            reached |= near
            border += near
        assert reached == members


def test_the_fit_finds_what_parts_touching_cells_from_one():
    trainer = pytest.importorskip("trainer.confidence.joining", reason="needs the trainer")
    rng = np.random.default_rng(1)
    features = np.column_stack(
        (rng.uniform(0, 1, 400), rng.uniform(0.6, 1, 400), rng.normal(0, 0.6, 400))
    )
    odds = -2 + 4 * features[:, 0] + 1 * features[:, 1] - 2 * features[:, 2]
    pairs = trainer.Pairs(features, rng.random(400) < 1 / (1 + np.exp(-odds)), "one", 0)
    none = replace(pairs, features=features[:0], is_one=pairs.is_one[:0], source="none")
    fitted = trainer.fit_joining([pairs, none])
    assert fitted.waist == pytest.approx(4, abs=1.2)
    assert fitted.area == pytest.approx(-2, abs=0.7)
    assert trainer.fit_joining([none]) is None
