"""Evaluation by the protocol of the paper (section 4.4) with the very code that counts on the device."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Protocol

import msgspec
import numpy as np

from device.assays.matching import Matches, centroids, match
from device.counting.card import Metrics, ModelCard
from device.counting.pipeline import count_frame, relabel
from device.counting.records import Counted, CountSettings
from device.counting.segmenter import Segmenter
from trainer.frames.example import RADIUS_PX, Example
from trainer.scores.matching import merge_within_targets, overlapping_pairs

SPARSE_CELLS, CROWDED_CELLS = 10, 20
"""Up to so many cells a frame is sparse, from so many on it is crowded."""


class FrameScore(msgspec.Struct, frozen=True, kw_only=True):
    """One frame's outcome; counts are whole numbers.

    `merged_detections`, `merged_found`: when several detections inside one target count as one.
    `overlapping`: pairs of a detection and a target whose intersection is more than half of their union.
    `cell_iou`, `background_iou`: overlap of the binary masks' two classes, 0 to 1 (1 where both masks lack the class).
    """

    name: str
    source: str
    kind: str
    width: int
    targets: int
    detections: int
    found: int
    merged_detections: int
    merged_found: int
    overlapping: int = 0
    cell_iou: float
    background_iou: float

    @property
    def mean_iou(self) -> float:
        """Mean over the two classes, as in the authors' code (tf.metrics.mean_iou of two classes)."""
        return (self.cell_iou + self.background_iou) / 2

    @property
    def error(self) -> int:
        """Detections minus targets."""
        return self.detections - self.targets


class Scores(msgspec.Struct, frozen=True, kw_only=True):
    """Pooled over frames.

    `f1_merged` counts several detections inside one target as one. `precision_at_half` is TP / (TP + FP + FN) of
    objects that overlap by more than half: the average precision at IoU 0.5 of StarDist's and Cellpose's papers.
    `relative_error` is the median over the frames with cells of the error per target, 0 and up.
    """

    frames: int
    cells: int
    f1: float
    precision: float
    recall: float
    f1_merged: float
    precision_at_half: float
    mae: float
    medae: float
    relative_error: float
    bias: float
    mean_iou: float
    cell_iou: float

    def as_metrics(self, on: str) -> Metrics:
        """For the model card."""
        return Metrics(
            on=on,
            frames=self.frames,
            cells=self.cells,
            f1=self.f1,
            precision=self.precision,
            recall=self.recall,
            mae=self.mae,
            medae=self.medae,
            mean_iou=self.mean_iou,
            cell_iou=self.cell_iou,
        )


def settings_for(
    example: Example, card: ModelCard, threshold: float | None = None
) -> CountSettings:
    """What a person would set for this frame: how large a cell is in it."""
    return CountSettings(
        cell_diameter_px=card.frame_cell_diameter_px / example.scale, threshold=threshold
    )


def count_example(example: Example, segmenter: Segmenter) -> Counted:
    """Count one annotated frame with the card's threshold."""
    return count_frame(example.frame, segmenter, settings_for(example, segmenter.card))


def recount(
    example: Example, probability: np.ndarray, card: ModelCard, threshold: float | None = None
) -> Counted:
    """Count again from a stored probability map."""
    return relabel(example.frame, probability, card, settings_for(example, card, threshold))


def radius_px(example: Example, at_full_size: float = RADIUS_PX) -> float:
    """Matching radius in the frame's pixels: the example's own, else 50 px at 1600x1200 scale."""
    return example.match_px or at_full_size / example.scale


class Labelled(Protocol):
    """Anything with a label image of detections, (height, width) int32."""

    @property
    def labels(self) -> np.ndarray:
        """0 background, 1..n detections."""
        ...


def match_example(example: Example, counted: Labelled, at_full_size: float = RADIUS_PX) -> Matches:
    """Which cells were found, missed, invented."""
    radius = radius_px(example, at_full_size)
    return match(centroids(counted.labels), centroids(example.labels), radius)


