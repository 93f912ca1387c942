"""Logistic regression of "is a cell" on what the calibration looks at."""

import msgspec
import numpy as np
from scipy.optimize import minimize

from device.assays.evidence import Evidence
from device.counting.card import Confidence, ObjectFeature
from device.counting.confidence.features import FEATURES, FRAME_FEATURE, GREY_LEVEL_FEATURES
from device.counting.confidence.probabilities import sigmoid

EXPOSURE_SD = 0.1
"""Standard deviation of the log of the exposures at which objects are seen by the fit."""
_NODES, _GAIN_WEIGHTS = np.polynomial.hermite_e.hermegauss(5)
_GAINS = EXPOSURE_SD * _NODES
_RIDGE = 1.0
MANY_SETS = 6
"""From so many sets of frames on, each weighs alike."""


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
