"""How sure a count is: the probability of each object, and an interval for the number of cells.

A person who counts the same frame decides object by object, and is stricter or laxer in one frame than in another.
So the number of cells is a sum of independent yes-or-no decisions (Poisson-binomial), whose log odds all shift by one
normal variable per frame; its standard deviation was fitted on frames that the network had not seen.
"""

import math

import numpy as np

from device.counting.card import Confidence
from device.counting.confidence.features import FEATURES

COVERAGE = 0.9
"""Part of the frames whose number of cells the interval is meant to hold."""

DOUBTFUL_ABOVE, DOUBTFUL_BELOW = 0.2, 0.8
"""What is not counted is doubtful from the first probability on, what is counted up to the second."""

_NORMAL_TAIL = 1.645
"""A normal variable stays within so many standard deviations in 90 % of the cases."""

_SHIFTS, _WEIGHTS = np.polynomial.hermite_e.hermegauss(9)


def cell_probabilities(features: np.ndarray, confidence: Confidence) -> np.ndarray:
    """(n,) probabilities that a person would count objects with these (n, 7) features."""
    columns = [getattr(confidence, name) for name in FEATURES]
    log_odds = np.full(len(features), confidence.intercept)
    for value, column in zip(features.T, columns, strict=True):
        log_odds += column.coefficient * (value - column.mean) / column.sd
    return sigmoid(log_odds)


def sigmoid(log_odds: np.ndarray) -> np.ndarray:
    """Probabilities of log odds, without overflow."""
    return np.asarray(0.5 * (1 + np.tanh(log_odds / 2)))


def count_distribution(probabilities: np.ndarray, frame_sd: float) -> np.ndarray:
    """(n + 1,) probability of each number of cells among n objects.

    Args:
        probabilities: (n,) of each object, 0 to 1.
        frame_sd: standard deviation of the frame's shift in log odds, 0 for none.
    """
    safe = np.clip(probabilities, 1e-6, 1 - 1e-6)
    log_odds = np.log(safe / (1 - safe))
    shifted = sigmoid(log_odds + frame_sd * _SHIFTS[:, None])
    mixed = _WEIGHTS @ _poisson_binomial(shifted) / _WEIGHTS.sum()
    return np.asarray(mixed.clip(0))


def _poisson_binomial(probabilities: np.ndarray) -> np.ndarray:
    """(k, n) success probabilities to (k, n + 1) distributions of the number of successes.

    Pairs of distributions are convolved until one is left, so that thousands of objects cost milliseconds.
    """
    rows, objects = probabilities.shape
    pieces = np.stack((1 - probabilities, probabilities), axis=2)
    if objects == 0:
        return np.ones((rows, 1))
    while pieces.shape[1] > 1:
        if pieces.shape[1] % 2:
            certain = np.zeros_like(pieces[:, :1])
            certain[..., 0] = 1
            pieces = np.concatenate((pieces, certain), axis=1)
        size = 2 * pieces.shape[2] - 1
        spectra = np.fft.rfft(pieces, size)
        pieces = np.fft.irfft(spectra[:, 0::2] * spectra[:, 1::2], size)
    return np.asarray(pieces[:, 0, : objects + 1])


def frame_interval(
    probabilities: np.ndarray, count: int, doubt: float, confidence: Confidence
) -> tuple[int, int]:
    """`count_interval` of a frame under a calibration; `doubt` as of `measure_doubt`, the others as there."""
    spread = count_spread(doubt, confidence)
    return count_interval(probabilities, confidence.frame_sd, count, spread)


def count_spread(doubt: float, confidence: Confidence) -> float:
    """Standard deviation of a frame's count as a part of it: clear frames are counted more exactly."""
    return confidence.count_sd * math.exp(confidence.count_slope * doubt)


def count_interval(
    probabilities: np.ndarray, frame_sd: float, count: int, count_sd: float = 0.0
) -> tuple[int, int]:
    """The 90 % interval (low, high) of the number of cells; it always holds the count itself.

    Args:
        probabilities: (n,) of each object, 0 to 1.
        frame_sd: standard deviation of the frame's shift in log odds, 0 for none.
        count: of the objects that are counted.
        count_sd: standard deviation of the count itself as a part of it: cells that are no object of their own.
    """
    objects = objects_interval(probabilities, frame_sd)
    return widen_interval(objects, float(probabilities.sum()), count, count_sd)


def widen_interval(
    objects: tuple[int, int], expected: float, count: int, count_sd: float
) -> tuple[int, int]:
    """`objects_interval` with the spread of the count itself; `expected` is the sum of the probabilities."""
    low, high = objects
    middle = min(max(expected, low), high)
    reach = _NORMAL_TAIL * count_sd * middle
    low = math.floor(middle - math.hypot(middle - low, reach) + 1e-9)
    high = math.ceil(middle + math.hypot(high - middle, reach) - 1e-9)
    return max(0, min(low, count)), max(high, count)


def objects_interval(probabilities: np.ndarray, frame_sd: float) -> tuple[int, int]:
    """The 90 % interval of how many of the objects are cells."""
    below = np.cumsum(count_distribution(probabilities, frame_sd))
    tail = (1 - COVERAGE) / 2
    low = int(np.searchsorted(below, tail, side="right"))
    high = int(np.searchsorted(below, 1 - tail))
    return low, min(high, len(probabilities))


def is_near_decision(probabilities: np.ndarray, counted: np.ndarray) -> np.ndarray:
    """(n,) bool: the doubtful ones of n objects, `counted` (n,) bool or not."""
    return np.where(counted, probabilities <= DOUBTFUL_BELOW, probabilities >= DOUBTFUL_ABOVE)
