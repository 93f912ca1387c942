"""Which parts of a clump are one cell: the card's `joining`, fitted on frames that the network has not seen."""

from dataclasses import dataclass

import msgspec
import numpy as np

from device.assays.regression import fit_regression
from device.counting.card import Joining, ModelCard
from device.counting.labelling.join import find_neighbours, measure_pairs, measure_parts
from device.counting.labelling.objects import find_objects
from device.counting.labelling.split import smooth_distances
from device.counting.pipeline import see_again
from device.counting.scale import nearest_indices
from trainer.confidence.evidence import UnseenFrame
from trainer.fitting.runs import Run
from trainer.scores.evaluate import settings_for

NUMBERED = ("labels", "synthetic")
"""Kinds of sources in which every cell has its own number."""
LEAST_SHARE = 0.4
"""Of a part's pixels that must lie in one target: what is mostly background belongs to none."""


@dataclass(frozen=True, slots=True, eq=False)
class Pairs:
    """Neighbouring parts of one frame.

    Attributes:
        features: (k, 3) of `measure_pairs`.
        is_one: (k,) whether both lie in the same target.
        source: set of the frame.
        fold: frames of one fold are left out of a fit together.
    """

    features: np.ndarray
    is_one: np.ndarray
    source: str
    fold: int


def gather_pairs(frame: UnseenFrame, card: ModelCard) -> Pairs:
    """The touching parts that a card finds in a frame when it joins none, and which of them are one target."""
    own = replace_joining(card, None)
    example, codes = frame.example, frame.probability
    seen = see_again(example.frame, codes, own, settings_for(example, own))
    parts = find_objects(seen).working.paint()
    distance = _measure_distances(parts > 0, own)
    neighbours = find_neighbours(parts, distance, codes)
    peaks, areas = measure_parts(parts, distance)
    features = measure_pairs(neighbours, peaks, areas, own.cell_diameter_px)
    target, share = _find_targets(parts, example.labels)
    one, other = neighbours.pairs.T
    known = (share[one] >= LEAST_SHARE) & (share[other] >= LEAST_SHARE)
    is_one = target[one] == target[other]
    return Pairs(features[known], is_one[known], example.source, frame.fold)


def _measure_distances(mask: np.ndarray, card: ModelCard) -> np.ndarray:
    """As `split_clumps` has them: to the border, the image's edge being one, smoothed."""
    smoothing_px = card.postprocessing.smoothing_ratio * card.cell_diameter_px
    return smooth_distances(np.pad(mask, 1).astype(np.uint32), smoothing_px)[1:-1, 1:-1]


def _find_targets(parts: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(n + 1,) each: the target in which most of a part lies, and that part of its pixels."""
    rows, columns = (
        nearest_indices(side, own) for side, own in zip(parts.shape, labels.shape, strict=True)
    )
    truth = labels[rows][:, columns]
    inside = parts > 0
    shape = int(parts.max(initial=0)) + 1, int(labels.max(initial=0)) + 1
    common = np.bincount(parts[inside] * shape[1] + truth[inside], minlength=shape[0] * shape[1])
    common = common.reshape(shape)
    pixels = common.sum(axis=1).clip(1)
    common[:, 0] = 0
    return common.argmax(axis=1), common.max(axis=1) / pixels


def fit_joining(pairs: list[Pairs]) -> Joining | None:
    """Logistic regression of "is one cell"; None where no two parts touch.

    A set of k pairs weighs as the root of k, or one would decide alone.
    """
    if not any(len(own.is_one) for own in pairs):
        return None
    features = np.concatenate([own.features for own in pairs])
    is_one = np.concatenate([own.is_one for own in pairs])
    sets = np.repeat([own.source for own in pairs], [len(own.is_one) for own in pairs])
    _, which, number = np.unique(sets, return_inverse=True, return_counts=True)
    weights = number[which] ** -0.5
    mean, sd = features.mean(axis=0), features.std(axis=0).clip(1e-6)
    terms = fit_regression((features - mean) / sd, is_one, weights / weights.mean())
    slopes = terms[1:] / sd
    waist, probability, area = np.round(slopes, 4).tolist()
    intercept = round(float(terms[0] - slopes @ mean), 4)
    return Joining(intercept=intercept, waist=waist, probability=probability, area=area)


def replace_joining(card: ModelCard, joining: Joining | None) -> ModelCard:
    """The card with another joining."""
    postprocessing = msgspec.structs.replace(card.postprocessing, joining=joining)
    return msgspec.structs.replace(card, postprocessing=postprocessing)


def add_joining(card: ModelCard, frames: list[UnseenFrame], run: Run) -> ModelCard:
    """The card with the joining that the recipe wants, fitted on these frames."""
    if not run.joins:
        return card
    return replace_joining(card, fit_joining(_gather_all(card, frames, run)))


def add_joining_by_fold(
    card: ModelCard, frames: list[UnseenFrame], run: Run
) -> dict[int, ModelCard]:
    """By fold the card that finds the objects of its frames; what it joins, if anything, is fitted without them."""
    folds = sorted({frame.fold for frame in frames})
    if not run.joins:
        return dict.fromkeys(folds, card)
    pairs = _gather_all(card, frames, run)
    return {
        fold: replace_joining(card, fit_joining([own for own in pairs if own.fold != fold]))
        for fold in folds
    }


def _gather_all(card: ModelCard, frames: list[UnseenFrame], run: Run) -> list[Pairs]:
    """Of the sets that number their cells: in a mask, cells that touch are one."""
    numbered = {source.name for source in run.finetune.sources if source.kind in NUMBERED}
    return [gather_pairs(frame, card) for frame in frames if frame.example.source in numbered]
