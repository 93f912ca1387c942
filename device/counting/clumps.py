"""Separating the cells of a clump: watershed on the smoothed distance to the border (paper, section 4.3)."""

import numpy as np
from scipy import ndimage

from device.counting.atlas import Atlas
from device.counting.records import LabelImage

GAUSSIAN_REACH = 3.0
"""Where the smoothing kernel ends, in sigma."""


def split_clumps(atlas: Atlas, seed_distance_px: int, smoothing_px: float) -> dict[int, LabelImage]:
    """Split the objects that hold several distance peaks.

    Most objects hold one: they are whole as they are, and only the others are flooded.

    Args:
        atlas: one object per place, at least the seed distance and the reach of the smoothing apart.
        seed_distance_px: least distance between two seeds.
        smoothing_px: sigma of the Gaussian on the distance map, 0 for none.

    Returns:
        Parts 1.. (h, w) int32 of those objects, by their index in the atlas; every pixel has one.
    """
    distance = ndimage.distance_transform_edt(atlas.mask)
    if smoothing_px > 0:
        distance = ndimage.gaussian_filter(distance, smoothing_px, truncate=GAUSSIAN_REACH)
        distance[~atlas.mask] = 0
    seeds = find_peaks(distance, seed_distance_px)
    several = _holding_several(atlas, seeds)
    if not several:
        return {}
    clumps = np.zeros_like(atlas.mask)
    for index in several:
        clumps[atlas.places[index]] = atlas.mask[atlas.places[index]]
    parts = _flood(distance, seeds, clumps)
    return {index: parts[atlas.places[index]] for index in several}


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
    owners = np.zeros(atlas.mask.shape, dtype=np.int32)
    for index, place in enumerate(atlas.places, start=1):
        owners[place] = index
    held = np.bincount(owners[tuple(seeds.T)], minlength=len(atlas.places) + 1)
    return [int(index) for index in np.flatnonzero(held[1:] > 1)]


def _flood(distance: np.ndarray, seeds: np.ndarray, mask: np.ndarray) -> LabelImage:
    """Watershed inside the mask, parts 1..n.

    A pixel that hangs on by its corner only is not reached along the sides and joins afterwards.
    """
    from skimage.segmentation import watershed

    seeds = seeds[mask[tuple(seeds.T)]]
    markers = np.zeros(mask.shape, dtype=np.int32)
    markers[tuple(seeds.T)] = np.arange(1, len(seeds) + 1)
    parts = watershed(-distance, markers, mask=mask)
    if np.count_nonzero(parts) < np.count_nonzero(mask):
        parts = watershed(-distance, parts, mask=mask, connectivity=2)
    return np.asarray(parts, dtype=np.int32)
