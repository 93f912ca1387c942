"""Accepts images: every image to be counted passes the same checks here."""

import hashlib
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import msgspec
from msgspec.structs import replace

from device.counting.card import ModelCard
from device.counting.records import CountSettings
from device.counting.settings import resolve
from device.errors import InputError, ModelError
from device.imageio.header import Header
from device.jobs import Segmenters
from device.models.card import available_models
from device.models.estimate import reading_mb, require_memory
from device.sandbox import open_image
from device.store import CountRow, NewCount, Store
from device.store.counts import require_same
from device.store.records import Needs, Origin

MAX_SAMPLE_CHARS = 200
MAX_NOTES_CHARS = 10_000
MAX_NAME_CHARS = 200


class Wishes(msgspec.Struct, frozen=True, kw_only=True):
    """What the sender may say about an image.

    Attributes:
        sample, notes: free text.
        model: name of a shipped model, None for the model in the settings.
        settings: for this count.
        once_key: see NewCount.
    """

    sample: str = ""
    notes: str = ""
    model: str | None = None
    settings: CountSettings = CountSettings()
    once_key: str | None = None


NO_WISHES = Wishes()


class Intake:
    """Checks and accepts images.

    Args:
        store: receives them.
        segmenters: gives the card of the model.
        default_model: name or path from the settings.
        max_memory_mb: an image that needs more is refused; None: no limit.
        int8_gmac_s: rate of a plain int8 matrix product on this machine, for the time that images will need; asked
            once for each. None: not measured.
    """

    def __init__(
        self,
        store: Store,
        segmenters: Segmenters,
        default_model: str,
        max_memory_mb: float | None = None,
        int8_gmac_s: Callable[[], float] | None = None,
    ) -> None:
        self._store = store
        self._segmenters = segmenters
        self._default_model = default_model
        self._max_memory_mb = max_memory_mb
        self._int8_gmac_s = int8_gmac_s

    def accept(
        self,
        data: bytes,
        image: str,
        origin: Origin,
        wishes: Wishes = NO_WISHES,
        capture: dict[str, Any] | None = None,
    ) -> CountRow:
        """Check an image file and put it on the queue.

        Args:
            data: the file's bytes.
            image: its name, for people.
            origin: its source.
            wishes: what the sender said about it.
            capture: real settings of the camera.

        Raises:
            InputError: not an image, outside the limits, or a setting outside its range.
            ModelError: the model is missing or damaged.
            ConflictError: the key was used for another image or other settings.
            BusyError, QueueFullError, StorageError: nothing was accepted.
        """
        known = self._store.counts.find_once(wishes.once_key)
        if known is not None:
            return require_same(known, hashlib.sha256(data).hexdigest(), wishes.settings)
        new = NewCount(
            data=data,
            image=_printable(image),
            origin=origin,
            model=self._model(wishes.model),
            settings=wishes.settings,
            sample=wishes.sample,
            notes=wishes.notes,
            once_key=wishes.once_key,
            capture=capture,
        )
        return self._store.counts.accept(replace(new, needs=self._check(new)))

    def _check(self, new: NewCount) -> Needs | None:
        """Check the image; returns its estimated memory and time."""
        card = self._segmenters.card(new.model)
        resolve(new.settings, card)
        check_text(new.sample, new.notes)
        # An upload can be sent again; a capture has cost the sample light, and a watched file waits by itself.
        waits = new.origin == "upload"
        with open_image(new.data, new.image, new.settings.reading, request=waits) as image:
            header = image.header()
            needs = self._needs(header, new, card)
            with image.reserve(reading_mb(header)):
                image.frame()
        return needs

    def _needs(self, header: Header, new: NewCount, card: ModelCard) -> Needs | None:
        """Estimated memory and time of the image; None without a limit.

        Raises:
            InputError: it would need more memory than is allowed.
        """
        if self._max_memory_mb is None:
            return None
        needed = require_memory(header, card, new.settings, self._max_memory_mb, new.image)
        seconds = None
        if self._int8_gmac_s is not None:
            with suppress(ModelError):  # without an interpreter the count itself says so
                seconds = round(needed.seconds(self._int8_gmac_s()), 3)
        return Needs(memory_mb=round(needed.memory_mb), seconds=seconds)

    def require_room(self) -> None:
        """Raise if an image would be refused now, before a sample is exposed to light for nothing.

        Raises:
            ModelError, QueueFullError, StorageError: an image would not be accepted now.
        """
        self._segmenters.card(self._default_model)
        self._store.counts.require_room()

    def _model(self, asked: str | None) -> str:
        """Only shipped names, because a path from a client could open any file of the device."""
        if asked is None or asked == self._default_model:
            return self._default_model
        if asked not in available_models():
            raise InputError(
                f"There is no model called {asked!r}; "
                f"installed are: {', '.join(available_models()) or 'none'}."
            )
        return asked


def _printable(name: str) -> str:
    """A file name for people: no control characters, not too long, never empty."""
    plain = "".join(letter if letter.isprintable() else "_" for letter in name)
    return plain.strip()[-MAX_NAME_CHARS:] or "unnamed"


def check_text(sample: str | None, notes: str | None) -> None:
    """Raise for texts that are too long.

    Raises:
        InputError: too long; the sentence gives the limit.
    """
    for name, text, limit in (
        ("sample name", sample, MAX_SAMPLE_CHARS),
        ("notes", notes, MAX_NOTES_CHARS),
    ):
        if text is not None and len(text) > limit:
            raise InputError(f"The {name} has {len(text)} characters; at most {limit} are allowed.")
