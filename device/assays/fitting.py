"""The confidence section of a card, fitted on frames that the network had not seen (out-of-fold maps)."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import Literal

import msgspec
import numpy as np
from scipy.optimize import minimize_scalar

from device.assays.evidence import Evidence, candidate_threshold
from device.assays.regression import fit_logistic, is_balanced
from device.assays.usual import normal_frame
from device.counting.card import Confidence, ModelCard
from device.counting.confidence.probabilities import (
    COVERAGE,
    cell_probabilities,
    count_distribution,
    count_spread,
    objects_interval,
    widen_interval,
)

ERROR_WEIGHT = 0.01
"""One cell of error per frame weighs as much as 0.01 of F1."""
FEW_CELLS = 5
"""Widths of intervals are compared per cell, of so many at least."""
LEAST_COVERAGE = 0.9
"""In every set, of many: frames that the fit has not seen fall a tenth short of its own where a set has a dozen
frames, and an interval must hold the truth in four of five."""
OPEN_WIDTH = 4.0
"""An interval without an upper end, relative to the number of cells: wider than those that hold the truth in tissue."""
LEAST_WIDTH = 0.01
"""Narrower intervals are worth no more."""
MOST_DOUBTS = (1.25, 1.5, 1.75)
"""Doubts of a frame (log odds) that are tried; one with more has no upper end. Cultured nuclei have -2 to 0, tissue up
to 1.5; among frames with more (six sevenths of what is seen are unclear) are some of which a third is found."""
FRAME_SDS = (0.3, 0.6, 0.9, 1.2)
"""Spreads between frames that are tried with many sets."""
COUNT_SDS = (0.0, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5)
"""Spreads of the count that are tried, of a frame of doubt 0."""
COUNT_SLOPES = (0.0, 0.25, 0.5, 0.75)
"""Tried with many sets. The last makes the spread of the clearest cultures (doubt -2) a quarter of that at doubt 0."""
_LARGEST_FRAME_SD = 4.0


def fit_evidence(
    evidence: list[Evidence], card: ModelCard, leasts: Sequence[float] = ()
) -> Confidence:
    """Fit a confidence section to frames whose cells are known, its coverage measured with each fold left out.

    Args:
        evidence: what was gathered from each frame; at least two folds.
        card: threshold and post-processing are taken from it.
        leasts: least probabilities to choose from; none: the network alone decides what is counted.
    """
    fitted = fit_part(evidence, card, leasts)
    held = [
        interval_of(frame, own).is_kept(np.inf if own.most_doubt is None else own.most_doubt)
        for frame, own in left_out(evidence, card, leasts)
    ]
    folds = len({frame.fold for frame in evidence})
    return msgspec.structs.replace(
        fitted,
        fitted_on=f"{len(evidence)} frames that the network had not seen; coverage in {folds} parts left out in turn",
        coverage=round(float(np.mean(held)), 4),
    )


def left_out(
    evidence: list[Evidence], card: ModelCard, leasts: Sequence[float] = ()
) -> list[tuple[Evidence, Confidence]]:
    """Every frame with a confidence section that was fitted without its fold."""
    pairs = []
    for fold in sorted({frame.fold for frame in evidence}):
        fitted = fit_part([frame for frame in evidence if frame.fold != fold], card, leasts)
        pairs += [(frame, fitted) for frame in evidence if frame.fold == fold]
    return pairs


@dataclass(frozen=True, slots=True)
class Interval:
    """What a card would say about one frame."""

    frame: Evidence
    count: int
    low: int
    high: int

    @property
    def inside(self) -> bool:
        """Whether it contains the true count."""
        return self.low <= self.frame.targets <= self.high

    def is_kept(self, most_doubt: float) -> bool:
        """Whether what is promised is true: a frame with more doubt has no upper end."""
        return self.low <= self.frame.targets if self.frame.doubt > most_doubt else self.inside

    def width(self, most_doubt: float) -> float:
        """Of what is promised, relative to the number of cells."""
        if self.frame.doubt > most_doubt:
            return OPEN_WIDTH
        return (self.high - self.low) / max(self.frame.targets, FEW_CELLS)


def interval_of(frame: Evidence, confidence: Confidence) -> Interval:
    """The frame's count and interval under a confidence section."""
    return _look_ahead(frame, confidence, confidence.frame_sd).spread(confidence)


