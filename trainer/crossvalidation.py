"""Cross-validation by frame, and the finished model with its threshold."""

from pathlib import Path

import msgspec
import numpy as np

from device.counting.card import ModelCard
from trainer.calibrate import fit_confidence
from trainer.confidence import unseen_frames
from trainer.datasets import Example
from trainer.evaluate import FrameScore, load_scores, pool_scores, recount, save_scores, score
from trainer.report import write_report
from trainer.segmenter import save_card
from trainer.threshold import best_threshold, draw_threshold_curve, threshold_curve
from trainer.workflow import Maps, Training


def out_of_fold_maps(training: Training, folds: list[int] | None = None) -> Maps:
    """Probability maps of all (or some folds') held-out frames by models that have not seen them."""
    maps: Maps = {}
    for fold in range(training.run.folds) if folds is None else folds:
        maps |= training.fold_maps(fold)
    return maps


def finished_folds(training: Training) -> list[int]:
    """Folds whose maps lie in the run's folder."""
    return [
        fold
        for fold in range(training.run.folds)
        if (training.out / f"fold-{fold}" / "maps.npz").exists()
    ]


def cross_fitted_thresholds(
    training: Training, card: ModelCard, maps: Maps, examples: list[Example]
) -> dict[str, float]:
    """Per frame the threshold that is best on the frames of the other folds."""
    fold_of = training.folds()
    chosen: dict[int, float] = {}
    for fold in sorted({fold_of[example.name] for example in examples}):
        others = [example for example in examples if fold_of[example.name] != fold]
        curve = threshold_curve(others or examples, maps, card, training.run.thresholds)
        chosen[fold] = best_threshold(curve)
    return {example.name: chosen[fold_of[example.name]] for example in examples}


def score_maps(training: Training, maps: Maps, folder: Path) -> list[FrameScore]:
    """Score out-of-fold maps; threshold curve, thresholds and scores go to `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    card = training.card(training.new_model())
    examples = [example for example in training.held_out_frames() if example.name in maps]
    curve = threshold_curve(examples, maps, card, training.run.thresholds)
    draw_threshold_curve(curve, best_threshold(curve), folder / "threshold.png")
    thresholds = cross_fitted_thresholds(training, card, maps, examples)
    scores = [
        score(example, recount(example, maps[example.name], card, thresholds[example.name]))
        for example in examples
    ]
    save_scores(scores, folder / "scores.json")
    table = {"best": best_threshold(curve), "per_frame": thresholds}
    (folder / "thresholds.json").write_bytes(msgspec.json.encode(table))
    return scores


def crossvalidate(training: Training, folds: list[int] | None = None) -> str:
    """Train the folds (those not finished yet), score what is there, return the report."""
    out_of_fold_maps(training, folds)
    maps = out_of_fold_maps(training, finished_folds(training))
    folder = training.out / "crossvalidation"
    return report_folds(training, score_maps(training, maps, folder), maps, folder)


def finish(training: Training) -> ModelCard:
    """The model on all frames with its card in final/.

    The threshold is the best one on out-of-fold maps where all folds are there, else on the
    training frames (paper, section 4.3).
    """
    model = training.finetuned(None)
    card = training.card(model)
    examples = training.held_out_frames() or training.examples(training.run.finetune)
    complete = len(finished_folds(training)) == training.run.folds
    maps = out_of_fold_maps(training) if complete else training.frame_maps(model, examples)
    curve = threshold_curve(examples, maps, card, training.run.thresholds)
    threshold = best_threshold(curve)
    draw_threshold_curve(curve, threshold, training.out / "final" / "threshold.png")
    metrics = _metrics(training, examples, maps, card, threshold, complete)
    card = msgspec.structs.replace(training.card(model, threshold), metrics=metrics)
    if complete:
        confidence = fit_confidence(unseen_frames(training)[0], card)
        card = msgspec.structs.replace(card, confidence=confidence)
    save_card(card, training.out / "final" / "card.json")
    return card


def _metrics(
    training: Training,
    examples: list[Example],
    maps: dict[str, np.ndarray],
    card: ModelCard,
    threshold: float,
    complete: bool,
) -> tuple:
    if complete:
        scores = load_scores(training.out / "crossvalidation" / "scores.json")
        on = f"cross-validation by frame, {training.run.folds} folds, float network"
    else:
        scores = [score(e, recount(e, maps[e.name], card, threshold)) for e in examples]
        on = "training frames, float network (not a measure of new frames)"
    return (pool_scores(scores).as_metrics(on),)


def report_folds(training: Training, scores: list[FrameScore], maps: Maps, folder: Path) -> str:
    """Tables and pictures of scored out-of-fold maps in their folder; returns the Markdown."""
    thresholds = msgspec.json.decode((folder / "thresholds.json").read_bytes())["per_frame"]
    card = training.card(training.new_model())
    examples = [example for example in training.held_out_frames() if example.name in maps]
    counted = {
        example.name: recount(example, maps[example.name], card, thresholds[example.name])
        for example in examples
    }
    title = f"{training.run.name}: cross-validation by frame, {training.run.folds} folds"
    artefacts = frozenset(training.run.finetune.oversample)
    return write_report(title, scores, counted, examples, folder, artefacts)
