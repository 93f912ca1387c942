"""`auto`: the specialist for frames like those that it was trained on, the model for any stain for all others."""

from collections.abc import Callable

import numpy as np

from device.counting.card import ModelCard
from device.counting.choice import Choice
from device.counting.confidence.flags import is_usual
from device.counting.confidence.statistics import frame_statistics
from device.counting.records import CountResult, Frame, ProbabilityMap
from device.counting.segmenter import Segmenter
from device.counting.view import network_view
from device.models.card import available_models, find_model, load_card
from device.models.interpreter import load_segmenter

AUTO = "auto"
"""What a person writes for it."""
SPECIALIST, GENERAL = "fast", "any"


def open_model(name_or_path: str, threads: int) -> Segmenter:
    """Open what a person named: `auto`, a shipped model, or the path of a .tflite.

    Raises:
        ModelError: missing or damaged, or no interpreter is installed.
    """
    if name_or_path == AUTO:
        return AutoSegmenter(card_of, lambda name: load_segmenter(find_model(name), threads))
    return load_segmenter(find_model(name_or_path), threads)


def card_of(name_or_path: str) -> ModelCard:
    """The card of what a person named; of `auto` that of the model for any stain, which costs more.

    Raises:
        ModelError: missing or damaged.
    """
    return load_card(find_model(GENERAL if name_or_path == AUTO else name_or_path))


def card_for(segmenter: Segmenter, result: CountResult) -> ModelCard:
    """The card of a segmenter, or of the one of `auto`'s models that made a result."""
    if isinstance(segmenter, AutoSegmenter) and result.model.name == SPECIALIST:
        return segmenter.specialist_card
    return segmenter.card


def counted_by(asked: str, result: CountResult) -> str:
    """The name of the model that made a result: what was asked for, or what `auto` took."""
    return result.model.name if asked == AUTO else asked


def model_names() -> list[str]:
    """What a person may choose: the shipped models, and `auto` where both of its models are there."""
    shipped = available_models()
    return [AUTO, *shipped] if {SPECIALIST, GENERAL} <= set(shipped) else shipped


class AutoSegmenter:
    """Two models behind one name; each is opened when a frame first asks for it.

    Args:
        card: reads a model's card by name.
        load: opens a model by name.
    """

    def __init__(self, card: Callable[[str], ModelCard], load: Callable[[str], Segmenter]) -> None:
        self.card = card(GENERAL)
        self.specialist_card = card(SPECIALIST)
        self._load = load
        self._open: dict[str, Segmenter] = {}

    def __call__(self, tile: np.ndarray) -> ProbabilityMap:
        """Segment a tile with the model for any stain."""
        return self._get(GENERAL)(tile)

    def choose(self, frame: Frame, cell_diameter_px: float) -> Choice:
        """The model for a frame, by its colours and its light, and why.

        Args:
            frame: the capture.
            cell_diameter_px: typical cell in it.
        """
        name, reason = self._name_for(frame, cell_diameter_px)
        return Choice(self._get(name), reason)

    def _name_for(self, frame: Frame, cell_diameter_px: float) -> tuple[str, str]:
        stain = self.specialist_card.trained_for.rstrip(".")
        if frame.channels == 1:
            return GENERAL, "the image is grey"
        scale = self.specialist_card.cell_diameter_px / cell_diameter_px
        image = network_view(frame, scale, self.specialist_card.view)
        seen = frame_statistics(frame, image, self.specialist_card.cell_diameter_px)
        if is_usual(seen, self.specialist_card.confidence.normal_frame):
            return SPECIALIST, f"colours and light are those of its own images: {stain}"
        return GENERAL, f"colours or light differ from those of {stain}"

    def _get(self, name: str) -> Segmenter:
        if name not in self._open:
            self._open[name] = self._load(name)
        return self._open[name]
