"""Installs a model beside the shipped ones, and removes it again."""

import re
import tempfile
from pathlib import Path

from device.errors import ConflictError, InputError, NotFoundError, StorageError
from device.machine.files import sync_folder, write_atomic
from device.models.auto import AUTO
from device.models.card import NAME_PATTERN, installed_models, load_card, shipped_models
from device.models.package import Package, encode_card
from device.models.trial import Counted, try_model


def require_free_name(name: str) -> None:
    """Raise unless a new model may be called so.

    Raises:
        InputError: a shipped model's name, or no plain name.
    """
    if name in (AUTO, *shipped_models()):
        raise InputError(
            f"{name} is the name of a model that comes with fluocount, which is never replaced; choose another name."
        )
    if re.fullmatch(NAME_PATTERN, name) is None:
        raise InputError(
            f"{name!r} cannot be the name of a model: use small letters, digits and . _ -, at most 40."
        )


def install(package: Package, folder: Path) -> Counted:
    """Try a model on this machine and put it among the installed ones.

    Args:
        package: hash and card are checked already.
        folder: of the installed models; made if missing.

    Returns:
        What it counted in the trial.

    Raises:
        InputError: the name is not free, or the network does not count here as it should.
        ConflictError: another model of that name is installed.
        StorageError: the folder cannot be written.
    """
    name = package.card.name
    require_free_name(name)
    present = folder / f"{name}.tflite"
    if present.exists() and load_card(present).sha256 != package.card.sha256:
        raise ConflictError(
            f"Another model called {name} is installed; remove it first, or train the new one under another name."
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder, prefix=".trial-") as place:
            tried = Path(place) / present.name
            _write(package, tried)
            counted = try_model(tried, package)
        _write(package, present)
    except OSError as error:
        raise StorageError(
            f"{folder} cannot be written ({error.strerror}); the model was not installed."
        ) from None
    return counted


def _write(package: Package, path: Path) -> None:
    """The card first: a model is found by its .tflite."""
    write_atomic(path.with_suffix(".json"), encode_card(package.card))
    write_atomic(path, package.tflite)


def remove(name: str, folder: Path) -> None:
    """Take an installed model away; whoever calls has made sure that nothing needs it.

    Raises:
        ConflictError: it comes with fluocount.
        NotFoundError: it is not installed.
    """
    if name in (AUTO, *shipped_models()):
        raise ConflictError(f"{name} comes with fluocount and cannot be removed.")
    if name not in installed_models():
        known = ", ".join(installed_models()) or "none"
        raise NotFoundError(f"There is no installed model {name!r}; installed are: {known}.")
    (folder / f"{name}.tflite").unlink()
    (folder / f"{name}.json").unlink(missing_ok=True)
    sync_folder(folder)
