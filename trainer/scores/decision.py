"""Which objects of a probability map are cells: cut-off and post-processing, chosen together on annotated frames.

The paper (section 4.3) chooses the cut-off with the best F1. Here three more numbers are open, because they decide the
same question: how sure the surest pixel of an object must be, how far apart two watershed seeds must lie, and the
smallest object. Counting again from stored maps needs no network, so every combination is tried.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path

import msgspec
import numpy as np

from device.assays.evidence import UNJUDGED
from device.assays.fitting import ERROR_WEIGHT
from device.assays.regression import MANY_SETS
from device.counting.card import ModelCard
from device.counting.labelling.objects import find_objects
from device.counting.pipeline import see_again
from device.counting.records import CountSettings, LabelImage
from device.counting.segmented import Segmented
from device.counting.settings import resolve
from trainer.frames.example import Example
from trainer.scores.evaluate import FrameScore, Scores, pool_scores, recount, score, settings_for

CURVE = (0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
IOU_WEIGHT = 0.2
"""0.05 of the cells' IoU weigh as much as 0.01 of F1."""


class Decision(msgspec.Struct, frozen=True, kw_only=True, order=True):
    """One combination, as in the card.

    Attributes:
        threshold: of the masks, 0 to 1.
        min_peak: an object whose surest pixel is below this is no cell.
        peak_distance_ratio: least distance of two watershed seeds, in cell diameters.
        min_area_ratio: smallest object, as a part of a disc of the cell diameter.
    """

    threshold: float
    min_peak: float
    peak_distance_ratio: float
    min_area_ratio: float


@dataclass(frozen=True, slots=True, eq=False)
class Detected:
    """Objects only: (height, width) int32, 1..n."""

    labels: LabelImage


Table = dict[Decision, list[FrameScore]]


def decide(card: ModelCard, decision: Decision) -> ModelCard:
    """The card with another decision."""
    postprocessing = msgspec.structs.replace(
        card.postprocessing,
        min_peak=decision.min_peak,
        peak_distance_ratio=decision.peak_distance_ratio,
        min_area_ratio=decision.min_area_ratio,
    )
    return msgspec.structs.replace(
        card, threshold=decision.threshold, postprocessing=postprocessing
    )


def decision_of(card: ModelCard) -> Decision:
    """What a card decides by."""
    own = card.postprocessing
    return Decision(
        threshold=card.threshold,
        min_peak=own.min_peak,
        peak_distance_ratio=own.peak_distance_ratio,
        min_area_ratio=own.min_area_ratio,
    )


def combinations(
    card: ModelCard,
    thresholds: Iterable[float],
    min_peaks: Iterable[float] = (),
    peak_distances: Iterable[float] = (),
    min_areas: Iterable[float] = (),
) -> list[Decision]:
    """Every combination; an empty list leaves the card's value. A peak at or below the cut-off decides nothing."""
    own = decision_of(card)
    return [
        Decision(
            threshold=threshold,
            min_peak=min_peak,
            peak_distance_ratio=distance,
            min_area_ratio=area,
        )
        for threshold, min_peak, distance, area in product(
            thresholds,
            tuple(min_peaks) or (own.min_peak,),
            tuple(peak_distances) or (own.peak_distance_ratio,),
            tuple(min_areas) or (own.min_area_ratio,),
        )
        if min_peak == 0 or min_peak > threshold
    ]


def detect(seen: Segmented, card: ModelCard) -> Detected:
    """The plausible objects of a frame under another card, found by the step that finds them on the device.

    Args:
        seen: the frame and its map.
        card: decides; no frame is unusual to it, and no candidates are asked for.
    """
    confidence = msgspec.structs.replace(
        card.confidence, candidate_threshold=card.threshold, normal_frame=UNJUDGED
    )
    own = msgspec.structs.replace(card, confidence=confidence)
    asked = CountSettings(cell_diameter_px=seen.settings.cell_diameter_px)
    objects = find_objects(replace(seen, card=own, settings=resolve(asked, own)))
    return Detected(objects.in_frame.paint())


def try_all(
    examples: list[Example],
    maps: dict[str, np.ndarray],
    card: ModelCard,
    decisions: list[Decision],
) -> Table:
    """Scores of every frame under every decision, frames in the order given."""
    table: Table = {decision: [] for decision in decisions}
    cards = {decision: decide(card, decision) for decision in decisions}
    for example in examples:
        seen = see_again(example.frame, maps[example.name], card, settings_for(example, card))
        for decision, own in cards.items():
            table[decision].append(score(example, detect(seen, own)))
    return table


def worth(scores: Scores) -> float:
    """What is maximised: the mean of the strict F1 and of that with merged targets; masks and errors break near ties.

    Reduced ground truth merges touching cells, so the strict F1 alone would pay for not parting clumps.
    """
    f1 = (scores.f1 + scores.f1_merged) / 2
    return f1 + IOU_WEIGHT * scores.cell_iou - ERROR_WEIGHT * scores.mae


def best_decision(table: Table, without: frozenset[str] = frozenset()) -> Decision:
    """The decision of the greatest worth.

    Args:
        table: from `try_all`.
        without: frames that must not take part in the choice.
    """

    def own(decision: Decision) -> float:
        return worth_over_sets([frame for frame in table[decision] if frame.name not in without])

    return max(table, key=own)


def worth_over_sets(frames: list[FrameScore]) -> float:
    """`worth`; of many sets the mean of theirs, or the largest would decide alone."""
    sources = {frame.source for frame in frames}
    if len(sources) < MANY_SETS:
        return worth(pool_scores(frames))
    return float(
        np.mean([worth(pool_scores(f for f in frames if f.source == own)) for own in sources])
    )


def draw_threshold_curve(
    examples: list[Example],
    maps: dict[str, np.ndarray],
    cards: dict[str, ModelCard],
    picture: Path,
) -> None:
    """Scores of unseen frames at other thresholds, each frame with the card that decides about it."""
    from matplotlib.figure import Figure

    pooled = [
        pool_scores(score(e, recount(e, maps[e.name], cards[e.name], cut)) for e in examples)
        for cut in CURVE
    ]
    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.add_subplot()
    for name in ("f1", "f1_merged", "precision", "recall", "cell_iou"):
        axes.plot(CURVE, [getattr(own, name) for own in pooled], label=name.replace("_", " "))
    for cut in sorted({card.threshold for card in cards.values()}):
        axes.axvline(cut, color="grey", linestyle=":", label=f"chosen {cut:g}")
    axes.set(xlabel="threshold", ylim=(0, 1))
    axes.legend()
    figure.savefig(picture, dpi=100)
