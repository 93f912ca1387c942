"""The cut-off with the best F1 (paper, section 4.3), and the picture that shows why."""

from pathlib import Path

import numpy as np

from device.counting.card import ModelCard
from trainer.datasets import Example
from trainer.evaluate import Scores, pool_scores, recount, score

Curve = list[tuple[float, Scores]]


def threshold_curve(
    examples: list[Example],
    maps: dict[str, np.ndarray],
    card: ModelCard,
    thresholds: tuple[float, ...],
) -> Curve:
    """Scores at each cut-off, from stored probability maps by frame name."""
    return [
        (
            threshold,
            pool_scores(
                score(example, recount(example, maps[example.name], card, threshold))
                for example in examples
            ),
        )
        for threshold in thresholds
    ]


def best_threshold(curve: Curve) -> float:
    """Middle of the cut-offs whose F1 is within 0.002 of the best: a plateau's edge is luck."""
    best = max(scores.f1 for _, scores in curve)
    good = [threshold for threshold, scores in curve if scores.f1 >= best - 0.002]
    return good[len(good) // 2]


def draw_threshold_curve(curve: Curve, chosen: float, picture: Path) -> None:
    """F1, precision and recall against the cut-off."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.add_subplot()
    cuts = [threshold for threshold, _ in curve]
    for name in ("f1", "precision", "recall"):
        axes.plot(cuts, [getattr(scores, name) for _, scores in curve], label=name)
    axes.axvline(chosen, color="grey", linestyle=":", label=f"chosen {chosen:.2f}")
    axes.set(xlabel="threshold", ylim=(0, 1))
    axes.legend()
    figure.savefig(picture, dpi=100)
