"""From a probability map to separate cells (paper, section 4.3).

Threshold, fill holes, remove small objects, then a watershed on the distance to the border separates clumps. Every
length is relative to the cell diameter. Frame-wide steps are single passes over the map; only objects large enough to
hold two cells are looked at one by one.
"""

import math

import numpy as np
from scipy import ndimage

from device.counting.atlas import box_shape, pack
from device.counting.card import Postprocessing
from device.counting.records import PROBABILITY_STEPS, LabelImage, ProbabilityMap, disc_area

GAUSSIAN_REACH = 3.0
"""Where the smoothing kernel ends, in sigma."""

_EIGHT_CONNECTED = np.ones((3, 3), dtype=bool)


def threshold_code(threshold: float) -> int:
    """The largest code that is still background: a pixel is foreground where its code is above this."""
    return int(threshold * PROBABILITY_STEPS)


def label_cells(
    probability: ProbabilityMap,
    threshold: float,
    cell_diameter_px: float,
    min_area_px: float,
    settings: Postprocessing,
) -> LabelImage:
    """Separate cells in a probability map.

    Args:
        probability: (h, w) uint8 codes.
        threshold: cut-off, 0 to 1, exclusive.
        cell_diameter_px: typical diameter at the map's scale.
        min_area_px: objects smaller than this many pixels of the map are dropped.
        settings: the card's post-processing.

    Returns:
        (h, w) int32; 0 background, 1..n cells in reading order of their first pixels.
    """
    mask = probability > threshold_code(threshold)
    _fill_holes(mask, settings.max_hole_ratio * disc_area(cell_diameter_px))
    labels, count = ndimage.label(mask, structure=_EIGHT_CONNECTED, output=np.int32)
    if count == 0:
        return np.zeros(probability.shape, dtype=np.int32)
    keep = np.bincount(labels.ravel(), minlength=count + 1)[1:] >= min_area_px
    if settings.min_peak > threshold:
        sure = probability >= settings.min_peak * PROBABILITY_STEPS
        keep &= np.bincount(labels[sure], minlength=count + 1)[1:] > 0
    labels = renumber(labels, keep)
    return _split_clumps(labels, cell_diameter_px, min_area_px, settings)


def _fill_holes(mask: np.ndarray, max_hole_px: float) -> None:
    """Fill background regions that touch neither the edge nor exceed the size, in place."""
    background, count = ndimage.label(~mask)
    if count <= 1:
        return
    fill = np.bincount(background.ravel(), minlength=count + 1) <= max_hole_px
    edges = (background[0], background[-1], background[:, 0], background[:, -1])
    fill[np.concatenate(edges)] = False
    fill[0] = False
    mask |= fill[background]


def renumber(labels: LabelImage, keep: np.ndarray) -> LabelImage:
    """Drop the objects whose entry in keep (n,) is False and number the others 1..m."""
    table = np.zeros(len(keep) + 1, dtype=np.int32)
    table[1:][keep] = np.arange(1, int(keep.sum()) + 1)
    renumbered: LabelImage = table[labels]
    return renumbered


def _split_clumps(
    labels: LabelImage, cell_diameter_px: float, min_area_px: float, settings: Postprocessing
) -> LabelImage:
    """Give each part of an object that holds several distance peaks a number of its own."""
    seed_distance = max(1, round(settings.peak_distance_ratio * cell_diameter_px))
    smoothing_px = settings.smoothing_ratio * cell_diameter_px
    boxes = ndimage.find_objects(labels)
    areas = np.bincount(labels.ravel(), minlength=len(boxes) + 1)
    large = [
        (number, box)
        for number, box in enumerate(boxes, start=1)
        if areas[number] >= 2 * min_area_px and max(box_shape(box)) > seed_distance
    ]
    if not large:
        return labels
    gap = max(seed_distance, math.ceil(GAUSSIAN_REACH * smoothing_px)) + 1
    atlas = pack([labels[box] == number for number, box in large], gap)
    parts = _watershed(atlas.mask, seed_distance, smoothing_px)
    for (number, box), place in zip(large, atlas.places, strict=True):
        view = labels[box]
        own = view == number
        view[own] = parts[place][own] + len(boxes)
    return _in_reading_order(labels)


def _watershed(mask: np.ndarray, seed_distance_px: int, smoothing_px: float) -> LabelImage:
    """Watershed on the smoothed distance to the border: (h, w) int32, parts 1..k inside the mask."""
    from skimage.feature import peak_local_max
    from skimage.segmentation import watershed

    distance = ndimage.distance_transform_edt(mask)
    if smoothing_px > 0:
        distance = ndimage.gaussian_filter(distance, smoothing_px, truncate=GAUSSIAN_REACH)
    distance[~mask] = 0
    seeds = peak_local_max(
        distance, min_distance=seed_distance_px, threshold_abs=0, exclude_border=False
    )
    markers = np.zeros(mask.shape, dtype=np.int32)
    markers[tuple(seeds.T)] = np.arange(1, len(seeds) + 1)
    return np.asarray(watershed(-distance, markers, mask=mask), dtype=np.int32)


def _in_reading_order(labels: LabelImage) -> LabelImage:
    """Number objects 1..n by the position of their first pixel."""
    numbers, first = np.unique(labels, return_index=True)
    table = np.zeros(int(numbers[-1]) + 1, dtype=np.int32)
    objects = numbers > 0
    table[numbers[objects][np.argsort(first[objects])]] = np.arange(1, int(objects.sum()) + 1)
    ordered: LabelImage = table[labels]
    return ordered
