"""Exponential moving average of all weights, batch norm's statistics included; any Keras backend."""

import numpy as np

EVERY_STEPS = 5
"""The average is taken every so many steps: the decay is raised accordingly, the cost divided."""


class WeightAverage:
    """Keeps the average beside the model.

    Attributes:
        values: one float32 array per weight, in the model's order; empty before the first update.
    """

    def __init__(self, decay: float, values: list[np.ndarray] | None = None) -> None:
        self._decay = decay
        self.values = values or []

    def update(self, weights: list[np.ndarray], step: int) -> None:
        """Take in the weights after step `step` (1, 2, ...); the early average forgets faster."""
        if not self.values:
            self.values = [weight.copy() for weight in weights]
            return
        decay = min(self._decay, (1 + step) / (10 + step)) ** EVERY_STEPS
        for average, weight in zip(self.values, weights, strict=True):
            average *= decay
            average += (1 - decay) * weight
