"""Models by name, opened once."""

import threading
from collections.abc import Callable

from device.config import CountingSettings
from device.counting.card import ModelCard
from device.counting.segmenter import Segmenter
from device.machine.cores import share_cores
from device.models.auto import card_of, open_model

Loader = Callable[[str], Segmenter]


class Segmenters:
    """The open model of the worker, and the cards of all models.

    Only one model is open at a time: a Pi has little memory and people rarely switch models.

    Args:
        settings: number of interpreter threads.
        load: opens a model by name or path; the default is the TFLite interpreter.
    """

    def __init__(self, settings: CountingSettings, load: Loader | None = None) -> None:
        self._load = load or (lambda model: open_model(model, share_cores(1, settings.threads)[1]))
        self._read_card: Callable[[str], ModelCard] = (
            card_of if load is None else self._card_of_open
        )
        self._open: dict[str, Segmenter] = {}
        self._cards: dict[str, ModelCard] = {}
        self._lock = threading.Lock()

    def get(self, model: str) -> Segmenter:
        """The model, opened on first use; only for the thread of the worker.

        Raises:
            ModelError: missing or damaged.
        """
        with self._lock:
            if model not in self._open:
                self._open = {model: self._load(model)}
            return self._open[model]

    def card(self, model: str) -> ModelCard:
        """The card of a model, checked against its file on first use.

        Raises:
            ModelError: missing or damaged.
        """
        if model not in self._cards:
            self._cards[model] = self._read_card(model)
        return self._cards[model]

    def _card_of_open(self, model: str) -> ModelCard:
        return self.get(model).card