def _overlap(one: np.ndarray, other: np.ndarray) -> float:
    """Intersection over union of two boolean masks; 1 if both are empty."""
    union = int((one | other).sum())
    return int((one & other).sum()) / union if union else 1.0


def score(example: Example, counted: Labelled, at_full_size: float = RADIUS_PX) -> FrameScore:
    """One frame by the protocol, with the matching radius at 1600x1200 scale."""
    found = match_example(example, counted, at_full_size)
    detections = centroids(counted.labels)
    merged = merge_within_targets(detections, example.labels)
    merged_found = match(merged, centroids(example.labels), radius_px(example, at_full_size))
    ours, theirs = counted.labels > 0, example.labels > 0
    return FrameScore(
        name=example.name,
        source=example.source,
        kind=example.kind,
        width=example.frame.width,
        targets=example.count,
        detections=len(detections),
        found=len(found.pairs),
        merged_detections=len(merged),
        merged_found=len(merged_found.pairs),
        overlapping=overlapping_pairs(counted.labels, example.labels),
        cell_iou=_overlap(ours, theirs),
        background_iou=_overlap(~ours, ~theirs),
    )


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole else 1.0


def pool_scores(frames: Iterable[FrameScore]) -> Scores:
    """Pool over frames; with nothing to find and nothing found the ratios are 1."""
    frames = list(frames)
    found = sum(frame.found for frame in frames)
    targets = sum(frame.targets for frame in frames)
    detections = sum(frame.detections for frame in frames)
    merged = sum(frame.merged_detections for frame in frames)
    merged_found = sum(frame.merged_found for frame in frames)
    overlapping = sum(frame.overlapping for frame in frames)
    errors = np.array([frame.error for frame in frames], float)
    relative = [abs(frame.error) / frame.targets for frame in frames if frame.targets]
    return Scores(
        frames=len(frames),
        cells=targets,
        f1=_ratio(2 * found, targets + detections),
        precision=_ratio(found, detections),
        recall=_ratio(found, targets),
        f1_merged=_ratio(2 * merged_found, targets + merged),
        precision_at_half=_ratio(overlapping, targets + detections - overlapping),
        mae=float(np.abs(errors).mean()) if len(errors) else 0.0,
        medae=float(np.median(np.abs(errors))) if len(errors) else 0.0,
        relative_error=float(np.median(relative)) if relative else 0.0,
        bias=float(errors.mean()) if len(errors) else 0.0,
        mean_iou=float(np.mean([frame.mean_iou for frame in frames])) if frames else 0.0,
        cell_iou=float(np.mean([frame.cell_iou for frame in frames])) if frames else 0.0,
    )


def bootstrap(
    frames: list[FrameScore], value: Callable[[Scores], float], draws: int = 1000, seed: int = 1
) -> tuple[float, float]:
    """95 % interval of a pooled value over frames drawn with replacement."""
    rng = np.random.default_rng(seed)
    values = [
        value(pool_scores(frames[index] for index in rng.integers(len(frames), size=len(frames))))
        for _ in range(draws)
    ]
    low, high = np.percentile(values, [2.5, 97.5])
    return float(low), float(high)


def classes(frame: FrameScore, artefacts: frozenset[str]) -> list[str]:
    """The rows of the table that a frame belongs to."""
    if frame.targets == 0:
        names = ["empty"]
    elif frame.targets <= SPARSE_CELLS:
        names = ["sparse"]
    else:
        names = ["crowded"] if frame.targets >= CROWDED_CELLS else ["medium"]
    if frame.width >= 1600:
        names.append("full size")
    if frame.name in artefacts:
        names.append("artefacts")
    return names


def save_scores(frames: list[FrameScore], path: Path) -> None:
    """Per-frame scores as JSON."""
    path.write_bytes(msgspec.json.format(msgspec.json.encode(frames), indent=1) + b"\n")


def load_scores(path: Path) -> list[FrameScore]:
    """What `save_scores` wrote."""
    return msgspec.json.decode(path.read_bytes(), type=list[FrameScore])
