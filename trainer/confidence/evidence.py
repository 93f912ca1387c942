"""What a fit of the confidence section sees of annotated frames: their objects, and which of them are cells."""

from dataclasses import dataclass

import msgspec
import numpy as np
import numpy.typing as npt

from device.counting.card import Confidence, ModelCard
from device.counting.confidence.features import object_features
from device.counting.confidence.probabilities import accepted, calibrated
from device.counting.confidence.statistics import FrameStatistics, frame_statistics, with_cells
from device.counting.labelling.objects import Objects, find_objects
from device.counting.measure import measure
from device.counting.records import ProbabilityMap
from device.counting.settings import resolve
from device.counting.scale import probability_at_frame_scale, to_working_scale
from trainer.frames.datasets import Example
from trainer.scores.evaluate import radius_px, settings_for
from trainer.scores.matching import Points, centroids, match

CANDIDATE_SHARE = 1 / 3
"""Candidate threshold per threshold of the model, where no least peak refuses objects."""


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
        statistics: of the frame.
    """

    name: str
    fold: int
    width: int
    features: npt.NDArray[np.float64]
    is_cell: npt.NDArray[np.bool_]
    plausible: int
    targets: int
    statistics: FrameStatistics

    def judged(self, confidence: Confidence) -> "Judged":
        """The frame under a confidence section."""
        chances = calibrated(self.features, confidence)
        return Judged(chances, accepted(chances, self.plausible, confidence.least_probability))


@dataclass(frozen=True, slots=True, eq=False)
class Judged:
    """(n,) probabilities of a frame's objects, and (n,) bool whether they are counted."""

    chances: npt.NDArray[np.float64]
    counted: npt.NDArray[np.bool_]

    @property
    def count(self) -> int:
        """Number of counted objects."""
        return int(self.counted.sum())


def candidate_threshold(card: ModelCard) -> float:
    """The low cut-off that belongs to a card's threshold.

    With a least peak above the threshold, what it refuses are the candidates: a lower cut-off would only melt them
    into their neighbours.
    """
    if card.postprocessing.min_peak > card.threshold:
        return card.threshold
    return round(card.threshold * CANDIDATE_SHARE, 3)


def gather(frame: UnseenFrame, card: ModelCard) -> Evidence:
    """Objects of a frame, their features and whether they are cells."""
    example = frame.example
    low = msgspec.structs.replace(card.confidence, candidate_threshold=candidate_threshold(card))
    card = msgspec.structs.replace(card, confidence=low)
    chosen = resolve(settings_for(example, card), card)
    at_frame = probability_at_frame_scale(
        frame.probability, example.frame.height, example.frame.width
    )
    objects = find_objects(frame.probability, at_frame, card, chosen)
    image = to_working_scale(example.frame, chosen.scale)
    cells = measure(example.frame, objects.labels, at_frame)
    return Evidence(
        name=example.name,
        fold=frame.fold,
        width=example.frame.width,
        features=object_features(image, frame.probability, objects.working, card.cell_diameter_px),
        is_cell=_matched(example, objects),
        plausible=objects.count,
        targets=example.count,
        statistics=with_cells(
            frame_statistics(example.frame, image, card.cell_diameter_px),
            example.frame,
            cells,
            chosen.cell_diameter_px,
        ),
    )


def _matched(example: Example, objects: Objects) -> npt.NDArray[np.bool_]:
    """Counted objects take their targets first, candidates those that are left (radius of the protocol)."""
    targets = centroids(example.labels)
    found = match(centroids(objects.labels), targets, radius_px(example))
    is_cell = np.zeros(int(objects.working.max(initial=0)), dtype=bool)
    is_cell[[detection for detection, _ in found.pairs]] = True
    scale = example.frame.height / objects.working.shape[0]
    candidates = _in_frame(centroids(objects.working)[objects.count :], scale)
    late = match(candidates, targets[list(found.missed)], radius_px(example))
    is_cell[[objects.count + candidate for candidate, _ in late.pairs]] = True
    return is_cell


def _in_frame(points: Points, scale: float) -> Points:
    """Pixel centres at the working scale in frame pixels."""
    return (points + 0.5) * scale - 0.5
