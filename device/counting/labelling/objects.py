"""The objects of a frame on either side of the decision."""

from dataclasses import dataclass

import msgspec
import numpy as np

from device.counting.card import ModelCard
from device.counting.labelling.candidates import beside
from device.counting.labelling.labels import (
    kept_numbers,
    label_all,
    label_cells,
    mapped,
    renumber,
    threshold_code,
)
from device.counting.labelling.outline import outline_in_frame, touches_border
from device.counting.records import LabelImage, ProbabilityMap
from device.counting.resolved import Resolved, postprocessing_at


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
    low = min(card.confidence.candidate_threshold, chosen.threshold)
    counted, every = _label_at_both(probability, low, card, chosen)
    labels = outline_in_frame(counted, probability, at_frame, threshold_code(chosen.threshold))
    keep = np.ones(int(counted.max(initial=0)) + 1, dtype=bool)
    if labels is not counted:
        keep[:] = False  # a cell smaller than an original pixel may have none
        keep[labels.ravel()[np.flatnonzero(labels > 0)]] = True
    if chosen.exclude_border:
        keep[np.flatnonzero(touches_border(labels))] = False
    numbers = kept_numbers(keep[1:])
    if not keep[1:].all():
        labels = mapped(labels, numbers)
    working = beside(counted, every, numbers, chosen.exclude_border)
    return Objects(labels, working, int(keep[1:].sum()), threshold_code(low))


def _label_at_both(
    probability: ProbabilityMap, low: float, card: ModelCard, chosen: Resolved
) -> tuple[LabelImage, LabelImage]:
    """What is counted at the chosen threshold, and what a low one finds beside it."""
    own = postprocessing_at(card, chosen)
    diameter, min_area_px = card.cell_diameter_px, chosen.min_area_px * chosen.scale**2
    if low == chosen.threshold:
        every, sure = label_all(probability, low, diameter, min_area_px, own)
        return (every if sure.all() else renumber(every, sure)), every
    counted = label_cells(probability, chosen.threshold, diameter, min_area_px, own)
    every_peak = msgspec.structs.replace(own, min_peak=0.0)
    return counted, label_cells(probability, low, diameter, min_area_px, every_peak, counted)


def only(objects: Objects, wanted: np.ndarray) -> Objects:
    """Those objects of `working` whose entry in wanted (n,) is True, numbered anew."""
    if wanted.all():
        return objects
    labels = renumber(objects.labels, wanted[: objects.count])
    count = int(wanted[: objects.count].sum())
    return Objects(labels, renumber(objects.working, wanted), count, objects.candidate_code)


def demoted(objects: Objects, counted: np.ndarray) -> tuple[Objects, np.ndarray]:
    """Only those whose entry in counted (n,) is True stay counted; the others become candidates.

    Returns:
        The objects numbered anew, and (n,) the former place of each.
    """
    order = np.argsort(~counted, kind="stable")
    if counted[: objects.count].all():
        return objects, order
    table = np.zeros(len(order) + 1, dtype=np.int32)
    table[1 + order] = np.arange(1, len(order) + 1)
    labels = renumber(objects.labels, counted[: objects.count])
    kept = Objects(
        labels, mapped(objects.working, table), int(counted.sum()), objects.candidate_code
    )
    return kept, order
