"""One command from a recipe to a shipped model: folds, int8 folds, the final network, its card."""

import shutil
from pathlib import Path

from convert.convert import convert_run, crossvalidate_integer
from device.models.card import MODELS_DIR
from trainer.fitting.workflow import WEIGHTS_DIR, Training
from trainer.scores.crossvalidation import crossvalidate, finish


def release(training: Training, models: Path = MODELS_DIR, weights: Path = WEIGHTS_DIR) -> Path:
    """Everything that is not finished yet, then NAME.tflite, NAME.json and NAME.keras in their places.

    Args:
        training: of the recipe; its folder keeps what was finished.
        models: receives the .tflite and its card.
        weights: receives the float .keras.

    Returns:
        Path of the .tflite.
    """
    training.log(crossvalidate(training))
    training.log(crossvalidate_integer(training))
    finish(training)
    weights.mkdir(parents=True, exist_ok=True)
    name = training.run.name
    shutil.copyfile(training.out / "final" / "model.keras", weights / f"{name}.keras")
    return convert_run(training, models)
