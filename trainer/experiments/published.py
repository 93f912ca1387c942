"""The paper's split and table from the original archive: what a laboratory that has it runs."""

from pathlib import Path

import msgspec
from tabulate import tabulate

from trainer.experiments.crossvalidation import finish
from trainer.fitting.fit import Log
from trainer.fitting.runs import Run, load_run
from trainer.fitting.segmenter import KerasSegmenter
from trainer.fitting.workflow import Training, load_final
from trainer.frames.datasets import archive_split, read_archive
from trainer.frames.example import Example
from trainer.frames.sources import Kind, Source
from trainer.scores.evaluate import Scores, count_example, pool_scores, save_scores, score
from trainer.scores.report import write_report

PUBLISHED = (
    ("preprint, version 1, 60 images, 50 px", "0.87", "0.8", "1", "0.74"),
    ("Scientific Reports, version 1, 70 images, 50 px", "0.81", "3.09", "", ""),
    ("version 2, 70 images, 40 px", "0.85", "1.7", "", ""),
)
RADIUS_PX = {"fnc_v1": 50.0, "fnc_v2": 40.0}
"""Matching radius by layout, as published."""


def layout_of(archive: Path) -> Kind:
    """Name of the layout: "fnc_v1" or "fnc_v2".

    Raises:
        InputError: neither.
    """
    archive_split(archive)
    return "fnc_v1" if (archive / "all_images").is_dir() else "fnc_v2"


def archive_source(layout: Kind) -> Source:
    """The archive itself as the only training source."""
    return Source(
        kind=layout, name="Fluorescent Neuronal Cells, yellow", licence="CC BY-SA 4.0", path="."
    )


def published_run(recipe: str, layout: Kind) -> Run:
    """The recipe with the archive's training part in place of its frames, and no pre-training."""
    run = load_run(recipe)
    source = archive_source(layout)
    finetune = msgspec.structs.replace(run.finetune, sources=(source,))
    return msgspec.structs.replace(run, finetune=finetune, pretrain=None)


def reproduce(archive: Path, recipe: str, out: Path, log: Log) -> str:
    """Train on the published training frames, score the published test frames; returns the report."""
    layout = layout_of(archive)
    training = Training(published_run(recipe, layout), out, archive, log)
    finish(training)
    model, card = load_final(training)
    test = list(read_archive(archive_source(layout), archive, "test", card.frame_cell_diameter_px))
    segmenter = KerasSegmenter(model, card)
    counted = {example.name: count_example(example, segmenter) for example in test}
    scores = [score(example, counted[example.name], RADIUS_PX[layout]) for example in test]
    save_scores(scores, out / "test-scores.json")
    report = write_report(f"{training.run.name}: published test frames", scores, counted, test, out)
    return f"{comparison(pool_scores(scores), test, layout)}\n\n{report}"


def comparison(ours: Scores, test: list[Example], layout: Kind) -> str:
    """This run beside the published figures, as Markdown."""
    label = f"this run, {layout}, {len(test)} images, {RADIUS_PX[layout]:.0f} px"
    row = (label, f"{ours.f1:.3f}", f"{ours.mae:.2f}", f"{ours.medae:.1f}", f"{ours.mean_iou:.3f}")
    head = ["", "F1", "MAE", "MedAE", "mean IoU"]
    return tabulate([row, *PUBLISHED], head, tablefmt="github", disable_numparse=True)
