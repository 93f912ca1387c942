"""Models by name, opened once."""

import threading
from collections.abc import Callable

from device.config import CountingSettings
from device.counting.card import ModelCard
from device.counting.segmenter import Segmenter
from device.machine.cores import share_cores
from device.models.auto import card_of, open_model
from device.models.card import find_model, installed_models

Loader = Callable[[str], Segmenter]
_Key = tuple[str, tuple[int, ...]]


def _key(model: str) -> _Key:
    """A model's name, and which file that is: an installed one may be removed, and another take its name.

    A file system gives the number of a removed file to the next one: its times tell them apart.
    """
    if model not in installed_models():
        return model, ()
    try:
        status = find_model(model).stat()
    except FileNotFoundError:  # removed meanwhile: opening it says so
        return model, ()
    return model, (status.st_dev, status.st_ino, status.st_size, status.st_ctime_ns)


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
        self._open: dict[_Key, Segmenter] = {}
        self._cards: dict[_Key, ModelCard] = {}
        self._lock = threading.Lock()

    def get(self, model: str) -> Segmenter:
        """The model, opened on first use; only for the thread of the worker.

        Raises:
            ModelError: missing or damaged.
        """
        key = _key(model)
        with self._lock:
            if key not in self._open:
                self._open = {key: self._load(model)}
            return self._open[key]

    def card(self, model: str) -> ModelCard:
        """The card of a model, checked against its file on first use.

        Raises:
            ModelError: missing or damaged.
        """
        key = _key(model)
        if key not in self._cards:
            self._cards[key] = self._read_card(model)
        return self._cards[key]

    def _card_of_open(self, model: str) -> ModelCard:
        return self.get(model).card
