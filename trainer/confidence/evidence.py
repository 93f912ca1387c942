"""What a fit of the confidence section sees of annotated frames: their objects, and which of them are cells."""

from dataclasses import dataclass

import msgspec
import numpy as np
import numpy.typing as npt

from device.counting.card import Confidence, ModelCard
from device.counting.confidence.features import measure_features
from device.counting.confidence.statistics import (
    CellStatistics,
    FrameStatistics,
    cell_statistics,
)
from device.counting.judge import Judged, judge
from device.counting.labelling.objects import Objects, find_objects
from device.counting.measure import measure_cells
from device.counting.pipeline import see_again
from device.counting.records import ProbabilityMap
from trainer.confidence.neutral import UNJUDGED
from trainer.frames.datasets import Example
from trainer.scores.evaluate import radius_px, settings_for
from trainer.scores.matching import Points, centroids, match

CANDIDATE_SHARE = 1 / 3
"""Candidate threshold divided by the threshold of the model, if no least peak refuses objects."""


@dataclass(frozen=True, slots=True, eq=False)
class UnseenFrame:
    """One annotated frame and what a network that had not seen it made of it.

    Attributes:
        example: frame, target objects and scale.
        probability: (h, w) uint8 codes at the working scale.
        fold: frames of one fold are left out of the fit together.
    """

    example: Example
    probability: ProbabilityMap
    fold: int


@dataclass(frozen=True, slots=True, eq=False)
class Evidence:
    """What the fit sees of one frame.

    Attributes:
        name, fold: which frame, and with which others it is left out of the fit.
        width: of the frame, pixels.
        features: (n, 6) of all objects, the plausible ones first.
        is_cell: (n,) whether an object was matched with a target.
        plausible: number of objects that threshold and least peak admit.
        targets: number of target objects.
        statistics: of the frame, and of the objects that threshold and least peak admit.
    """

    name: str
    fold: int
    width: int
    features: npt.NDArray[np.float64]
    is_cell: npt.NDArray[np.bool_]
    plausible: int
    targets: int
    statistics: tuple[FrameStatistics, CellStatistics]

    def judge(self, confidence: Confidence) -> Judged:
        """Decide about the frame's objects by a confidence section."""
        return judge(self.features, self.plausible, confidence, confidence.least_probability)


def candidate_threshold(card: ModelCard) -> float:
    """The candidate threshold that belongs to a card's threshold.

    With a least peak above the threshold, what it refuses are the candidates: a lower cut-off would only melt them
    into their neighbours.
    """
    if card.postprocessing.min_peak > card.threshold:
        return card.threshold
    return round(card.threshold * CANDIDATE_SHARE, 3)


def gather(frame: UnseenFrame, card: ModelCard) -> Evidence:
    """Objects of a frame, their features and whether they are cells."""
    example = frame.example
    confidence = msgspec.structs.replace(
        card.confidence,
        candidate_threshold=candidate_threshold(card),
        normal_frame=UNJUDGED,  # which frames are usual is what the fit will tell
    )
    card = msgspec.structs.replace(card, confidence=confidence)
    seen = see_again(example.frame, frame.probability, card, settings_for(example, card))
    objects = find_objects(seen)
    features = measure_features(
        seen.image, seen.probability, objects.working, card.cell_diameter_px
    )
    plausible = judge(features, objects.plausible, confidence, least_probability=0.0)
    cells = measure_cells(example.frame, objects, plausible).cells
    return Evidence(
        name=example.name,
        fold=frame.fold,
        width=example.frame.width,
        features=features,
        is_cell=_match(example, objects),
        plausible=objects.plausible,
        targets=example.count,
        statistics=(
            seen.statistics,
            cell_statistics(cells, example.frame, seen.settings.cell_diameter_px),
        ),
    )


def _match(example: Example, objects: Objects) -> npt.NDArray[np.bool_]:
    """Plausible objects take their targets first, candidates those that are left (radius of the protocol)."""
    targets = centroids(example.labels)
    found = match(centroids(objects.in_frame.paint()), targets, radius_px(example))
    is_cell = np.zeros(len(objects.working), dtype=bool)
    is_cell[[detection for detection, _ in found.pairs]] = True
    scale = example.frame.height / objects.working.shape[0]
    candidates = _in_frame(centroids(objects.working.paint())[objects.plausible :], scale)
    late = match(candidates, targets[list(found.missed)], radius_px(example))
    is_cell[[objects.plausible + candidate for candidate, _ in late.pairs]] = True
    return is_cell


def _in_frame(points: Points, scale: float) -> Points:
    """Pixel centres at the working scale in frame pixels."""
    return (points + 0.5) * scale - 0.5
