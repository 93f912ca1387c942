"""Detections against targets, one to one."""

import msgspec
import numpy as np
import numpy.typing as npt
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist

Points = npt.NDArray[np.float64]


class Matches(msgspec.Struct, frozen=True):
    """Outcome on one frame.

    Attributes:
        pairs: (detection index, target index), one to one.
        missed: indices of targets without a detection.
        wrong: indices of detections that belong to no target.
    """

    pairs: tuple[tuple[int, int], ...]
    missed: tuple[int, ...]
    wrong: tuple[int, ...]


def centroids(labels: npt.NDArray[np.int32]) -> Points:
    """(n, 2) centroids (y, x) of the labels 1..n; every label must be present."""
    count = int(labels.max(initial=0))
    if count == 0:
        return np.zeros((0, 2))
    rows, columns = np.nonzero(labels)
    owners = labels[rows, columns]
    areas = np.bincount(owners, minlength=count + 1)[1:]
    sums = [np.bincount(owners, place, count + 1)[1:] for place in (rows, columns)]
    return np.stack(sums, axis=1) / areas[:, None]


def match(detections: Points, targets: Points, radius_px: float) -> Matches:
    """Pair detections and targets one to one at least total distance, all pairs under `radius_px`.

    As many pairs as possible first, the least total distance among those.
    """
    distance = cdist(detections.reshape(-1, 2), targets.reshape(-1, 2))
    allowed = distance < radius_px
    forbidden_cost = radius_px * (min(distance.shape) + 1)
    rows, columns = linear_sum_assignment(np.where(allowed, distance, forbidden_cost))
    pairs = tuple(
        (int(row), int(column))
        for row, column in zip(rows, columns, strict=True)
        if allowed[row, column]
    )
    found = {column for _, column in pairs}
    used = {row for row, _ in pairs}
    return Matches(
        pairs,
        tuple(index for index in range(len(targets)) if index not in found),
        tuple(index for index in range(len(detections)) if index not in used),
    )
