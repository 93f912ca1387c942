"""What is known of each cell once it has its pixels."""

import math
from dataclasses import dataclass

import numpy as np

from device.counting.judge import Judged
from device.counting.labelling.objects import Objects
from device.counting.labelling.outline import faint_in_frame
from device.counting.labelling.regions import Regions
from device.counting.records import PROBABILITY_STEPS, Cell, Frame, LabelImage, ProbabilityMap


@dataclass(frozen=True, slots=True, eq=False)
class Found:
    """The cells of a frame, or of a block of it.

    Attributes:
        labels: (height, width) integers in original pixels, 0 background, 1..count.
        cells: the counted ones, ids 1..count.
        candidates: those not counted that are near the decision, ids above the count.
        judged: all objects, the counted ones first.
    """

    labels: LabelImage
    cells: tuple[Cell, ...]
    candidates: tuple[Cell, ...]
    judged: Judged

    @property
    def doubtful(self) -> tuple[Cell, ...]:
        """What is near the decision on either side."""
        near = self.judged.doubtful[: len(self.cells)].tolist()
        unsure = (cell for cell, is_near in zip(self.cells, near, strict=True) if is_near)
        return (*unsure, *self.candidates)


def measure_cells(frame: Frame, objects: Objects, judged: Judged) -> Found:
    """Measure what is counted and what nearly is.

    Args:
        frame: the capture.
        objects: found in it.
        judged: the decision about each of them.
    """
    counted = objects.in_frame.select(judged.counted[: objects.plausible])
    labels = counted.paint()
    cells = _measure(
        frame, objects.at_frame, counted, judged.probabilities[judged.counted], first_id=1
    )
    near = judged.doubtful & ~judged.counted
    faint, present = faint_in_frame(
        objects.working.select(near), objects.at_frame, objects.candidate_code, labels
    )
    candidates = _measure(
        frame, objects.at_frame, faint, judged.probabilities[near][present], first_id=1 + len(cells)
    )
    order = np.argsort(~judged.counted, kind="stable")
    return Found(labels, cells, candidates, judged.select(order))


def _measure(
    frame: Frame,
    at_frame: ProbabilityMap,
    objects: Regions,
    probabilities: np.ndarray,
    first_id: int,
) -> tuple[Cell, ...]:
    """Measure objects of the original image.

    Args:
        frame: the capture.
        at_frame: (height, width) uint8 codes.
        objects: n of them.
        probabilities: (n,) of these objects.
        first_id: id of the first one; the others follow.
    """
    if len(objects) == 0:
        return ()
    starts, areas = objects.starts, objects.areas
    rows, columns = objects.places
    samples = _samples(frame, objects)
    means = np.add.reduceat(samples, starts, dtype=np.float64) / areas[:, None]
    highest = np.maximum.reduceat(samples, starts).astype(np.float64)
    codes = np.add.reduceat(at_frame.ravel()[objects.pixels], starts, dtype=np.int64)
    top, left, bottom, right = objects.boxes().T.tolist()
    diameters = (round(math.sqrt(4 * area / math.pi), 2) for area in areas.tolist())
    fields = {
        "id": range(first_id, first_id + len(objects)),
        "x": (np.add.reduceat(columns, starts) / areas).round(2).tolist(),
        "y": (np.add.reduceat(rows, starts) / areas).round(2).tolist(),
        "area_px": areas.tolist(),
        "equivalent_diameter_px": diameters,
        "bbox": zip(left, top, right, bottom, strict=True),
        "mean_intensity": map(tuple, means.round(2).tolist()),
        "max_intensity": map(tuple, highest.tolist()),
        "score": (codes / areas / PROBABILITY_STEPS).round(4).tolist(),
        "probability": (round(one, 4) for one in probabilities.tolist()),
    }
    cells = zip(*fields.values(), strict=True)
    return tuple(Cell(**dict(zip(fields, cell, strict=True))) for cell in cells)


def _samples(frame: Frame, objects: Regions) -> np.ndarray:
    """(m, channels) samples of the objects' pixels; a block of a large frame has gaps in memory between its rows."""
    if frame.image.flags.c_contiguous:
        samples = frame.image.reshape(-1, 3).take(objects.pixels, axis=0)
        return np.asarray(samples)[:, : frame.channels]
    rows, columns = objects.places
    return np.asarray(frame.image[rows, columns, : frame.channels])
