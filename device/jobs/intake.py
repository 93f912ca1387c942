"""Accepts images: every image to be counted passes the same checks here."""

import hashlib
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import msgspec
from msgspec.structs import replace

from device.counting.assay import DEFAULT, Objective, adapt_card
from device.counting.card import ModelCard
from device.counting.records import CountSettings, with_assay, with_pixel_size
from device.counting.settings import resolve
from device.errors import InputError, ModelError
from device.imageio.header import Header
from device.jobs.segmenters import Segmenters
from device.models.auto import model_names
from device.models.estimate import reading_mb, require_memory, without_unknown_size
from device.sandbox import open_image
from device.store import CountRow, NewCount, Store
from device.store.counts import require_same
from device.store.records import Needs, Origin

MAX_SAMPLE_CHARS = 200
MAX_NOTES_CHARS = 10_000
MAX_NAME_CHARS = 200


class CountOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What the sender may say about an image.

    Attributes:
        sample, notes: free text.
        model: name of a shipped model, None for the assay's.
        settings: for this count; where they have an assay already, it is the one.
        assay: name of a stored assay, None for the default.
        objective: name of one in the list; None: as the settings, the file or the assay say.
        once_key, version_of, owner: see NewCount.
    """

    sample: str = ""
    notes: str = ""
    model: str | None = None
    settings: CountSettings = CountSettings()
    assay: str | None = None
    objective: str | None = None
    once_key: str | None = None
    version_of: str | None = None
    owner: str = ""


DEFAULT_OPTIONS = CountOptions()
_HANDED_ON = ("sample", "notes", "once_key", "version_of", "owner")


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
        options: CountOptions = DEFAULT_OPTIONS,
        capture: dict[str, Any] | None = None,
    ) -> CountRow:
        """Check an image file and put it on the queue.

        Args:
            data: the file's bytes.
            image: its name, for people.
            origin: its source.
            options: what the sender chose.
            capture: real settings of the camera.

        Raises:
            InputError: not an image, outside the limits, or a setting outside its range.
            ModelError: the model is missing or damaged.
            ConflictError: the key was used for another image or other settings.
            BusyError, QueueFullError, StorageError: nothing was accepted.
        """
        known = self._store.counts.find_once(options.once_key)
        if known is not None:
            return self._find_accepted(known, data, options)
        model, settings = self.settle(options)
        new = NewCount(
            data=data,
            image=_printable(image),
            origin=origin,
            model=model,
            settings=settings,
            capture=capture,
            **{name: getattr(options, name) for name in _HANDED_ON},
        )
        return self._store.counts.accept(replace(new, needs=self._check(new)))

    def _find_accepted(self, known: CountRow, data: bytes, options: CountOptions) -> CountRow:
        """A second try means assay and objective as they were at the first."""
        settings = self._settings(options, known.settings)
        return require_same(known, hashlib.sha256(data).hexdigest(), settings)

    def settle(self, options: CountOptions) -> tuple[str, CountSettings]:
        """The model and the settings that the options lead to, with the newest version of the assay.

        Raises:
            InputError: there is no such model.
            NotFoundError: there is no such assay or objective.
        """
        settings = self._settings(options, CountSettings())
        named = None if settings.assay is None else settings.assay.model
        return self._model(options.model or named), settings

    def card(self, model: str) -> ModelCard:
        """The card of a model.

        Raises:
            ModelError: missing or damaged.
        """
        return self._segmenters.card(model)

    def require_model(self, name: str) -> None:
        """Raise unless images may be counted with this model.

        Raises:
            InputError: there is none of that name.
            ModelError: it is damaged.
        """
        self.card(self._model(name))

    def require_usable(self, options: CountOptions) -> None:
        """Raise before anything starts where no image could be accepted with these options.

        Raises:
            InputError, NotFoundError, ModelError: there is no such model, assay or objective, or a setting is outside
                its range.
        """
        model, settings = self.settle(options)
        resolve(without_unknown_size(settings), adapt_card(self.card(model), settings.assay))

    def _settings(self, options: CountOptions, known: CountSettings) -> CountSettings:
        """The settings under the assay and with the objective that were asked for; those of `known` if so named."""
        settings = options.settings
        if options.objective is not None:
            settings = replace(settings, objective=self._objective(options.objective, known))
        if settings.assay is not None:
            return with_assay(settings, settings.assay)
        name = options.assay or DEFAULT
        if known.assay is not None and known.assay.name == name:
            return with_assay(settings, known.assay)
        assays = self._store.assays
        assay = assays.find(name) if options.assay is None else assays.get(name)
        return with_assay(settings, assay)

    def _objective(self, name: str, known: CountSettings) -> Objective:
        held = known.objective
        return held if held is not None and held.name == name else self._store.objectives.get(name)

    def _check(self, new: NewCount) -> Needs | None:
        """Check the image; returns its estimated memory and time."""
        card = adapt_card(self._segmenters.card(new.model), new.settings.assay)
        check_text(new.sample, new.notes)
        # An upload can be sent again; a capture has cost the sample light, and a watched file waits by itself.
        waits = new.origin == "upload"
        with open_image(new.data, new.image, new.settings.reading, request=waits) as image:
            header = image.header()
            needs = self._needs(header, new, card)
            with image.reserve(reading_mb(header)):
                pixel_size_um = with_pixel_size(image.frame(), new.settings).pixel_size_um
        resolve(new.settings, card, pixel_size_um)
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
        if asked not in model_names():
            raise InputError(
                f"There is no model called {asked!r}; installed are: {', '.join(model_names()) or 'none'}."
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
