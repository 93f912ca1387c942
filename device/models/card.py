"""Finds the models on the disk and checks each against its card."""

from pathlib import Path

import msgspec

from device.counting.card import ModelCard
from device.counting.records import DECODE_ERRORS
from device.errors import ModelError
from device.machine.files import sha256_of

MODELS_DIR = Path(__file__).parent
INSTALLED_NAME = "models"
"""Folder of the installed models, in the data folder."""
NAME_PATTERN = r"[a-z0-9][a-z0-9._-]{0,39}"
"""Names of installed models: they stand in file names, tables and command lines."""
DEFAULT_MODEL = "fast"


_installed: list[Path] = []
"""The folder of installed models, once somebody has said where it is."""


def use_installed(data_dir: Path) -> Path:
    """Find the models that were installed in a data folder by name too; returns their folder."""
    _installed[:] = [data_dir / INSTALLED_NAME]
    return _installed[0]


def shipped_models() -> list[str]:
    """Names of the models that come with fluocount, sorted."""
    return _names(MODELS_DIR)


def installed_models() -> list[str]:
    """Names of the models that were installed, sorted."""
    return [name for folder in _installed for name in _names(folder)]


def available_models() -> list[str]:
    """Names of all models: the shipped ones, then the installed ones."""
    shipped = shipped_models()
    return [*shipped, *(name for name in installed_models() if name not in shipped)]


def _names(folder: Path) -> list[str]:
    return sorted(path.stem for path in folder.glob("*.tflite"))


def find_model(name_or_path: str) -> Path:
    """Path of the .tflite that a name or a path means.

    Raises:
        ModelError: there is no model of that name and no such file.
    """
    path = Path(name_or_path)
    if path.suffix == ".tflite":
        if path.is_file():
            return path
        raise ModelError(
            f"There is no model file {path}; give the path of a .tflite file with its .json card."
        )
    if name_or_path in available_models():
        folders = (MODELS_DIR, *_installed)
        return next(
            found for folder in folders if (found := folder / f"{name_or_path}.tflite").is_file()
        )
    raise ModelError(
        f"There is no model called {name_or_path!r}; installed are: {', '.join(available_models()) or 'none'}. "
        "You can also give the path of a .tflite file."
    )


def load_card(model_path: Path) -> ModelCard:
    """Read and check the card beside a .tflite, its hash included.

    Raises:
        ModelError: card or model missing, card damaged or incomplete, or hash differs.
    """
    card_path = model_path.with_suffix(".json")
    try:
        card = msgspec.json.decode(card_path.read_bytes(), type=ModelCard)
    except FileNotFoundError:
        raise ModelError(
            f"The model {model_path} has no card; put {card_path.name} beside it."
        ) from None
    except DECODE_ERRORS as error:
        raise ModelError(
            f"The model card {card_path} is damaged ({error}); restore it from the release."
        ) from None
    digest = sha256_of(model_path)
    if digest != card.sha256:
        raise ModelError(
            f"The model {model_path} does not match its card "
            f"(sha256 {digest[:12]}..., card says {card.sha256[:12]}...); restore both from the same release."
        )
    return card
