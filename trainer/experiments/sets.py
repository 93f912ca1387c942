"""How a model for many stains does on each set of frames: counts, intervals and flags of frames it has not seen."""

import msgspec
import numpy as np
from tabulate import tabulate

from device.assays.fitting import FEW_CELLS, left_out
from device.counting.card import ModelCard
from device.counting.confidence.promise import holds
from device.counting.readings import warn_of_coarseness
from device.counting.records import Counted
from device.errors import SettingsError
from trainer.confidence.evidence import fit_confidence, gather
from trainer.confidence.joining import add_joining, add_joining_by_fold
from trainer.confidence.unseen import unseen_frames
from trainer.fitting.runs import Run
from trainer.fitting.segmenter import KerasSegmenter
from trainer.fitting.workflow import Training
from trainer.frames.datasets import load_source
from trainer.frames.example import Example
from trainer.frames.sources import Source
from trainer.scores.decision import combinations, decide
from trainer.scores.evaluate import FrameScore, count_example, pool_scores, recount, score

HEAD = (
    "frames of", "frames", "cells", "F1", "precision", "recall", "AP at IoU 0.5", "MAE", "MedAE", "bias",
    "median relative error", "interval holds", "median width", "flagged",
)  # fmt: skip


class Seen(msgspec.Struct, frozen=True):
    """One frame: its score, and whether the interval held the truth and a warning was given.

    `width` is the interval's, relative to the true count (of `FEW_CELLS` at least); None without an upper end.
    """

    score: FrameScore
    is_inside: bool
    width: float | None
    is_flagged: bool


def sets_table(training: Training) -> str:
    """Markdown: one row per set, from the out-of-fold maps that are there.

    Every frame is judged by a calibration that was fitted without its part of the frames.
    """
    card = _decide(training)
    frames, _ = unseen_frames(training)
    cards = add_joining_by_fold(card, frames, training.run)
    evidence = [gather(frame, cards[frame.fold]) for frame in frames]
    by_name = {frame.example.name: frame for frame in frames}
    rows: dict[str, list[Seen]] = {}
    for own, confidence in left_out(evidence, card, training.run.least_probabilities):
        frame = by_name[own.name]
        judged = msgspec.structs.replace(cards[frame.fold], confidence=confidence)
        counted = warn_of_coarseness(recount(frame.example, frame.probability, judged), judged)
        rows.setdefault(own.source, []).append(_see(frame.example, counted))
    return _table(rows)


def table_without(training: Training, path: str, frames: int | None = None) -> str:
    """Markdown: how a set is counted by a network, and judged by a calibration, that know nothing of its kind.

    Fold 0 of the recipe without the set is trained in the run's folder; its held-out frames fit the calibration.

    Args:
        training: of the whole recipe.
        path: of the source that is left out, as in the recipe.
        frames: at most so many of the set, the first by name.

    Raises:
        SettingsError: the recipe has no such source.
    """
    run, stranger = without_set(training.run, path)
    folder = training.out / f"without-{path}"
    rest = Training(run, folder, training.data, training.log)
    rest.fold_maps(0)
    model = rest.finetune(0)
    others, _ = unseen_frames(rest)
    card = add_joining(_decide(rest), others, run)
    confidence = fit_confidence(others, card, run.least_probabilities)
    segmenter = KerasSegmenter(model, msgspec.structs.replace(card, confidence=confidence))
    examples = load_source(stranger, training.data, run.frame_cell_diameter_px, run.seed)
    examples = sorted(examples, key=lambda own: own.name)[:frames]
    return _table({stranger.name: [_see(own, count_example(own, segmenter)) for own in examples]})


def without_set(run: Run, path: str) -> tuple[Run, Source]:
    """The recipe without the fine-tuning source of that path, and that source.

    Raises:
        SettingsError: it has no such source, or no other one.
    """
    sources = run.finetune.sources
    gone = [source for source in sources if source.path == path]
    if not gone or len(sources) == 1:
        known = ", ".join(source.path for source in sources)
        raise SettingsError(f"{path} cannot be left out of {run.name}; its sets are {known}.")
    rest = tuple(source for source in sources if source.path != path)
    finetune = msgspec.structs.replace(run.finetune, sources=rest)
    return msgspec.structs.replace(run, finetune=finetune), gone[0]


def _see(example: Example, counted: Counted) -> Seen:
    low, high = counted.result.interval
    width = None if high is None else (high - low) / max(example.count, FEW_CELLS)
    is_inside = holds(counted.result.interval, example.count)
    return Seen(score(example, counted), is_inside, width, bool(counted.result.flags))


def _table(rows: dict[str, list[Seen]]) -> str:
    table = [_row(name, rows[name]) for name in sorted(rows)]
    return tabulate(table, HEAD, tablefmt="github", disable_numparse=True)


def _decide(training: Training) -> ModelCard:
    """The card with the first values of the recipe's lists: recipes for many stains name one each."""
    run, card = training.run, training.card(training.new_model())
    decisions = combinations(card, run.thresholds, run.min_peaks, run.peak_distances, run.min_areas)
    return decide(card, decisions[0])


def _row(name: str, seen: list[Seen]) -> list[str]:
    pooled = pool_scores(own.score for own in seen)
    return [
        name,
        str(pooled.frames),
        str(pooled.cells),
        f"{pooled.f1:.3f}",
        f"{pooled.precision:.3f}",
        f"{pooled.recall:.3f}",
        f"{pooled.precision_at_half:.3f}",
        f"{pooled.mae:.2f}",
        f"{pooled.medae:.1f}",
        f"{pooled.bias:+.2f}",
        f"{pooled.relative_error:.0%}",
        f"{np.mean([own.is_inside for own in seen]):.0%}",
        _median_width([own.width for own in seen if own.width is not None]),
        f"{np.mean([own.is_flagged for own in seen]):.0%}",
    ]


def _median_width(widths: list[float]) -> str:
    return f"{np.median(widths):.2f}" if widths else "open"
