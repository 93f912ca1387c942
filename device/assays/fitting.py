"""The confidence section of a card, fitted on frames that the network had not seen (out-of-fold maps)."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import Literal

import msgspec
import numpy as np
from scipy.optimize import minimize, minimize_scalar

from device.assays.evidence import Evidence, candidate_threshold
from device.assays.usual import normal_frame
from device.counting.card import Confidence, ModelCard, ObjectFeature
from device.counting.confidence.features import FEATURES, FRAME_FEATURE, GREY_LEVEL_FEATURES
from device.counting.confidence.probabilities import (
    COVERAGE,
    cell_probabilities,
    count_distribution,
    count_interval,
    sigmoid,
)

ERROR_WEIGHT = 0.01
"""One cell of error per frame weighs as much as 0.01 of F1."""
EXPOSURE_SD = 0.1
"""Standard deviation of the log of the exposures at which objects are seen by the fit."""
_NODES, _GAIN_WEIGHTS = np.polynomial.hermite_e.hermegauss(5)
_GAINS = EXPOSURE_SD * _NODES
_RIDGE = 1.0
MANY_SETS = 6
"""From so many sets of frames on, each weighs alike."""
FEW_CELLS = 5
"""Widths of intervals are compared per cell, of so many at least."""
LEAST_COVERAGE = 0.86
"""In every set, of many: frames that the fit has not seen fall a few percent short of its own, and an interval must
hold the truth in four of five."""
FRAME_SDS = (0.6, 0.9, 1.2, 1.6)
"""Spreads between frames that are tried with many sets."""
COUNT_SDS = (0.0, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5)
"""Spreads of the count that are tried."""
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
    held = [interval_of(frame, other).inside for frame, other in left_out(evidence, card, leasts)]
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


def interval_of(frame: Evidence, confidence: Confidence) -> Interval:
    """The frame's count and interval under a confidence section."""
    judged = frame.judge(confidence)
    low, high = count_interval(
        judged.probabilities, confidence.frame_sd, judged.count, confidence.count_sd
    )
    return Interval(frame, judged.count, low, high)


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

    Of few sets the likeliest spread between frames stays, and that of the count is the smallest that suffices. Of many
    sets both are open, and the narrowest intervals that suffice in every set are taken: each judged by a regression
    that has not seen this set, as the next laboratory's will be.
    """
    many = is_balanced(evidence)
    crossed = _cross_fit(evidence, fitted, by="source" if many else "fold")
    tried = product(FRAME_SDS if many else (fitted.frame_sd,), COUNT_SDS)
    seen = {spreads: _coverage_and_width(crossed, spreads) for spreads in tried}
    if many:
        enough = [spreads for spreads, (held, _) in seen.items() if min(held) >= LEAST_COVERAGE]
        enough = [own for own in enough if np.mean(seen[own][0]) >= COVERAGE]
        best = min(
            enough or seen, key=lambda own: seen[own][1] if enough else -np.mean(seen[own][0])
        )
    else:
        enough = [own for own, (held, _) in seen.items() if np.mean(held) >= COVERAGE]
        best = enough[0] if enough else (fitted.frame_sd, COUNT_SDS[-1])
    return msgspec.structs.replace(fitted, frame_sd=best[0], count_sd=best[1])


def _coverage_and_width(
    crossed: list[tuple[Evidence, Confidence]], spreads: tuple[float, float]
) -> tuple[list[float], float]:
    """Part of each set's frames whose interval holds the truth, and the mean relative width over the sets."""
    held: dict[str, list[bool]] = {}
    widths: dict[str, list[float]] = {}
    for frame, own in crossed:
        known = msgspec.structs.replace(own, frame_sd=spreads[0], count_sd=spreads[1])
        interval = interval_of(frame, known)
        held.setdefault(frame.source, []).append(interval.inside)
        width = (interval.high - interval.low) / max(frame.targets, FEW_CELLS)
        widths.setdefault(frame.source, []).append(width)
    coverage = [float(np.mean(own)) for own in held.values()]
    return coverage, float(np.mean([np.mean(own) for own in widths.values()]))


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


def is_balanced(evidence: list[Evidence]) -> bool:
    """Whether sets weigh alike: those of a model for many stains, of which the largest would decide alone."""
    return len({frame.source for frame in evidence}) >= MANY_SETS


def _balance(evidence: list[Evidence]) -> np.ndarray:
    """(n,) weights of all objects, mean 1."""
    sizes = np.array([len(frame.features) for frame in evidence])
    sources = np.repeat([frame.source for frame in evidence], sizes)
    if not is_balanced(evidence) or not len(sources):
        return np.ones(len(sources))
    names, which, number = np.unique(sources, return_inverse=True, return_counts=True)
    return np.asarray(len(sources) / (len(names) * number[which]))


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


def fit_logistic(evidence: list[Evidence], base: Confidence) -> Confidence:
    """Ridge logistic regression of "is a cell" on the standardised features, into a copy of `base`.

    Each object is seen at several exposures, so that brightness decides no more than it has to: all frames we have were
    taken with one microscope's settings, and the next one will not be.
    """
    features = np.concatenate([frame.features for frame in evidence])
    if not is_balanced(evidence):
        # The frames of one stain are too few and too alike to tell what a frame's doubt means.
        features[:, FEATURES.index(FRAME_FEATURE)] = 0
    is_cell = np.concatenate([frame.is_cell for frame in evidence])
    mean, sd = np.zeros(len(FEATURES)), np.ones(len(FEATURES))
    if len(features):
        mean, sd = features.mean(axis=0), features.std(axis=0)
        sd[sd < 1e-6] = 1.0
    exposures = [(_expose(features, gain) - mean) / sd for gain in _GAINS]
    balance = _balance(evidence)
    shares = np.concatenate([part * balance for part in _GAIN_WEIGHTS / _GAIN_WEIGHTS.sum()])
    standardised = np.concatenate(exposures)
    weights = fit_regression(standardised, np.tile(is_cell, len(exposures)), shares)
    terms = {
        name: ObjectFeature(mean=float(mean[i]), sd=float(sd[i]), coefficient=float(weights[i + 1]))
        for i, name in enumerate(FEATURES)
    }
    return msgspec.structs.replace(base, intercept=float(weights[0]), **terms)


def _expose(features: np.ndarray, log_gain: float) -> np.ndarray:
    """(n, 7) features as they were with another exposure: what is measured in grey levels is multiplied."""
    in_grey_levels = [name in GREY_LEVEL_FEATURES for name in FEATURES]
    return features + log_gain * np.array(in_grey_levels)


def fit_regression(standardised: np.ndarray, is_cell: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """(1 + k,) intercept and coefficients for (n, k) features that weigh (n,) shares.

    One more, average object that is half a cell keeps the fit finite if all objects are of one kind.
    """
    design = np.column_stack((np.ones(len(standardised)), standardised))

    def cost(weights: np.ndarray) -> tuple[float, np.ndarray]:
        log_odds = design @ weights
        penalty = np.concatenate(([0], weights[1:])) * _RIDGE
        loss = shares @ (np.logaddexp(0, log_odds) - log_odds * is_cell)
        loss += np.logaddexp(0, weights[0]) - 0.5 * weights[0] + 0.5 * penalty @ weights
        slope = design.T @ (shares * (sigmoid(log_odds) - is_cell)) + penalty
        slope[0] += sigmoid(weights[0]) - 0.5
        return float(loss), slope

    return np.asarray(minimize(cost, np.zeros(design.shape[1]), jac=True).x)


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
