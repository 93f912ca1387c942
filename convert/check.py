"""Does the integer network count like the float one? The same frames through the same pipeline."""

import msgspec
import numpy as np
from tabulate import tabulate

from device.counting.records import PROBABILITY_STEPS
from device.counting.segmenter import Segmenter
from trainer.frames.example import Example
from trainer.scores.evaluate import FrameScore, Scores, count_example, pool_scores, score

GOAL_F1_APART = 0.005
GOAL_SHARE_WITHIN_ONE = 0.95


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """Float against integer over the same frames.

    Attributes:
        float_scores, integer_scores: pooled.
        count_differences: integer minus float, one per frame.
        largest_difference: of a probability anywhere, 0 to 1.
        names: of the frames.
    """

    float_scores: Scores
    integer_scores: Scores
    count_differences: tuple[int, ...]
    largest_difference: float
    names: tuple[str, ...]

    @property
    def within_one(self) -> float:
        """Share of the frames whose counts are at most 1 apart."""
        return (
            float(np.mean(np.abs(self.count_differences) <= 1)) if self.count_differences else 1.0
        )

    @property
    def f1_apart(self) -> float:
        """Absolute difference of the F1 scores."""
        return abs(self.float_scores.f1 - self.integer_scores.f1)


def compare(examples: list[Example], reference: Segmenter, integer: Segmenter) -> Comparison:
    """Count every frame with both networks."""
    ours: list[FrameScore] = []
    theirs: list[FrameScore] = []
    differences, largest = [], 0
    for example in examples:
        by_float, by_integer = count_example(example, reference), count_example(example, integer)
        ours.append(score(example, by_integer))
        theirs.append(score(example, by_float))
        differences.append(by_integer.result.count - by_float.result.count)
        apart = np.abs(by_integer.probability.astype(int) - by_float.probability.astype(int))
        largest = max(largest, int(apart.max(initial=0)))
    return Comparison(
        float_scores=pool_scores(theirs),
        integer_scores=pool_scores(ours),
        count_differences=tuple(differences),
        largest_difference=largest / PROBABILITY_STEPS,
        names=tuple(example.name for example in examples),
    )


def as_table(comparison: Comparison) -> str:
    """Markdown for people, with the goals."""
    rows = [
        [
            name,
            f"{scores.f1:.4f}",
            f"{scores.precision:.4f}",
            f"{scores.recall:.4f}",
            f"{scores.mae:.2f}",
        ]
        for name, scores in (
            ("float", comparison.float_scores),
            ("int8", comparison.integer_scores),
        )
    ]
    table = tabulate(
        rows, ["network", "F1", "precision", "recall", "MAE"], "github", disable_numparse=True
    )
    return (
        f"{table}\n\n{len(comparison.names)} frames; F1 {comparison.f1_apart:.4f} apart (goal {GOAL_F1_APART}); "
        f"counts at most 1 apart on {comparison.within_one:.0%} (goal {GOAL_SHARE_WITHIN_ONE:.0%}); "
        f"largest difference of a probability {comparison.largest_difference:.3f}"
    )
