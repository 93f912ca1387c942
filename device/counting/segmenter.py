"""What the pipeline asks of a network, whichever interpreter runs it."""

from typing import Protocol, runtime_checkable

import numpy as np

from device.counting.card import ModelCard
from device.counting.records import ProbabilityMap


class Segmenter(Protocol):
    """A network with its card."""

    @property
    def card(self) -> ModelCard:
        """The numbers that travel with the weights."""
        ...

    def __call__(self, tile: np.ndarray) -> ProbabilityMap:
        """Segment one tile.

        Args:
            tile: (h, w, 3) uint8 RGB at the working scale; h and w are multiples of the card's stride.

        Returns:
            (h, w) uint8 codes of the probability that a pixel belongs to a cell.
        """
        ...


@runtime_checkable
class Releasable(Protocol):
    """A network that can do without its working memory between frames."""

    def release(self) -> None:
        """Give working memory back; the next tile takes it again."""
        ...
