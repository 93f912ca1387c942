"""Splits by frame, twins together, seeded and recorded (never by crop)."""

import numpy as np

from trainer.frames.datasets import Example


def fold_numbers(examples: list[Example], folds: int, seed: int) -> dict[str, int]:
    """Fold 0..folds-1 of every held-out frame by name.

    Groups are sorted by their cells and dealt out in rounds, so that every fold has empty, sparse
    and crowded frames.
    """
    cells: dict[str, int] = {}
    for example in examples:
        if example.held_out:
            cells[example.group] = max(cells.get(example.group, 0), example.count)
    rng = np.random.default_rng(seed)
    tie = {group: rng.random() for group in sorted(cells)}
    groups = sorted(cells, key=lambda group: (cells[group], tie[group]))
    fold: dict[str, int] = {}
    for start in range(0, len(groups), folds):
        for group, number in zip(
            groups[start : start + folds], rng.permutation(folds), strict=False
        ):
            fold[group] = int(number)
    return {example.name: fold[example.group] for example in examples if example.held_out}


def train_and_test(
    examples: list[Example], fold_of: dict[str, int], fold: int | None
) -> tuple[list[Example], list[Example]]:
    """Training and test frames of one fold; fold None trains on everything and tests nothing."""
    test = [
        example for example in examples if fold is not None and fold_of.get(example.name) == fold
    ]
    names = {id(example) for example in test}
    return [example for example in examples if id(example) not in names], test


def validation_part(
    examples: list[Example], share: float, seed: int
) -> tuple[list[Example], list[Example]]:
    """Frames to train on and frames to watch (paper: 70/30), groups together, sorted as they came."""
    if share <= 0:
        return examples, []
    groups = sorted({example.group for example in examples})
    shuffled = np.random.default_rng(seed).permutation(groups)
    watched = set(shuffled[: max(1, round(share * len(groups)))].tolist())
    train = [example for example in examples if example.group not in watched]
    return train, [example for example in examples if example.group in watched]
