"""The control of `power`: the same cuts with a store that never syncs. It must lose something."""

from pathlib import Path

from attacks import power
from attacks.figures import Figures

DEFAULT_SIZE = 50


def attack(folder: Path, size: int) -> Figures:
    """`size` power cuts."""
    figures = power.attack(folder, size, sync=False)
    figures.broken = [f"{len(figures.broken)} of {size} cuts lost something"]
    figures.notes.append("the control, which must lose")
    return figures
