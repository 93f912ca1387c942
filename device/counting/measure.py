"""What is known of each cell once it has its pixels."""

import math

import numpy as np
from scipy import ndimage

from device.counting.records import PROBABILITY_STEPS, Cell, Frame, LabelImage, ProbabilityMap


def measure(frame: Frame, labels: LabelImage, probability: ProbabilityMap) -> tuple[Cell, ...]:
    """Measure every label of an image; the cost grows with the cells' pixels.

    Args:
        frame: the original image.
        labels: (height, width) int32, labels 1..n all present.
        probability: (height, width) uint8 codes at the original pixels.

    Returns:
        Cells with id 1..n in original pixels; `probability` equals `score` until it is calibrated.
    """
    pixels, starts, areas = _pixels_by_label(labels)
    if len(pixels) == 0:
        return ()
    rows, columns = np.divmod(pixels, labels.shape[1])
    samples = frame.image[rows, columns, : frame.channels]
    codes = np.add.reduceat(probability.ravel()[pixels], starts, dtype=np.int64)
    scores = codes / areas / PROBABILITY_STEPS
    means = np.add.reduceat(samples, starts, dtype=np.float64) / areas[:, None]
    measured = zip(
        ndimage.find_objects(labels),
        areas.tolist(),
        (np.add.reduceat(columns, starts) / areas).round(2).tolist(),
        (np.add.reduceat(rows, starts) / areas).round(2).tolist(),
        means.round(2).tolist(),
        np.maximum.reduceat(samples, starts).astype(np.float64).tolist(),
        scores.round(4).tolist(),
        strict=True,
    )
    return tuple(
        Cell(
            id=number,
            x=x,
            y=y,
            area_px=area,
            equivalent_diameter_px=round(math.sqrt(4 * area / math.pi), 2),
            bbox=(box[1].start, box[0].start, box[1].stop, box[0].stop),
            mean_intensity=tuple(mean),
            max_intensity=tuple(maximum),
            score=score,
            probability=score,
        )
        for number, (box, area, x, y, mean, maximum, score) in enumerate(measured, start=1)
    )


def _pixels_by_label(labels: LabelImage) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Flat indices of all cell pixels grouped by label, where each group starts, and its size."""
    inside = np.flatnonzero(labels)
    owners = labels.ravel()[inside]
    if owners.size and owners.max() <= np.iinfo(np.uint16).max:
        # A stable sort of 16-bit keys is a radix sort: linear in the pixels.
        owners = owners.astype(np.uint16)
    order = np.argsort(owners, kind="stable")
    areas = np.bincount(owners)[1:]
    starts = np.cumsum(areas) - areas
    return inside[order], starts, areas
