"""The cells' pixels in the original image, from labels at the working scale."""

import numpy as np
from scipy import ndimage

from device.counting.labels import renumber
from device.counting.records import LabelImage, ProbabilityMap
from device.counting.scale import labels_at_frame_scale, probability_at_frame_scale


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
        (height, width) int32, 1..m; m < n only where a cell is smaller than an original pixel.
    """
    if labels.shape == at_frame.shape:
        return labels
    filled_holes = (labels > 0) & (probability <= code)
    if filled_holes.any():
        solid = np.where(filled_holes, np.uint8(255), probability)
        at_frame = probability_at_frame_scale(solid, *at_frame.shape)
    enlarged = labels_at_frame_scale(_grow_by_one(labels), *at_frame.shape)
    enlarged[at_frame <= code] = 0
    count = int(labels.max(initial=0))
    present = np.bincount(enlarged.ravel(), minlength=count + 1)[1:] > 0
    return enlarged if present.all() else renumber(enlarged, present)


def _grow_by_one(labels: LabelImage) -> LabelImage:
    """Spread every label into the background next to it; where two meet, the higher number wins."""
    return np.where(labels > 0, labels, ndimage.maximum_filter(labels, size=3))


def without_border(labels: LabelImage) -> LabelImage:
    """Drop the cells that have a pixel on the image's edge and number the others anew."""
    keep = np.ones(int(labels.max(initial=0)) + 1, dtype=bool)
    for edge in (labels[0], labels[-1], labels[:, 0], labels[:, -1]):
        keep[edge] = False
    return renumber(labels, keep[1:])
