"""What a person reads and looks at: tables, and frames with found, missed and wrong cells in colours."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from PIL import Image
from skimage.segmentation import find_boundaries
from tabulate import tabulate

from device.counting.scale import to_8_bit
from trainer.frames.example import Example
from trainer.scores.evaluate import (
    FrameScore,
    Labelled,
    Scores,
    bootstrap,
    classes,
    match_example,
    pool_scores,
)

FOUND, MISSED, WRONG, TARGET = (0, 220, 90), (255, 60, 60), (70, 140, 255), (255, 255, 255)
"""Outlines of true, missed and wrong cells, and of the target of a true one."""

ROWS = ("empty", "sparse", "medium", "crowded", "artefacts", "full size")


def _row(label: str, frames: list[FrameScore], intervals: bool) -> list[str]:
    pooled = pool_scores(frames)
    f1 = f"{pooled.f1:.3f}"
    if intervals and len(frames) > 1:
        low, high = bootstrap(frames, lambda scores: scores.f1)
        f1 += f" ({low:.3f} to {high:.3f})"
    return [label, str(pooled.frames), str(pooled.cells), f1, *_numbers(pooled)]


def _numbers(pooled: Scores) -> list[str]:
    return [
        f"{pooled.precision:.3f}",
        f"{pooled.recall:.3f}",
        f"{pooled.f1_merged:.3f}",
        f"{pooled.precision_at_half:.3f}",
        f"{pooled.mae:.2f}",
        f"{pooled.medae:.1f}",
        f"{pooled.relative_error:.0%}",
        f"{pooled.bias:+.2f}",
        f"{pooled.mean_iou:.3f}",
        f"{pooled.cell_iou:.3f}",
    ]


def table(frames: list[FrameScore], artefacts: frozenset[str] = frozenset()) -> str:
    """Markdown: one row for all frames, one per class of frames and per source."""
    head = ["frames of", "frames", "cells", "F1 (95 % interval)", "precision", "recall"]
    head += [
        "F1, merged",
        "AP at IoU 0.5",
        "MAE",
        "MedAE",
        "median relative error",
        "bias",
        "mean IoU",
        "cell IoU",
    ]
    rows = [_row("all", frames, True)]
    groups = {name: [f for f in frames if name in classes(f, artefacts)] for name in ROWS}
    for source in sorted({frame.source for frame in frames}):
        groups[source] = [frame for frame in frames if frame.source == source]
    rows += [_row(name, some, False) for name, some in groups.items() if some]
    return tabulate(rows, head, tablefmt="github", disable_numparse=True)


def frame_f1(frame: FrameScore) -> float:
    """F1 of one frame; 1 if there are no cells and none were found."""
    total = frame.targets + frame.detections
    return 2 * frame.found / total if total else 1.0


def picture(example: Example, counted: Labelled, brighten: float = 0.6) -> Image.Image:
    """The frame, brightened by a gamma, with green true, red missed and blue wrong outlines."""
    image = to_8_bit(example.frame.image, example.frame.full_scale)
    image = ((image / 255.0) ** brighten * 255).astype(np.uint8).copy()
    matches = match_example(example, counted)
    paint = [
        (example.labels, [target + 1 for _, target in matches.pairs], TARGET),
        (counted.labels, [detection + 1 for detection, _ in matches.pairs], FOUND),
        (example.labels, [target + 1 for target in matches.missed], MISSED),
        (counted.labels, [detection + 1 for detection in matches.wrong], WRONG),
    ]
    for labels, chosen, colour in paint:
        some = np.where(np.isin(labels, chosen), labels, 0)
        image[find_boundaries(some, mode="inner")] = colour
    return Image.fromarray(image)


def best_median_worst(frames: list[FrameScore]) -> dict[str, FrameScore]:
    """Three frames with cells by their own F1."""
    ranked = sorted((f for f in frames if f.targets), key=lambda f: (frame_f1(f), -abs(f.error)))
    if not ranked:
        return {}
    return {"best": ranked[-1], "median": ranked[len(ranked) // 2], "worst": ranked[0]}


def write_report(
    title: str,
    frames: list[FrameScore],
    counted: Mapping[str, Labelled],
    examples: list[Example],
    folder: Path,
    artefacts: frozenset[str] = frozenset(),
) -> str:
    """report.md with the tables and best.png, median.png, worst.png; returns the text."""
    by_name = {example.name: example for example in examples}
    lines = [f"# {title}", "", table(frames, artefacts), ""]
    for rank, frame in best_median_worst(frames).items():
        if frame.name in counted:
            picture(by_name[frame.name], counted[frame.name]).save(folder / f"{rank}.png")
            lines += [
                f"![{rank}: {frame.name}]({rank}.png) {frame.name}: {frame.detections} counted, "
                f"{frame.targets} targets, F1 {frame_f1(frame):.2f}",
                "",
            ]
    columns = ["frame", "targets", "counted", "found", "F1", "cell IoU"]
    rows = [
        [f.name, f.targets, f.detections, f.found, f"{frame_f1(f):.2f}", f"{f.cell_iou:.2f}"]
        for f in sorted(frames, key=lambda frame: frame.name)
    ]
    lines += [tabulate(rows, columns, tablefmt="github"), ""]
    text = "\n".join(lines)
    (folder / "report.md").write_text(text, encoding="utf-8")
    return text
