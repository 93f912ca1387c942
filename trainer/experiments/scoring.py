"""Folders of frames in, tables or masks out: evaluation, synthetic sets and candidate masks."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import tifffile
from PIL import Image

from device.counting.segmenter import Segmenter
from device.imageio import IMAGE_SUFFIXES, read_frame
from trainer.fitting.runs import FRAME_CELL_DIAMETER_PX
from trainer.frames.datasets import load_source, read_archive, synthetic_example
from trainer.frames.example import Example
from trainer.frames.sources import Kind, Scale, Source
from trainer.scores.classical import count_proposals, propose_mask
from trainer.scores.evaluate import count_example, save_scores, score
from trainer.scores.report import write_report

THREADS = 2


def open_segmenter(model: str) -> Segmenter:
    """A shipped name, a .tflite, or a run's folder (its float network).

    Raises:
        ModelError, InputError: there is no such model.
    """
    if Path(model).is_dir():
        from trainer.fitting.segmenter import KerasSegmenter
        from trainer.fitting.workflow import data_folder, load_final, open_training

        return KerasSegmenter(*load_final(open_training(Path(model), data_folder())))
    from device.models.auto import open_model

    return open_model(model, THREADS)


def evaluate_folder(
    model: str, folder: Path, kind: Kind, part: str, scale: Scale, out: Path
) -> str:
    """Score a model on annotated frames; scores.json, report.md and pictures go to `out`."""
    segmenter = open_segmenter(model)
    source = Source(kind=kind, name=folder.name, licence="", scale=scale)
    diameter = segmenter.card.frame_cell_diameter_px
    if kind in ("fnc_v1", "fnc_v2"):
        examples = list(read_archive(source, folder, part, diameter))
    else:
        examples = load_source(source, folder, diameter, seed=1)
    counted = {example.name: count_example(example, segmenter) for example in examples}
    scores = [score(example, counted[example.name]) for example in examples]
    out.mkdir(parents=True, exist_ok=True)
    save_scores(scores, out / "scores.json")
    return write_report(f"{segmenter.card.name} on {folder.name}", scores, counted, examples, out)


def synthesize_folder(frames: int, seed: int, width_px: int, out: Path) -> int:
    """Write synthetic frames with labels; returns the number of cells."""
    source = Source(
        kind="synthetic", name="synthetic", licence="Apache-2.0", seed=seed, width_px=width_px
    )
    (out / "images").mkdir(parents=True, exist_ok=True)
    (out / "labels").mkdir(exist_ok=True)
    total = 0
    for index in range(frames):
        example: Example = synthetic_example(source, index, FRAME_CELL_DIAMETER_PX)
        Image.fromarray(example.frame.image).save(out / "images" / f"{example.name}.png")
        tifffile.imwrite(
            out / "labels" / f"{example.name}.tif",
            example.labels.astype(np.uint16),
            compression="deflate",
        )
        total += example.count
    return total


def _image_files(paths: tuple[Path, ...]) -> Iterator[Path]:
    for path in paths:
        if path.is_dir():
            yield from sorted(p for p in path.iterdir() if p.suffix.lower() in IMAGE_SUFFIXES)
        else:
            yield path


def propose_masks(
    paths: tuple[Path, ...], cell_diameter_px: float | None, out: Path
) -> Iterator[tuple[Path, int]]:
    """Write OUT/masks/NAME.png (0 and 255) for each image; yields the path and the objects in it.

    Raises:
        InputError: an image cannot be read.
    """
    (out / "masks").mkdir(parents=True, exist_ok=True)
    for path in _image_files(paths):
        frame = read_frame(path)
        diameter = cell_diameter_px or FRAME_CELL_DIAMETER_PX * frame.width / 1600
        mask = propose_mask(frame, diameter)
        target = out / "masks" / f"{path.stem}.png"
        Image.fromarray(mask.astype(np.uint8) * 255).save(target)
        yield target, count_proposals(mask)