def fit_part(evidence: list[Evidence], card: ModelCard, leasts: Sequence[float] = ()) -> Confidence:
    """Logistic regression, least probability, spread and ranges of some frames; coverage is left open."""
    terms = choose_least(evidence, fit_logistic(evidence, card.confidence), leasts)
    unseen = [
        cell_probabilities(frame.features, other) for frame, other in _cross_fit(evidence, terms)
    ]
    fitted = msgspec.structs.replace(
        terms,
        fitted_on=f"{len(evidence)} frames",
        frames=len(evidence),
        coverage=None,
        candidate_threshold=candidate_threshold(card),
        frame_sd=fit_frame_sd(unseen, [frame.targets for frame in evidence]),
        normal_frame=normal_frame([frame.statistics for frame in evidence]),
    )
    return fit_spreads(evidence, fitted)


def fit_spreads(evidence: list[Evidence], fitted: Confidence) -> Confidence:
    """Spreads with which intervals hold the truth often enough, sets weighing alike.

    Of few sets the likeliest spread between frames stays, that of the count is the smallest that suffices, and a frame
    is too doubtful if all whose interval held the truth, and the model's own, were less so. Of many sets all three are
    open, and the narrowest intervals that suffice in every set are taken: each judged by a regression that has not seen
    this set, as the next laboratory's will be.
    """
    if is_balanced(evidence):
        return _fit_many(_cross_fit(evidence, fitted, by="source"), fitted)
    crossed = _cross_fit(evidence, fitted)
    outlooks = [_look_ahead(frame, own, fitted.frame_sd) for frame, own in crossed]
    for count_sd in COUNT_SDS:
        spread = msgspec.structs.replace(fitted, count_sd=count_sd)
        held = [own for own in (one.spread(spread) for one in outlooks) if own.inside]
        if len(held) >= COVERAGE * len(evidence):
            break
    most = fitted.most_doubt
    if most is not None:
        most = max([most, *(own.frame.doubt for own in held)])
    return msgspec.structs.replace(fitted, count_sd=count_sd, most_doubt=most)


def _fit_many(crossed: list[tuple[Evidence, Confidence]], fitted: Confidence) -> Confidence:
    """`fit_spreads` of many sets, each frame with a regression that has not seen its set."""
    tried = {}
    for frame_sd in FRAME_SDS:
        outlooks = [_look_ahead(frame, own, frame_sd) for frame, own in crossed]
        for count_sd, slope in product(COUNT_SDS, COUNT_SLOPES):
            spread = msgspec.structs.replace(
                fitted, frame_sd=frame_sd, count_sd=count_sd, count_slope=slope
            )
            intervals = [own.spread(spread) for own in outlooks]
            for most in MOST_DOUBTS:
                choice = msgspec.structs.replace(spread, most_doubt=most)
                tried[choice] = _shortfall_and_cost(intervals, most)
    return min(tried, key=lambda choice: tried[choice])


@dataclass(frozen=True, slots=True, eq=False)
class _Outlook:
    """A judged frame before the spread of its count is known: what `widen_interval` takes."""

    frame: Evidence
    objects: tuple[int, int]
    expected: float
    count: int

    def spread(self, confidence: Confidence) -> Interval:
        spread = count_spread(self.frame.doubt, confidence)
        low, high = widen_interval(self.objects, self.expected, self.count, spread)
        return Interval(self.frame, self.count, low, high)


