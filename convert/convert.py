"""Whole runs: the final network, the check against float, and the folds of a cross-validation."""

import os
from collections.abc import Sequence
from pathlib import Path

import keras

from convert.calibrate import calibration_tiles
from convert.card import card_of_tflite
from convert.check import Comparison, compare
from convert.quantize import check_integer, ends_of, quantize
from convert.stages import cut
from device.counting.card import Metrics, ModelCard
from device.machine.files import write_atomic
from device.models.interpreter import LiteRtSegmenter, load_segmenter
from trainer.experiments.crossvalidation import metrics_of, report_folds, score_maps
from trainer.fitting.segmenter import KerasSegmenter, save_card
from trainer.fitting.workflow import Maps, Training, load_final, load_maps, save_maps
from trainer.frames.example import Example
from trainer.scores.evaluate import count_example

INTEGER_FOLDER = "crossvalidation-int8"


def write_tflite(
    training: Training,
    model: keras.Model,
    card: ModelCard,
    frames: list[Example],
    path: Path,
    metrics: tuple[Metrics, ...] = (),
) -> None:
    """Quantise with tiles of `frames`, check, and write NAME.tflite and NAME.json."""
    tiles = calibration_tiles(
        frames,
        training.run.working_scale,
        card.tiling.stride_px,
        seed=training.run.seed,
        view=card.view,
    )
    whole = quantize(model, tiles)
    check_integer(whole)
    tflite, stages = cut(whole)
    converted = card_of_tflite(card, tflite, ends_of(whole), stages, metrics)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, tflite)
    save_card(converted, path.with_suffix(".json"))


def convert_run(training: Training, folder: Path) -> Path:
    """NAME.tflite and NAME.json of a finished run; returns the path of the former.

    Raises:
        InputError: the run has no finished model.
        ModelError: the converted network is not full-integer.
    """
    model, card = load_final(training)
    path = folder / f"{card.name}.tflite"
    frames = training.examples(training.run.finetune)
    metrics = metrics_of(training, INTEGER_FOLDER, "int8")
    write_tflite(training, model, card, frames, path, metrics)
    return path


def _threads() -> int:
    return os.cpu_count() or 1


def check_run(training: Training) -> Comparison:
    """Final float network against its .tflite (converted here if need be) on the target frames."""
    model, card = load_final(training)
    path = training.out / "final" / f"{card.name}.tflite"
    if not path.exists():
        convert_run(training, path.parent)
    frames = training.held_out_frames() or training.examples(training.run.finetune)
    return compare(frames, KerasSegmenter(model, card), load_segmenter(path, _threads()))


def fold_segmenter(training: Training, fold: int) -> LiteRtSegmenter:
    """The int8 network of one fold, calibrated on that fold's training frames."""
    path = training.out / f"fold-{fold}" / f"{training.run.name}.tflite"
    if not path.exists():
        model = training.finetune(fold)
        unseen = {example.name for example in training.test_frames(fold)}
        frames = [e for e in training.examples(training.run.finetune) if e.name not in unseen]
        write_tflite(training, model, training.card(model), frames, path)
    return load_segmenter(path, _threads())


def crossvalidate_integer(training: Training, folds: Sequence[int] = ()) -> str:
    """Out-of-fold maps by the int8 networks of some (default: all) folds, scored like the float ones.

    Returns:
        The report.
    """
    maps: Maps = {}
    for fold in folds or range(training.run.folds):
        path = training.out / f"fold-{fold}" / "maps-int8.npz"
        if not path.exists():
            segmenter = fold_segmenter(training, fold)
            save_maps(
                {
                    example.name: count_example(example, segmenter).probability
                    for example in training.test_frames(fold)
                },
                path,
            )
        maps |= load_maps(path)
    folder = training.out / INTEGER_FOLDER
    return report_folds(training, score_maps(training, maps, folder), maps, folder)
