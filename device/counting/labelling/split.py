"""Parting the cells of a clump: watershed on the smoothed distance to the border (paper, section 4.3)."""

import math
from dataclasses import dataclass

import edt
import numpy as np
import scipy
import skimage

from device.counting.card import Joining
from device.counting.labelling.join import join_parts
from device.counting.labelling.regions import Regions, group_pixels
from device.counting.labelling.sheet import lay_out
from device.counting.records import ProbabilityMap

GAUSSIAN_REACH = 3.0
"""Where the smoothing kernel ends, in sigma: what is beyond weighs a hundredth and would widen every gap."""
_TIE_STEP_PX = 1e-9
"""Sets equal seeds apart; far below any difference of two distances."""


@dataclass(frozen=True, slots=True)
class Splitting:
    """How clumps are parted, in pixels of the map.

    Attributes:
        least_area_px: smaller objects stay whole.
        seed_distance_px: least distance between two peaks.
        smoothing_px: sigma of the Gaussian on the distance map, 0 for none.
        cell_diameter_px: typical diameter.
        joining: which parts are joined again; None: none.
    """

    least_area_px: float
    seed_distance_px: int
    smoothing_px: float
    cell_diameter_px: float = 0.0
    joining: Joining | None = None


def split_clumps(
    clumps: Regions, probability: ProbabilityMap, splitting: Splitting
) -> tuple[Regions, np.ndarray]:
    """Part the objects that hold several distance peaks.

    Args:
        clumps: objects that do not touch each other.
        probability: (h, w) uint8 codes of the map that they are objects of.
        splitting: how.

    Returns:
        The parts in any order, and (n,) the index of the clump that each is a part of.
    """
    heights, widths = clumps.sizes()
    is_large = clumps.areas >= splitting.least_area_px
    is_large &= np.maximum(heights, widths) > splitting.seed_distance_px
    large = np.flatnonzero(is_large)
    clump_of_pixel = clumps.numbers
    number_of_pixel = clump_of_pixel.copy()
    if len(large) > 0:
        several, parts = _part(clumps.select(large), probability, splitting)
        is_parted = np.zeros(len(clumps), dtype=bool)
        is_parted[large[several]] = True
        number_of_pixel[is_parted[clump_of_pixel]] = len(clumps) + parts
    objects, present = group_pixels(clumps.pixels, number_of_pixel, clumps.shape)
    clump_of = np.zeros(int(number_of_pixel.max(initial=0)) + 1, dtype=np.intp)
    clump_of[number_of_pixel] = clump_of_pixel
    return objects, clump_of[present]


def _part(
    objects: Regions, probability: ProbabilityMap, splitting: Splitting
) -> tuple[np.ndarray, np.ndarray]:
    """Find the objects that hold several peaks, flood them from these, and join what is one cell.

    Returns:
        (k,) indices of these objects, ascending, and for each of their pixels the number of its part, 1 or more.
    """
    seed_distance_px, smoothing_px = splitting.seed_distance_px, splitting.smoothing_px
    reach = math.ceil(GAUSSIAN_REACH * max(0.0, smoothing_px))
    labels, pixels = _spread(objects, gap=max(reach, seed_distance_px) + 1)
    distance = smooth_distances(labels, smoothing_px)
    seeds = skimage.feature.peak_local_max(
        distance, min_distance=seed_distance_px, threshold_abs=0, exclude_border=False
    )
    owners = labels[tuple(seeds.T)].astype(np.intp) - 1
    has_several = np.bincount(owners, minlength=len(objects)) > 1
    seeds = seeds[has_several[owners]]
    markers = np.zeros(labels.shape, dtype=np.int32)
    markers[tuple(seeds.T)] = np.arange(1, len(seeds) + 1)
    # Of equally high seeds the first is flooded first, whatever else is flooded.
    distance[tuple(seeds.T)] += _TIE_STEP_PX * np.arange(len(seeds), 0, -1)
    wanted = has_several[objects.numbers]
    tight, places = _spread(objects.select(has_several), gap=1)
    moved_distance = np.zeros(tight.shape)
    moved_distance.ravel()[places] = distance.ravel()[pixels[wanted]]
    moved_markers = np.zeros(tight.shape, dtype=np.int32)
    moved_markers.ravel()[places] = markers.ravel()[pixels[wanted]]
    parts = _flood(moved_distance, moved_markers, tight > 0)
    if splitting.joining is not None:
        codes = np.zeros(tight.shape, dtype=np.uint8)
        codes.ravel()[places] = probability.ravel()[objects.pixels[wanted]]
        parts = join_parts(
            parts, moved_distance, codes, splitting.cell_diameter_px, splitting.joining
        )
    return np.flatnonzero(has_several), parts.ravel()[places]


def _spread(objects: Regions, gap: int) -> tuple[np.ndarray, np.ndarray]:
    """Lay objects out on a sheet of their own.

    Returns:
        (h, w) uint32 sheet, 1..n the objects, at least `gap` zeros around each; and where each of their pixels is.
    """
    heights, widths = objects.sizes()
    sheet = lay_out(heights, widths, gap)
    boxes = objects.boxes()
    rows, columns = objects.places
    corners = (sheet.tops - boxes[:, 0]) * sheet.shape[1] + sheet.lefts - boxes[:, 1]
    places = rows * sheet.shape[1] + columns + np.repeat(corners, objects.areas)
    labels = np.zeros(sheet.shape, dtype=np.uint32)
    labels.ravel()[places] = objects.numbers + 1
    return labels, places


def smooth_distances(labels: np.ndarray, smoothing_px: float) -> np.ndarray:
    """Distance of each pixel to the border of its object, smoothed, 0 outside: (h, w) float64."""
    distance: np.ndarray = np.sqrt(edt.edtsq(labels), dtype=np.float64)
    if smoothing_px <= 0:
        return distance
    smooth: np.ndarray = scipy.ndimage.gaussian_filter(
        distance, smoothing_px, truncate=GAUSSIAN_REACH
    )
    smooth *= labels > 0
    return smooth


def _flood(distance: np.ndarray, markers: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Watershed from markers 1..n inside a mask: (h, w) integers."""
    parts: np.ndarray = skimage.segmentation.watershed(-distance, markers, mask=mask)
    if np.count_nonzero(parts) < np.count_nonzero(mask):
        # A pixel that hangs on by its corner is not reached along the sides.
        distance = _without_ties(distance, parts, mask)
        parts = skimage.segmentation.watershed(-distance, parts, mask=mask, connectivity=2)
    return parts


def _without_ties(distance: np.ndarray, parts: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Of equally high pixels beside those that no part has, the first is flooded first, whatever else is flooded."""
    left = scipy.ndimage.binary_dilation(mask & (parts == 0), np.ones((3, 3)))
    beside = np.flatnonzero(left & (parts > 0))
    apart = distance.copy()
    apart.ravel()[beside] += _TIE_STEP_PX * np.arange(len(beside), 0, -1)
    return apart
