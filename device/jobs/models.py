"""The models of an instrument: which there are, who needs them, and taking one away."""

from pathlib import Path

import msgspec

from device.config import Settings
from device.errors import ConflictError
from device.models.card import (
    INSTALLED_NAME,
    available_models,
    find_model,
    load_card,
    shipped_models,
)
from device.models.installing import remove
from device.store import Filter, Store
from device.store.records import WAITING


class ModelEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One model; `used_by`: in words, what needs it, empty where it may be removed or came with fluocount."""

    name: str
    version: str
    trained_for: str
    trained_on: str
    shipped: bool
    used_by: tuple[str, ...]


class ModelList(msgspec.Struct, frozen=True, kw_only=True):
    """All models, those that come with fluocount first."""

    models: tuple[ModelEntry, ...]


def installed_folder(settings: Settings) -> Path:
    """Folder of the installed models."""
    return settings.data_dir / INSTALLED_NAME


def list_models(store: Store, settings: Settings) -> tuple[ModelEntry, ...]:
    """Every model, the shipped ones first.

    Raises:
        ModelError: one is damaged; the sentence names it.
    """
    shipped = shipped_models()
    cards = [load_card(find_model(name)) for name in available_models()]
    return tuple(
        ModelEntry(
            name=card.name,
            version=card.version,
            trained_for=card.trained_for,
            trained_on=card.trained_on,
            shipped=card.name in shipped,
            used_by=() if card.name in shipped else uses_of(card.name, store, settings),
        )
        for card in cards
    )


def uses_of(name: str, store: Store, settings: Settings) -> tuple[str, ...]:
    """What needs a model, in words: assays, images that wait, the settings."""
    uses = [f"the assay {assay.name}" for assay in store.assays.newest() if assay.model == name]
    waiting = [
        row
        for status in WAITING
        for row in store.counts.search(Filter(status=status))
        if row.model == name
    ]
    uses += [f"{len(waiting)} image(s) that wait to be counted"] if waiting else []
    uses += ["the settings file"] if settings.counting.model == name else []
    return tuple(uses)


def remove_model(name: str, store: Store, settings: Settings) -> None:
    """Take an installed model away, unless something needs it. Results that it made stay as they are.

    Raises:
        ConflictError: it comes with fluocount, or is needed.
        NotFoundError: it is not installed.
    """
    if (uses := uses_of(name, store, settings)) and name not in shipped_models():
        raise ConflictError(
            f"{name} is used by {', '.join(uses)}; choose another model there first, then remove it."
        )
    remove(name, installed_folder(settings))
