"""One command from a recipe to a shipped model: folds, int8 folds, the final network, its card."""

import shutil
from collections.abc import Sequence
from pathlib import Path

import msgspec

from convert.convert import convert_run, crossvalidate_integer
from device.counting.card import ModelCard
from device.models.card import MODELS_DIR
from trainer.experiments.crossvalidation import crossvalidate, finish
from trainer.fitting.diameter import fit_diameter
from trainer.fitting.segmenter import save_card
from trainer.fitting.workflow import WEIGHTS_DIR, Training


def release(
    training: Training,
    folds: Sequence[int] = (),
    models: Path = MODELS_DIR,
    weights: Path = WEIGHTS_DIR,
) -> Path:
    """Everything that is not finished yet, then NAME.tflite, NAME.json and NAME.keras in their places.

    Args:
        training: of the recipe; its folder keeps what was finished.
        folds: only these are trained and judge the network, as int8 alone; none: all, as float too.
        models: receives the .tflite and its card.
        weights: receives the float .keras.

    Returns:
        Path of the .tflite.
    """
    if not folds:
        training.log(crossvalidate(training))
    training.log(crossvalidate_integer(training, folds))
    finish(training)
    weights.mkdir(parents=True, exist_ok=True)
    name = training.run.name
    shutil.copyfile(training.out / "final" / "model.keras", weights / f"{name}.keras")
    card = models / f"{name}.json"
    replaced = _read(card) if card.is_file() else None
    path = convert_run(training, models)
    if replaced is not None and replaced.diameter_reader is not None:
        reader = replaced.diameter_reader
        save_card(msgspec.structs.replace(_read(card), diameter_reader=reader), card)
    elif training.run.view == "grey":
        training.log(fit_diameter(training, (card,)))
    return path


def _read(card: Path) -> ModelCard:
    return msgspec.json.decode(card.read_bytes(), type=ModelCard)
