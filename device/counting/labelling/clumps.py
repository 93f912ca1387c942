"""From a probability map to separate objects (paper, section 4.3).

Threshold, fill holes, remove small objects, then part the clumps. Every length is relative to the cell diameter.
"""

import cc3d
import numpy as np

from device.counting.card import Postprocessing
from device.counting.labelling.regions import Regions, group_pixels
from device.counting.labelling.split import Splitting, split_clumps
from device.counting.records import PROBABILITY_STEPS, ProbabilityMap, disc_area


def threshold_code(threshold: float) -> int:
    """The largest code that is still background: a pixel is foreground where its code is above this."""
    return int(threshold * PROBABILITY_STEPS)


def label_map(
    probability: ProbabilityMap,
    threshold: float,
    cell_diameter_px: float,
    min_area_px: float,
    settings: Postprocessing,
) -> tuple[Regions, np.ndarray]:
    """Separate the objects of a probability map.

    Args:
        probability: (h, w) uint8 codes.
        threshold: cut-off, 0 to 1, exclusive.
        cell_diameter_px: typical diameter at the map's scale.
        min_area_px: clumps of fewer pixels of the map are dropped.
        settings: the card's post-processing.

    Returns:
        The objects in the order in which a reader meets them, and (n,) bool: which of them belong to a clump that
        reaches the least peak.
    """
    mask = probability > threshold_code(threshold)
    fill_holes(mask, settings.max_hole_ratio * disc_area(cell_diameter_px))
    clumps = _find_clumps(mask, min_area_px)
    if len(clumps) == 0:
        return clumps, np.zeros(0, dtype=bool)
    peaks = np.maximum.reduceat(probability.ravel()[clumps.pixels], clumps.starts)
    splitting = Splitting(
        # Twice the least area: less cannot hold two cells.
        least_area_px=2 * min_area_px,
        seed_distance_px=max(1, round(settings.peak_distance_ratio * cell_diameter_px)),
        smoothing_px=settings.smoothing_ratio * cell_diameter_px,
        cell_diameter_px=cell_diameter_px,
        joining=settings.joining,
    )
    objects, clump_of = split_clumps(clumps, probability, splitting)
    order = np.argsort(objects.pixels[objects.starts])
    is_sure = peaks >= settings.min_peak * PROBABILITY_STEPS
    return objects.select(order), is_sure[clump_of[order]]


def fill_holes(mask: np.ndarray, max_hole_px: float) -> None:
    """Fill the background regions of a mask (h, w), in place, that do not touch its edge and are small enough."""
    background, count = cc3d.connected_components(
        ~mask, connectivity=4, return_N=True, binary_image=True
    )
    edges = np.concatenate((background[0], background[-1], background[:, 0], background[:, -1]))
    is_hole = np.ones(count + 1, dtype=bool)
    is_hole[0] = False
    is_hole[edges] = False
    if not is_hole.any():
        return
    # Most of a frame is one background region, open to the edge: the rest is looked at pixel by pixel.
    others = np.flatnonzero(background != np.bincount(edges).argmax())
    owners = background.ravel()[others]
    is_small = np.bincount(owners, minlength=count + 1) <= max_hole_px
    mask.ravel()[others[(is_hole & is_small)[owners]]] = True


def _find_clumps(mask: np.ndarray, min_area_px: float) -> Regions:
    """What hangs together by sides or corners and is large enough."""
    labels = cc3d.connected_components(mask, connectivity=8, binary_image=True)
    inside = np.flatnonzero(mask)
    clumps, _ = group_pixels(inside, labels.ravel()[inside], mask.shape)
    return clumps.select(clumps.areas >= min_area_px)
