"""The cells' pixels in the original image, from labels at the working scale."""

import numpy as np
from scipy import ndimage

from device.counting.labelling.atlas import Box
from device.counting.labelling.pixels import coordinates
from device.counting.records import LabelImage, ProbabilityMap
from device.counting.scale import nearest_indices, probability_at_frame_scale


def outline_in_frame(
    labels: LabelImage, probability: ProbabilityMap, at_frame: ProbabilityMap, code: int
) -> LabelImage:
    """Give every cell its outline in original pixels.

    The border follows the enlarged probability map, so that it is smooth; which cell a pixel belongs to follows
    the nearest label, so that separated cells stay separate.

    Args:
        labels: (h, w) int32 at the working scale, 1..n.
        probability: (h, w) uint8 codes the labels were made from.
        at_frame: (height, width) the same map at the original pixels.
        code: the largest background code.

    Returns:
        (height, width) int32, labels of 1..n; one is missing only where a cell is smaller than an original pixel.
    """
    if labels.shape == at_frame.shape:
        return labels
    filled_holes = (labels > 0) & (probability <= code)
    if filled_holes.any():
        solid = np.where(filled_holes, np.uint8(255), probability)
        at_frame = probability_at_frame_scale(solid, *at_frame.shape)
    height, width = at_frame.shape
    inside = np.flatnonzero(at_frame > code)
    rows, columns = coordinates(inside, width)
    rows = nearest_indices(height, labels.shape[0])[rows]
    columns = nearest_indices(width, labels.shape[1])[columns]
    enlarged = np.zeros(at_frame.shape, dtype=np.int32)
    enlarged.ravel()[inside] = _grow_by_one(labels).ravel()[rows * labels.shape[1] + columns]
    return enlarged


def _grow_by_one(labels: LabelImage) -> LabelImage:
    """Spread every label into the background next to it; where two meet, the higher number wins."""
    return np.where(labels > 0, labels, ndimage.maximum_filter(labels, size=3))


def touches_border(labels: LabelImage) -> np.ndarray:
    """(n + 1,) bool for 0..n: whether a label has a pixel on the image's edge."""
    touching = np.zeros(int(labels.max(initial=0)) + 1, dtype=bool)
    for edge in (labels[0], labels[-1], labels[:, 0], labels[:, -1]):
        touching[edge] = True
    return touching


def pixels_in_frame(
    labels: LabelImage,
    numbers: np.ndarray,
    at_frame: ProbabilityMap,
    code: int,
    taken: LabelImage,
) -> list[np.ndarray]:
    """The pixels in the original image of a few objects, box by box: the cost grows with the objects.

    Args:
        labels: (h, w) int32 at the working scale, 1..n all present.
        numbers: (m,) which of them, ascending.
        at_frame: (height, width) uint8 codes at the original pixels.
        code: the largest background code.
        taken: (height, width) int32; pixels above 0 belong to others.

    Returns:
        m arrays of flat indices into the original image; empty where nothing is left.
    """
    height, width = at_frame.shape
    rows, columns = (
        nearest_indices(height, labels.shape[0]),
        nearest_indices(width, labels.shape[1]),
    )
    pixels = []
    for number, (down, right) in zip(numbers.tolist(), _boxes(labels, numbers), strict=True):
        top, bottom = np.searchsorted(rows, (down.start, down.stop))
        left, end = np.searchsorted(columns, (right.start, right.stop))
        box = np.s_[top:bottom, left:end]
        own = labels[rows[box[0]]][:, columns[box[1]]] == number
        own &= (at_frame[box] > code) & (taken[box] == 0)
        y, x = np.nonzero(own)
        pixels.append((y + top) * width + x + left)
    return pixels


def _boxes(labels: LabelImage, numbers: np.ndarray) -> list[Box]:
    """Boxes of some labels, ascending and all present, without a look at the lower ones."""
    inside = np.flatnonzero(labels >= numbers[0])
    owners = labels.ravel()[inside]
    order = np.argsort(owners, kind="stable")
    rows, columns = coordinates(inside[order], labels.shape[1])
    present, starts = np.unique(owners[order], return_index=True)
    wanted = np.searchsorted(present, numbers)
    edges = (
        rows[starts],
        np.maximum.reduceat(rows, starts) + 1,
        np.minimum.reduceat(columns, starts),
        np.maximum.reduceat(columns, starts) + 1,
    )
    return [
        (slice(top, bottom), slice(left, right))
        for top, bottom, left, right in zip(*(edge[wanted].tolist() for edge in edges), strict=True)
    ]
