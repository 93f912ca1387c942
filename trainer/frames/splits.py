"""Splits by frame, twins together, seeded and recorded (never by crop)."""

import numpy as np

from trainer.frames.example import Example


def fold_numbers(examples: list[Example], folds: int, seed: int) -> dict[str, int]:
    """Fold 0..folds-1 of every held-out frame by name.

    Each source is dealt out by itself, its groups from crowded to empty, each to the fold that has the fewest frames
    of it so far: every fold has every kind, and empty, sparse and crowded frames of it.
    """
    members: dict[str, list[Example]] = {}
    for example in examples:
        if example.held_out:
            members.setdefault(example.group, []).append(example)
    rng = np.random.default_rng(seed)
    tie = {group: rng.random() for group in sorted(members)}
    order = sorted(members, key=lambda group: (-max(e.count for e in members[group]), tie[group]))
    load: dict[str, np.ndarray] = {}
    fold: dict[str, int] = {}
    for group in order:
        frames = load.setdefault(members[group][0].source, np.zeros(folds))
        least = np.flatnonzero(frames == frames.min())
        fold[group] = int(rng.choice(least))
        frames[fold[group]] += len(members[group])
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
