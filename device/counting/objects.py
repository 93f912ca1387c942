"""The objects of a frame on either side of the decision."""

from dataclasses import dataclass

import msgspec
import numpy as np

from device.counting.candidates import stacked, uncounted
from device.counting.card import ModelCard
from device.counting.labels import label_cells, renumber, threshold_code
from device.counting.outline import outline_in_frame, touches_border
from device.counting.records import LabelImage, ProbabilityMap
from device.counting.resolved import Resolved


@dataclass(frozen=True, slots=True, eq=False)
class Objects:
    """What is counted, and what a lower threshold would count.

    Attributes:
        labels: (height, width) int32 in original pixels, 1..count.
        working: (h, w) int32 at the working scale; 1..count the same objects, above them the candidates.
        count: number of counted ones.
        candidate_code: a candidate's pixels have codes above this.
    """

    labels: LabelImage
    working: LabelImage
    count: int
    candidate_code: int


def find_objects(
    probability: ProbabilityMap, at_frame: ProbabilityMap, card: ModelCard, chosen: Resolved
) -> Objects:
    """Label at the working scale, then give each counted cell its outline in original pixels.

    Args:
        probability: (h, w) uint8 codes at the working scale.
        at_frame: (height, width) the same map at the original pixels.
        card: of the model that made the map.
        chosen: the settings of this count.
    """
    counted = _label(probability, chosen.threshold, card, chosen)
    labels = outline_in_frame(counted, probability, at_frame, threshold_code(chosen.threshold))
    keep = np.bincount(labels.ravel(), minlength=int(counted.max(initial=0)) + 1) > 0
    if chosen.exclude_border:
        touching = np.flatnonzero(touches_border(labels))
        keep[touching] = False
    if not keep[1:].all():
        labels = renumber(labels, keep[1:])
    count = int(keep[1:].sum())
    low = min(card.confidence.candidate_threshold, chosen.threshold)
    candidates = uncounted(
        _label(probability, low, _every_peak(card), chosen), counted, chosen.exclude_border
    )
    working = stacked(renumber(counted, keep[1:]), candidates, count)
    return Objects(labels, working, count, threshold_code(low))


def _label(
    probability: ProbabilityMap, threshold: float, card: ModelCard, chosen: Resolved
) -> LabelImage:
    return label_cells(
        probability,
        threshold,
        card.cell_diameter_px,
        chosen.min_area_px * chosen.scale**2,
        card.postprocessing,
    )


def _every_peak(card: ModelCard) -> ModelCard:
    """The card without its least peak: what that refuses is a candidate too."""
    postprocessing = msgspec.structs.replace(card.postprocessing, min_peak=0.0)
    return msgspec.structs.replace(card, postprocessing=postprocessing)
