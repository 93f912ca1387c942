"""Joining what the watershed parted too often: two neighbours that together look like one cell are one.

The watershed sees only the outline. How deep the waist between two parts is, how sure the network is of the pixels
between them, and how large both are together tell an oval or bent nucleus from two that touch.
"""

from dataclasses import dataclass

import numpy as np
import scipy

from device.counting.card import Joining
from device.counting.records import PROBABILITY_STEPS, disc_area

_STEPS = ((0, 1), (1, 0), (1, 1), (1, -1))
"""To the four neighbours of a pixel that come after it; the other four are these, seen from there."""


@dataclass(frozen=True, slots=True, eq=False)
class Neighbours:
    """k pairs of parts that touch.

    Attributes:
        pairs: (k, 2) numbers of the parts, the smaller first.
        saddle: (k,) greatest distance to the clump's border on the line between them, pixels.
        probability: (k,) mean of the map along that line, 0 to 1.
    """

    pairs: np.ndarray
    saddle: np.ndarray
    probability: np.ndarray


def find_neighbours(parts: np.ndarray, distance: np.ndarray, codes: np.ndarray) -> Neighbours:
    """Which parts touch by sides or corners, and what lies between them.

    Args:
        parts: (h, w) integers, 0 background, 1..n.
        distance: (h, w) to the border of the clump.
        codes: (h, w) uint8 of the probability map.
    """
    size = int(parts.max(initial=0)) + 1
    keys: list[np.ndarray] = []
    depths: list[np.ndarray] = []
    levels: list[np.ndarray] = []
    for down, right in _STEPS:
        here, there = _shift(parts, down, right)
        is_between = (here != there) & (here > 0) & (there > 0)
        one, other = here[is_between].astype(np.int64), there[is_between].astype(np.int64)
        keys.append(np.minimum(one, other) * size + np.maximum(one, other))
        for values, found in ((distance, depths), (codes, levels)):
            first, second = _shift(values, down, right)
            found.append(np.minimum(first[is_between], second[is_between]))
    pairs, which, number = np.unique(np.concatenate(keys), return_inverse=True, return_counts=True)
    saddle = np.zeros(len(pairs))
    np.maximum.at(saddle, which, np.concatenate(depths))
    sums = np.bincount(which, np.concatenate(levels), len(pairs))
    return Neighbours(
        np.column_stack(np.divmod(pairs, size)), saddle, sums / number / PROBABILITY_STEPS
    )


def _shift(values: np.ndarray, down: int, right: int) -> tuple[np.ndarray, np.ndarray]:
    """Each pixel and its neighbour in a direction, where both exist."""
    height, width = values.shape
    left = max(0, -right)
    here = values[: height - down, left : width - max(0, right)]
    return here, values[down:, left + right : width - max(0, -right)]


def measure_parts(parts: np.ndarray, distance: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of each part, (n + 1,) each: the greatest distance to the border within it, and its pixels.

    Args:
        parts, distance: as `find_neighbours`.
    """
    numbers = np.arange(int(parts.max(initial=0)) + 1)
    peaks = np.asarray(scipy.ndimage.maximum(distance, parts, numbers))
    return peaks, np.bincount(parts.ravel(), minlength=len(numbers))


def measure_pairs(
    neighbours: Neighbours, peaks: np.ndarray, areas: np.ndarray, cell_diameter_px: float
) -> np.ndarray:
    """What the decision looks at, (k, 3): the saddle relative to the lower of the two peaks, the probability between
    them, and the log of their area together in cells.

    Args:
        neighbours: k pairs.
        peaks, areas: of `measure_parts`.
        cell_diameter_px: typical diameter.
    """
    one, other = neighbours.pairs.T
    waist = neighbours.saddle / np.minimum(peaks[one], peaks[other]).clip(1e-6)
    together = (areas[one] + areas[other]) / disc_area(cell_diameter_px)
    return np.column_stack((waist, neighbours.probability, np.log(together)))


def score_pairs(features: np.ndarray, joining: Joining) -> np.ndarray:
    """(k,) of (k, 3) features: above 0 both parts are one cell."""
    weights = (joining.waist, joining.probability, joining.area)
    return np.asarray(joining.intercept + features @ np.array(weights))


def join_parts(
    parts: np.ndarray,
    distance: np.ndarray,
    codes: np.ndarray,
    cell_diameter_px: float,
    joining: Joining,
) -> np.ndarray:
    """The same parts, those that are one cell under one number.

    The likeliest pair is joined first and then judged as one with its other neighbours, so that a row of cells is not
    joined to one.

    Args:
        parts: (h, w) integers, 0 background, 1..n.
        distance: (h, w) to the border of the clump.
        codes: (h, w) uint8 of the probability map.
        cell_diameter_px: typical diameter.
        joining: the card's weights.
    """
    neighbours = find_neighbours(parts, distance, codes)
    if len(neighbours.pairs) == 0:
        return parts
    peaks, areas = measure_parts(parts, distance)
    features = measure_pairs(neighbours, peaks, areas, cell_diameter_px)
    odds = score_pairs(features, joining)
    owner, whole = np.arange(len(areas)), areas / disc_area(cell_diameter_px)
    for index in np.argsort(-odds, kind="stable").tolist():
        if odds[index] <= 0:
            break
        one, other = sorted(owner[neighbours.pairs[index]].tolist())
        grown = float(np.log(whole[one] + whole[other])) - features[index, 2]
        if one != other and odds[index] + joining.area * grown > 0:
            owner[owner == other] = one
            whole[one] += whole[other]
    return np.asarray(owner[parts])
