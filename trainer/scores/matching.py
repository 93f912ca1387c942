"""Detections against targets: the paper's protocol (section 4.4) on label images only."""

import msgspec
import numpy as np
import numpy.typing as npt
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist

RADIUS_PX = 50.0
"""A detection belongs to a target closer than this at 1600 px frame width."""

Points = npt.NDArray[np.float64]


class Matches(msgspec.Struct, frozen=True):
    """Outcome on one frame.

    Attributes:
        pairs: (detection index, target index), one to one.
        missed: indices of targets nobody found.
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


def merge_within_targets(detections: Points, target_labels: npt.NDArray[np.int32]) -> Points:
    """Detections whose centroids lie in the same target object become one, at their mean.

    Ground truth of reduced frames merges touching cells; a splitter that is right there
    would look wrong.
    """
    if len(detections) == 0:
        return detections
    rows, columns = np.rint(detections).astype(int).T
    owner = target_labels[
        rows.clip(0, target_labels.shape[0] - 1), columns.clip(0, target_labels.shape[1] - 1)
    ]
    merged = [detections[owner == 0]]
    merged += [
        detections[owner == value].mean(axis=0, keepdims=True)
        for value in np.unique(owner[owner > 0])
    ]
    return np.concatenate(merged)


def overlapping_pairs(detections: npt.NDArray[np.int32], targets: npt.NDArray[np.int32]) -> int:
    """Pairs whose intersection is more than half of their union; none can have two partners.

    Args:
        detections, targets: (h, w) label images, 0 background, 1..n.
    """
    columns = int(targets.max(initial=0)) + 1
    shared = np.bincount(
        detections.ravel().astype(np.int64) * columns + targets.ravel(),
        minlength=columns * (int(detections.max(initial=0)) + 1),
    ).reshape(-1, columns)
    union = shared.sum(axis=1, keepdims=True) + shared.sum(axis=0) - shared
    return int((2 * shared > union)[1:, 1:].sum())
