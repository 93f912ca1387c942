"""Detections against targets: the paper's protocol (section 4.4) on label images only."""

import numpy as np
import numpy.typing as npt

from device.assays.matching import Points


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
