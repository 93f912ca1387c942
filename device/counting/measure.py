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
    samples = frame.image if frame.channels == 3 else frame.image[..., :1]
    boxes = ndimage.find_objects(labels)
    return tuple(
        _measure_one(number, box, samples[box], labels[box] == number, probability[box])
        for number, box in enumerate(boxes, start=1)
    )


def _measure_one(
    number: int,
    box: tuple[slice, slice],
    samples: np.ndarray,
    mask: np.ndarray,
    probability: np.ndarray,
) -> Cell:
    rows, columns = np.nonzero(mask)
    area = len(rows)
    inside = samples[rows, columns]
    score = float(probability[rows, columns].mean()) / PROBABILITY_STEPS
    return Cell(
        id=number,
        x=round(box[1].start + float(columns.mean()), 2),
        y=round(box[0].start + float(rows.mean()), 2),
        area_px=area,
        equivalent_diameter_px=round(math.sqrt(4 * area / math.pi), 2),
        bbox=(box[1].start, box[0].start, box[1].stop, box[0].stop),
        mean_intensity=tuple(round(float(value), 2) for value in inside.mean(axis=0)),
        max_intensity=tuple(float(value) for value in inside.max(axis=0)),
        score=round(score, 4),
        probability=round(score, 4),
    )
