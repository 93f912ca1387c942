"""Counting without a network: what Fiji users do, and loose candidate masks for annotation (section 4.1)."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage
from skimage.feature import peak_local_max
from skimage.filters import threshold_isodata, threshold_triangle
from skimage.segmentation import watershed

from device.counting.records import Frame, disc_area
from device.counting.scale import to_8_bit
from trainer.frames.objects import without_crumbs

BLUR_RATIO = 0.06
"""Sigma of the Gaussian blur in cell diameters (2 px at full size)."""

SMALLEST_RATIO = 0.15
"""Smallest object, as a part of the disc of the cell diameter ("Analyze Particles")."""


@dataclass(frozen=True, slots=True, eq=False)
class Segmented:
    """What `trainer.scores.evaluate.score` needs of a count: labels (h, w) int32."""

    labels: npt.NDArray[np.int32]


def _grey(frame: Frame) -> npt.NDArray[np.float32]:
    """The brightest channel, 0 to 255."""
    return to_8_bit(frame.image, frame.full_scale).max(axis=2).astype(np.float32)


def _large_objects(mask: npt.NDArray[np.bool_], least_px: float) -> npt.NDArray[np.bool_]:
    labels, _ = ndimage.label(mask, np.ones((3, 3)))
    areas = np.bincount(labels.ravel())
    areas[0] = 0
    return (areas >= least_px)[labels]


def fiji_way(frame: Frame, cell_diameter_px: float) -> Segmented:
    """Gaussian blur, automatic threshold (IsoData, Fiji's default), fill holes, watershed, size filter.

    Args:
        frame: any.
        cell_diameter_px: typical cell in this frame's pixels.
    """
    grey = ndimage.gaussian_filter(_grey(frame), BLUR_RATIO * cell_diameter_px)
    if grey.max() - grey.min() < 1:
        return Segmented(np.zeros(grey.shape, np.int32))
    mask = ndimage.binary_fill_holes(grey > threshold_isodata(grey))
    distance = ndimage.distance_transform_edt(mask)
    objects, _ = ndimage.label(mask, np.ones((3, 3)))
    near = max(1, round(cell_diameter_px / 4))
    peaks = peak_local_max(distance, min_distance=near, labels=objects, exclude_border=False)
    seeds = np.zeros(mask.shape, np.int32)
    seeds[tuple(peaks.T)] = np.arange(1, len(peaks) + 1)
    parts = watershed(-distance, seeds, mask=mask)
    areas = np.bincount(parts.ravel())
    areas[0] = 0
    large = areas >= SMALLEST_RATIO * disc_area(cell_diameter_px)
    table = np.where(large, np.cumsum(large), 0).astype(np.int32)
    return Segmented(table[parts])


def propose_mask(frame: Frame, cell_diameter_px: float) -> npt.NDArray[np.bool_]:
    """Everything that may be a cell, for a person to prune: (h, w).

    A difference of Gaussians around the cell's size removes the background; the triangle
    threshold is generous; holes are filled and specks removed.
    """
    grey = _grey(frame)
    small = ndimage.gaussian_filter(grey, BLUR_RATIO * cell_diameter_px)
    contrast = small - ndimage.gaussian_filter(grey, 1.5 * cell_diameter_px)
    if contrast.max() - contrast.min() < 1:
        return np.zeros(grey.shape, bool)
    mask = ndimage.binary_fill_holes(contrast > max(threshold_triangle(contrast), 1.0))
    return _large_objects(mask, SMALLEST_RATIO / 2 * disc_area(cell_diameter_px))


def count_proposals(mask: npt.NDArray[np.bool_]) -> int:
    """Objects in a mask, crumbs left out."""
    labels, _ = ndimage.label(mask, np.ones((3, 3)))
    return int(without_crumbs(labels).max())