def _look_ahead(frame: Evidence, confidence: Confidence, frame_sd: float) -> _Outlook:
    judged = frame.judge(confidence)
    objects = objects_interval(judged.probabilities, frame_sd)
    return _Outlook(frame, objects, float(judged.probabilities.sum()), judged.count)


def _shortfall_and_cost(intervals: list[Interval], most_doubt: float) -> tuple[float, float]:
    """By how much too seldom the truth is held, in the worst set or on average; and the mean width.

    The mean is that of the logarithms: an interval half as wide is worth the same in cultures, where it is narrow, as
    in tissue.
    """
    kept: dict[str, list[bool]] = {}
    widths: dict[str, list[float]] = {}
    for own in intervals:
        kept.setdefault(own.frame.source, []).append(own.is_kept(most_doubt))
        widths.setdefault(own.frame.source, []).append(own.width(most_doubt))
    coverage = [float(np.mean(one)) for one in kept.values()]
    shortfall = max(0.0, LEAST_COVERAGE - min(coverage), COVERAGE - float(np.mean(coverage)))
    mean = np.array([np.mean(one) for one in widths.values()])
    return shortfall, float(np.log(mean.clip(LEAST_WIDTH)).mean())


def choose_least(
    evidence: list[Evidence], terms: Confidence, leasts: Sequence[float]
) -> Confidence:
    """`terms` with the least probability that is best on these frames; 0 if there is no choice."""

    def with_least(least: float) -> Confidence:
        return msgspec.structs.replace(terms, least_probability=least)

    return max(
        (with_least(least) for least in leasts or (0.0,)),
        key=lambda own: _worth_over_sets(evidence, own),
    )


def worth(evidence: list[Evidence], confidence: Confidence) -> float:
    """How good the counts of these frames are under a confidence section: F1, less a part of the mean error."""
    judged = [frame.judge(confidence) for frame in evidence]
    counts = np.array([frame.count for frame in judged])
    targets = np.array([frame.targets for frame in evidence])
    pairs = zip(evidence, judged, strict=True)
    found = sum(int((frame.is_cell & own.counted).sum()) for frame, own in pairs)
    f1 = 2 * found / max(1, counts.sum() + targets.sum())
    return float(f1 - ERROR_WEIGHT * np.abs(counts - targets).mean())


def _worth_over_sets(evidence: list[Evidence], confidence: Confidence) -> float:
    """`worth`; of many sets the mean of theirs."""
    if not is_balanced(evidence):
        return worth(evidence, confidence)
    sets = {frame.source for frame in evidence}
    return float(np.mean([worth([f for f in evidence if f.source == s], confidence) for s in sets]))


def _cross_fit(
    evidence: list[Evidence], whole: Confidence, by: Literal["fold", "source"] = "fold"
) -> list[tuple[Evidence, Confidence]]:
    """Frames with a regression that has not seen their fold, or their set; with one of these only, the whole one."""
    kept_apart = sorted({getattr(frame, by) for frame in evidence})
    fits = {
        part: fit_logistic([f for f in evidence if getattr(f, by) != part], whole)
        if len(kept_apart) > 1
        else whole
        for part in kept_apart
    }
    return [(frame, fits[getattr(frame, by)]) for frame in evidence]


def fit_frame_sd(probabilities: list[np.ndarray], targets: list[int]) -> float:
    """Spread between frames under which the true counts are likeliest.

    Args:
        probabilities: (n,) of each frame's objects, by a regression that has not seen the frame.
        targets: true count of each frame; what exceeds its objects counts as all of them.
    """

    def surprise(frame_sd: float) -> float:
        likelihoods = [
            count_distribution(chances, frame_sd)[min(count, len(chances))]
            for chances, count in zip(probabilities, targets, strict=True)
        ]
        return -float(np.log(np.maximum(likelihoods, 1e-9)).sum())

    best = minimize_scalar(surprise, bounds=(0.0, _LARGEST_FRAME_SD), method="bounded")
    return round(float(best.x), 4)
