"""Target objects out of masks and label images."""

import numpy as np
import numpy.typing as npt
from scipy import ndimage

CRUMB_RATIO = 0.1
"""Objects under this part of the median area are slips of the annotator's pen."""

SMALL_RATIO = 0.3
"""Objects under this part of the median area are small: fragments, and nuclei cut by the edge of the image."""


def mask_objects(mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.int32]:
    """8-connected components without crumbs (under a tenth of the median area), numbered 1..n."""
    labels, count = ndimage.label(mask, np.ones((3, 3)), output=np.int32)
    return without_crumbs(labels) if count else labels


def without_crumbs(labels: npt.NDArray[np.integer]) -> npt.NDArray[np.int32]:
    """Label image with only the objects of at least a tenth of the median area, renumbered."""
    areas = np.bincount(labels.ravel())
    areas[0] = 0
    present = areas > 0
    if not present.any():
        return np.zeros(labels.shape, np.int32)
    keep = present & (areas >= CRUMB_RATIO * np.median(areas[present]))
    table = np.zeros(len(areas), np.int32)
    table[keep] = np.arange(1, keep.sum() + 1)
    return table[labels]


def part_touching(labels: npt.NDArray[np.int32]) -> npt.NDArray[np.bool_]:
    """Mask of the objects with a gap between touching ones, so that a network can learn to part them."""
    largest = ndimage.maximum_filter(labels, 3)
    smallest = ndimage.minimum_filter(np.where(labels == 0, np.iinfo(np.int32).max, labels), 3)
    return (labels > 0) & (largest == smallest)


def part_labels(
    labels: npt.NDArray[np.int32],
) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """Mask of the objects without the line between touching ones, and that line grown by a pixel."""
    mask = part_touching(labels)
    return mask, ndimage.binary_dilation((labels > 0) & ~mask, np.ones((3, 3)))


def find_small(labels: npt.NDArray[np.int32]) -> npt.NDArray[np.bool_]:
    """Mask of the objects whose area is under `SMALL_RATIO` of the median, grown by a pixel: they have few pixels to
    be learned from.
    """
    areas = np.bincount(labels.ravel(), minlength=1)
    areas[0] = 0
    if not areas.any():
        return np.zeros(labels.shape, dtype=bool)
    is_small = (areas > 0) & (areas < SMALL_RATIO * np.median(areas[areas > 0]))
    return ndimage.binary_dilation(is_small[labels], np.ones((3, 3)))


def median_diameter(labels: npt.NDArray[np.int32]) -> float:
    """Median equivalent diameter of the objects in pixels; 0 where there is none."""
    areas = np.bincount(labels.ravel())[1:]
    areas = areas[areas > 0]
    return float(np.sqrt(4 * np.median(areas) / np.pi)) if len(areas) else 0.0
