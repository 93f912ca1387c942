"""Annotated frames of a folder as a training file, as if a person had corrected them on the device."""

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from device.counting.assay import Assay
from device.errors import InputError
from device.export.trainingfile import CorrectedFrame, correct_frame, pack_training
from device.machine.files import write_atomic
from trainer.frames.datasets import load_source
from trainer.frames.example import Example
from trainer.frames.objects import median_diameter
from trainer.frames.sources import Kind, Source

SEED = 1
"""Of the choice of frames: the same folder gives the same file."""


def pack_folders(folders: list[tuple[Path, Kind]], most: int, out: Path) -> tuple[int, int]:
    """Write a training file; frames without a cell are left out, because they do not tell how large a cell is.

    Args:
        folders: annotated frames and their layouts.
        most: so many frames at most, drawn with a fixed seed.
        out: the file.

    Returns:
        Frames and cells in it.

    Raises:
        InputError: a folder cannot be read, or no frame has a cell.
    """
    examples = [
        one for folder, kind in folders for one in load_source(_source(kind), folder, 1.0, SEED)
    ]
    examples = [one for one in examples if one.count]
    name = " and ".join(folder.name for folder, _ in folders)
    if not examples:
        raise InputError(f"No frame in {name} has a cell; expected outlines or masks of cells.")
    order = np.random.default_rng(SEED).permutation(len(examples))[:most]
    chosen = [examples[index] for index in sorted(order)]
    write_atomic(out, b"".join(_pack_chosen(name, chosen)))
    return len(chosen), sum(example.count for example in chosen)


def _source(kind: Kind) -> Source:
    return Source(kind=kind, name="annotated", licence="", scale="diameter")


def _pack_chosen(name: str, examples: list[Example]) -> Iterator[bytes]:
    return pack_training(
        Assay(name=_assay_name(name)), (_as_corrected(example) for example in examples)
    )


def _assay_name(text: str) -> str:
    """The folder's name, as far as an assay may have it."""
    return re.sub(r"[^A-Za-z0-9 ._+-]", "-", text).lstrip(" ._+-")[:60] or "annotated"


def _as_corrected(example: Example) -> CorrectedFrame:
    """Nothing was counted before, and every cell has an outline."""
    diameter_px = median_diameter(example.labels)
    return correct_frame(example.frame, example.labels, cell_diameter_px=diameter_px, counted=0)
