"""Which objects are counted, and how likely each is a cell."""

from dataclasses import dataclass

import numpy as np

from device.counting.card import Confidence
from device.counting.confidence.probabilities import cell_probabilities, is_near_decision


@dataclass(frozen=True, slots=True, eq=False)
class Judged:
    """What was decided about n objects.

    Attributes:
        probabilities: (n,) that a person would count it, 0 to 1.
        counted: (n,) bool.
    """

    probabilities: np.ndarray
    counted: np.ndarray

    @property
    def count(self) -> int:
        """Number of counted objects."""
        return int(self.counted.sum())

    @property
    def doubtful(self) -> np.ndarray:
        """(n,) bool: near the decision on either side."""
        return is_near_decision(self.probabilities, self.counted)

    def select(self, wanted: np.ndarray) -> "Judged":
        """Those whose entry in a (n,) bool is True."""
        return Judged(self.probabilities[wanted], self.counted[wanted])


def judge(
    features: np.ndarray, plausible: int, confidence: Confidence, least_probability: float
) -> Judged:
    """Count the plausible objects that are likely enough.

    Args:
        features: (n, 7) from device.counting.confidence.features.
        plausible: so many of the objects, the first ones, may be counted.
        confidence: the card's section.
        least_probability: a less likely object is not counted, 0 to 1.
    """
    probabilities = cell_probabilities(features, confidence)
    is_plausible = np.arange(len(probabilities)) < plausible
    return Judged(probabilities, is_plausible & (probabilities >= least_probability))
