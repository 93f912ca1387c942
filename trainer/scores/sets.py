"""How a model for many stains does on each set of frames: counts, intervals and flags of frames it has not seen."""

import msgspec
import numpy as np
from tabulate import tabulate

from device.assays.fitting import left_out
from device.counting.card import ModelCard
from trainer.confidence.evidence import gather
from trainer.confidence.unseen import unseen_frames
from trainer.fitting.workflow import Training
from trainer.scores.decision import combinations, decide
from trainer.scores.evaluate import FrameScore, pool_scores, recount, score

HEAD = (
    "frames of", "frames", "cells", "F1", "precision", "recall", "AP at IoU 0.5", "MAE", "MedAE", "bias",
    "median relative error", "interval holds", "flagged",
)  # fmt: skip


class Seen(msgspec.Struct, frozen=True):
    """One frame: its score, and whether the interval held the truth and a warning was given."""

    score: FrameScore
    is_inside: bool
    is_flagged: bool


def sets_table(training: Training) -> str:
    """Markdown: one row per set, from the out-of-fold maps that are there.

    Every frame is judged by a calibration that was fitted without its part of the frames.
    """
    card = _decided(training)
    frames, _ = unseen_frames(training)
    evidence = [gather(frame, card) for frame in frames]
    by_name = {frame.example.name: frame for frame in frames}
    rows: dict[str, list[Seen]] = {}
    for own, confidence in left_out(evidence, card, training.run.least_probabilities):
        frame = by_name[own.name]
        judged = msgspec.structs.replace(card, confidence=confidence)
        counted = recount(frame.example, frame.probability, judged)
        low, high = counted.result.interval
        seen = Seen(
            score(frame.example, counted),
            low <= frame.example.count <= high,
            bool(counted.result.flags),
        )
        rows.setdefault(own.source, []).append(seen)
    table = [_row(name, rows[name]) for name in sorted(rows)]
    return tabulate(table, HEAD, tablefmt="github", disable_numparse=True)


def _decided(training: Training) -> ModelCard:
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
        f"{np.mean([own.is_flagged for own in seen]):.0%}",
    ]
