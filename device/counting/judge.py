"""What is said about each object besides its number: probabilities, and which are doubtful."""

from collections.abc import Callable
from dataclasses import dataclass

import msgspec
import numpy as np

from device.counting.card import ModelCard
from device.counting.confidence.features import object_features
from device.counting.confidence.probabilities import accepted, calibrated, near_decision
from device.counting.labelling.objects import Objects, demoted, find_objects, only
from device.counting.labelling.outline import pixels_in_frame
from device.counting.measure import measure, measure_pixels
from device.counting.records import Cell, Frame, LabelImage, ProbabilityMap
from device.counting.resolved import Resolved, least_probability_at
from device.counting.scale import probability_at_frame_scale
from device.counting.stages import Stage


@dataclass(frozen=True, slots=True, eq=False)
class Examined:
    """The objects of a frame, or of a block of it, with their probabilities.

    Attributes:
        labels: (height, width) int32 in original pixels, 1..count.
        cells: the counted ones, ids 1..count.
        candidates: those not counted that are near the decision, ids above the count.
        chances: (n,) probabilities of all objects, the counted ones first.
    """

    labels: LabelImage
    cells: tuple[Cell, ...]
    candidates: tuple[Cell, ...]
    chances: np.ndarray

    @property
    def doubtful(self) -> tuple[Cell, ...]:
        """What is near the decision on either side."""
        near = near_decision(self.chances, np.arange(len(self.chances)) < len(self.cells))
        return (
            *(cell for cell, unsure in zip(self.cells, near, strict=False) if unsure),
            *self.candidates,
        )


Owned = Callable[[LabelImage], np.ndarray]
"""From all objects (h, w) int32 at the working scale, 1..n, to (n,) bool: which of them are wanted."""


def examine(
    frame: Frame,
    image: np.ndarray,
    probability: ProbabilityMap,
    card: ModelCard,
    chosen: Resolved,
    stage: Stage,
    owned: Owned | None = None,
) -> Examined:
    """Find, measure and judge the objects of a frame.

    Args:
        frame: the capture.
        image: (h, w, 3) uint8, the frame at the working scale.
        probability: (h, w) uint8 codes at the working scale.
        card: of the model that made the map.
        chosen: the settings of this count.
        stage: opened around "label" and "measure".
        owned: which objects are wanted; None: all.
    """
    with stage("label"):
        at_frame = probability_at_frame_scale(probability, frame.height, frame.width)
        objects = find_objects(probability, at_frame, card, chosen)
        if owned is not None:
            objects = only(objects, owned(objects.working))
    with stage("measure"):
        features = object_features(image, probability, objects.working, card.cell_diameter_px)
        chances = calibrated(features, card.confidence)
        least = least_probability_at(card, chosen)
        objects, order = demoted(objects, accepted(chances, objects.count, least))
        chances = chances[order]
        cells = measure(frame, objects.labels, at_frame)
        counted = tuple(
            with_probability(cell, chance) for cell, chance in zip(cells, chances, strict=False)
        )
        near = near_decision(chances, np.arange(len(chances)) < objects.count)
        candidates = _candidates(frame, at_frame, objects, chances, near)
    return Examined(objects.labels, counted, candidates, chances)


def with_probability(cell: Cell, chance: float) -> Cell:
    """The cell with its calibrated probability."""
    return msgspec.structs.replace(cell, probability=round(float(chance), 4))


def _candidates(
    frame: Frame,
    at_frame: ProbabilityMap,
    objects: Objects,
    chances: np.ndarray,
    near: np.ndarray,
) -> tuple[Cell, ...]:
    """The doubtful objects that are not counted, ids above the count."""
    wanted = near & (np.arange(len(near)) >= objects.count)
    if not wanted.any():
        return ()
    numbers = 1 + np.flatnonzero(wanted)
    pixels = pixels_in_frame(
        objects.working, numbers, at_frame, objects.candidate_code, objects.labels
    )
    present = [
        (own, chance) for own, chance in zip(pixels, chances[wanted], strict=True) if len(own)
    ]
    if not present:
        return ()
    areas = np.array([len(own) for own, _ in present])
    everything = np.concatenate([own for own, _ in present])
    measured = measure_pixels(frame, at_frame, everything, areas, first_id=objects.count + 1)
    return tuple(
        with_probability(cell, chance) for cell, (_, chance) in zip(measured, present, strict=True)
    )
