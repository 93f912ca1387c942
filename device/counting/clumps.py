"""Separating the cells of a clump: watershed on the smoothed distance to the border (paper, section 4.3)."""

import math
from collections.abc import Sequence

import numpy as np
from scipy import ndimage

from device.counting.atlas import Atlas, Box, pack
from device.counting.records import LabelImage

GAUSSIAN_REACH = 3.0
"""Where the smoothing kernel ends, in sigma."""


def split_clumps(
    masks: Sequence[np.ndarray], seed_distance_px: int, smoothing_px: float
) -> dict[int, LabelImage]:
    """Split the objects that hold several distance peaks.

    Most objects hold one: they are whole as they are, and only the others are flooded.

    Args:
        masks: one object each, (h, w) bool.
        seed_distance_px: least distance between two seeds.
        smoothing_px: sigma of the Gaussian on the distance map, 0 for none.

    Returns:
        Parts 1.. (h, w) int32 of those objects, by their index in `masks`; every pixel has one.
    """
    smooth = _smooth_distances(masks, smoothing_px)
    # Peaks of different objects must not see each other.
    apart = pack(smooth, seed_distance_px + 1)
    seeds = find_peaks(apart.sheet, seed_distance_px)
    several = _holding_several(apart, seeds)
    if not several:
        return {}
    tight = pack([smooth[index] for index in several], gap=1)
    objects = pack([masks[index] for index in several], gap=1)
    seeds = _moved(seeds, [apart.places[index] for index in several], tight)
    parts = _flood(tight.sheet, seeds, objects)
    return {index: parts[place] for index, place in zip(several, objects.places, strict=True)}


def _smooth_distances(masks: Sequence[np.ndarray], smoothing_px: float) -> list[np.ndarray]:
    """Distance of each pixel to the border of its object, smoothed, 0 outside: (h, w) float64 each."""
    reach = math.ceil(GAUSSIAN_REACH * smoothing_px)
    # The distance transform costs by far the most: it gets a sheet with nothing to spare.
    atlas = pack(masks, gap=1)
    distance = ndimage.distance_transform_edt(atlas.sheet)
    if smoothing_px <= 0:
        return [distance[place] for place in atlas.places]
    apart = pack([distance[place] for place in atlas.places], gap=reach + 1)
    smooth = ndimage.gaussian_filter(apart.sheet, smoothing_px, truncate=GAUSSIAN_REACH)
    return [
        np.where(mask, smooth[place], 0.0) for mask, place in zip(masks, apart.places, strict=True)
    ]


def find_peaks(values: np.ndarray, distance_px: int) -> np.ndarray:
    """Local maxima above 0: (n, 2) rows and columns, the highest first.

    Within `distance_px`, along either axis, of a maximum nothing is higher; of equal ones that are closer than
    that the first stays. What skimage.feature.peak_local_max finds, without measuring every pair.
    """
    highest = ndimage.maximum_filter(values, size=2 * distance_px + 1, mode="nearest")
    rows, columns = np.nonzero((values == highest) & (values > 0))
    order = np.argsort(-values[rows, columns], kind="stable")
    peaks = np.column_stack((rows, columns))[order]
    if len(peaks) < 2:
        return peaks
    from scipy.spatial import cKDTree

    keep = np.ones(len(peaks), dtype=bool)
    # Whole pixels: below the distance means at most one less.
    close = cKDTree(peaks).query_pairs(distance_px - 0.5, p=np.inf, output_type="ndarray")
    for first, second in close[np.lexsort((close[:, 1], close[:, 0]))].tolist():
        if keep[first]:
            keep[second] = False
    return peaks[keep]


def _holding_several(atlas: Atlas, seeds: np.ndarray) -> list[int]:
    """Indices of the objects with two seeds or more."""
    owners = np.zeros(atlas.sheet.shape, dtype=np.int32)
    for index, place in enumerate(atlas.places, start=1):
        owners[place] = index
    held = np.bincount(owners[tuple(seeds.T)], minlength=len(atlas.places) + 1)
    return [int(index) for index in np.flatnonzero(held[1:] > 1)]


def _moved(seeds: np.ndarray, places: Sequence[Box], atlas: Atlas) -> np.ndarray:
    """Seeds (n, 2) that lie in one of `places`, the highest first, at the places of another sheet."""
    moved = []
    for (down, right), (to_down, to_right) in zip(places, atlas.places, strict=True):
        rows, columns = seeds.T
        own = (rows >= down.start) & (rows < down.stop)
        own &= (columns >= right.start) & (columns < right.stop)
        moved.append(seeds[own] + (to_down.start - down.start, to_right.start - right.start))
    return np.concatenate(moved)


def _flood(distance: np.ndarray, seeds: np.ndarray, objects: Atlas) -> LabelImage:
    """Watershed inside the objects, parts 1..n.

    A pixel that hangs on by its corner only is not reached along the sides and joins afterwards.
    """
    from skimage.segmentation import watershed

    parts = np.zeros(objects.sheet.shape, dtype=np.int32)
    parts[tuple(seeds.T)] = np.arange(1, len(seeds) + 1)
    parts = watershed(-distance, parts, mask=objects.sheet)
    for place in objects.places:
        reached, own = parts[place], objects.sheet[place]
        if np.count_nonzero(reached) < np.count_nonzero(own):
            parts[place] = watershed(-distance[place], reached, mask=own, connectivity=2)
    return np.asarray(parts, dtype=np.int32)
