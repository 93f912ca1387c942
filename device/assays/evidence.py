"""What a fit of the confidence section sees of a frame whose cells are known: its objects, and which are cells."""

from dataclasses import dataclass

import msgspec
import numpy as np
import numpy.typing as npt

from device.assays.matching import Points, centroids, match
from device.counting.card import Confidence, ModelCard, NormalFrame, Range
from device.counting.confidence.statistics import MeasuredCount, count_statistics
from device.counting.judge import Judged, judge
from device.counting.labelling.objects import Objects, find_objects
from device.counting.measure import measure_cells
from device.counting.pipeline import measure_for_calibration, see_again
from device.counting.records import CountSettings, Frame, ProbabilityMap

UNJUDGED = NormalFrame(**dict.fromkeys(NormalFrame.__struct_fields__, Range(low=None, high=None)))
"""Ranges in which no frame is unusual."""
CANDIDATE_SHARE = 1 / 3
"""Candidate threshold divided by the threshold of the model, if no least peak refuses objects."""


@dataclass(frozen=True, slots=True, eq=False)
class Known:
    """A frame whose cells are known.

    Attributes:
        name: for people.
        fold: frames of one fold are left out of a fit together.
        frame, probability: the capture, and the network's (h, w) uint8 codes.
        settings: it was counted with these, the cell diameter among them.
        targets: (n, 2) float64 centroids (y, x) of the true cells, in pixels of the frame.
        radius_px: an object belongs to a target nearer than this.
    """

    name: str
    fold: int
    frame: Frame
    probability: ProbabilityMap
    settings: CountSettings
    targets: Points
    radius_px: float


@dataclass(frozen=True, slots=True, eq=False)
class Evidence:
    """What the fit sees of one frame.

    Attributes:
        name, fold: which frame, and with which others it is left out of the fit.
        source: name of its set.
        width: of the frame, pixels.
        features: (n, 7) of all objects, the plausible ones first.
        is_cell: (n,) whether an object was matched with a target.
        plausible: number of objects that threshold and least peak admit.
        targets: number of target objects.
        doubt: of the network about the whole frame (device.counting.confidence.features).
        statistics: of the frame, and of the objects that threshold and least peak admit.
    """

    name: str
    fold: int
    width: int
    features: npt.NDArray[np.float64]
    is_cell: npt.NDArray[np.bool_]
    plausible: int
    targets: int
    doubt: float
    statistics: MeasuredCount
    source: str = ""

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


def gather_known(known: Known, card: ModelCard) -> Evidence:
    """Objects of a frame, their features and whether they are cells; `card` tells threshold and post-processing."""
    confidence = msgspec.structs.replace(
        card.confidence,
        candidate_threshold=candidate_threshold(card),
        normal_frame=UNJUDGED,  # which frames are usual is what the fit will tell
    )
    card = msgspec.structs.replace(card, confidence=confidence)
    seen = see_again(known.frame, known.probability, card, known.settings)
    objects = find_objects(seen)
    features = measure_for_calibration(seen, objects)
    plausible = judge(features, objects.plausible, confidence, least_probability=0.0)
    cells = measure_cells(known.frame, objects, plausible).cells
    return Evidence(
        name=known.name,
        fold=known.fold,
        width=known.frame.width,
        features=features,
        is_cell=match_objects(known, objects),
        plausible=objects.plausible,
        targets=len(known.targets),
        doubt=seen.doubt,
        statistics=count_statistics(
            seen.statistics, cells, known.frame, seen.settings.cell_diameter_px
        ),
    )


def match_objects(known: Known, objects: Objects) -> npt.NDArray[np.bool_]:
    """(n,) which objects are cells: plausible ones take their targets first, candidates those that are left."""
    targets, radius_px = known.targets, known.radius_px
    found = match(centroids(objects.in_frame.paint()), targets, radius_px)
    is_cell = np.zeros(len(objects.working), dtype=bool)
    is_cell[[detection for detection, _ in found.pairs]] = True
    scale = known.frame.height / objects.working.shape[0]
    candidates = _in_frame(centroids(objects.working.paint())[objects.plausible :], scale)
    late = match(candidates, targets[list(found.missed)], radius_px)
    is_cell[[objects.plausible + candidate for candidate, _ in late.pairs]] = True
    return is_cell


def _in_frame(points: Points, scale: float) -> Points:
    """Pixel centres at the working scale in frame pixels."""
    return (points + 0.5) * scale - 0.5
