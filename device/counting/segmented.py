"""What a frame is once the network has seen it: the one value that the steps of a count share."""

from dataclasses import dataclass

import numpy as np

from device.counting.card import ModelCard, Postprocessing
from device.counting.confidence.flags import is_usual
from device.counting.confidence.statistics import MeasuredFrame
from device.counting.records import Frame, ProbabilityMap
from device.counting.settings import ResolvedSettings, least_probability_at, postprocessing_at


@dataclass(frozen=True, slots=True, eq=False)
class Segmented:
    """A frame, or a block of it, with the network's map.

    Attributes:
        frame: the capture.
        image: (h, w, 3) uint8, the frame at the working scale.
        probability: (h, w) uint8 codes at the working scale.
        card: of the model that made the map.
        settings: of this count.
        statistics: of the whole frame.
        doubt: of the network about the whole frame (device.counting.confidence.features).
    """

    frame: Frame
    image: np.ndarray
    probability: ProbabilityMap
    card: ModelCard
    settings: ResolvedSettings
    statistics: MeasuredFrame
    doubt: float

    @property
    def is_usual(self) -> bool:
        """Whether the calibration knows frames of this light and stain."""
        return is_usual(self.statistics, self.card.confidence.normal_frame)

    @property
    def postprocessing(self) -> Postprocessing:
        """The card's, under the settings of this count."""
        return postprocessing_at(self.card, self.settings, self.is_usual)

    @property
    def least_probability(self) -> float:
        """How likely a cell an object must be to be counted, 0 to 1."""
        return least_probability_at(self.card, self.settings, self.is_usual)
