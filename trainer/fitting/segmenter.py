"""The float Keras network behind the device's Segmenter protocol, and its card."""

import hashlib
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import keras
import msgspec
import numpy as np

from device.counting.card import (
    DataSource,
    ModelCard,
    Normalisation,
    Tiling,
)
from device.counting.records import PROBABILITY_STEPS, ProbabilityMap
from trainer.fitting.neutral import neutral_confidence
from trainer.fitting.runs import Run
from trainer.network.receptive import gmac_per_frame, reach

EXACT_ENDS = Normalisation(
    input_scale=1 / 255, input_zero_point=-128, output_scale=1 / 256, output_zero_point=-128
)
"""What conversion aims at: uint8 samples and probability codes pass without rounding."""


def to_codes(probability: np.ndarray) -> ProbabilityMap:
    """Probabilities 0 to 1 as the uint8 codes an int8 network would emit."""
    return np.clip(np.rint(probability * PROBABILITY_STEPS), 0, 255).astype(np.uint8)


class KerasSegmenter:
    """A float network that counts through the same pipeline as the .tflite."""

    def __init__(self, model: keras.Model, card: ModelCard) -> None:
        self.card = card
        self._model = model

    def __call__(self, tile: np.ndarray) -> ProbabilityMap:
        """Segment one (h, w, 3) uint8 tile to (h, w) uint8 codes."""
        batch = tile[None].astype(np.float32) / 255
        return to_codes(np.asarray(self._model.predict_on_batch(batch))[0, ..., 0])


def git_commit() -> str:
    """Short hash of the source tree's commit, "unknown" outside a repository."""
    command = ["git", "rev-parse", "--short=12", "HEAD"]
    here = Path(__file__).parent
    try:
        done = subprocess.run(command, cwd=here, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return "unknown"
    return done.stdout.strip() if done.returncode == 0 else "unknown"


def weights_digest(model: keras.Model) -> str:
    """sha256 of all weights, independent of the file."""
    digest = hashlib.sha256()
    for weight in model.get_weights():
        digest.update(np.ascontiguousarray(weight).tobytes())
    return digest.hexdigest()


def tiling_of(run: Run, model: keras.Model) -> Tiling:
    """Stride and receptive field from the layers, margin and tile size from the run."""
    seen = reach(model)
    margin = seen.most_px if run.margin_px is None else run.margin_px
    return Tiling(
        stride_px=seen.stride_px,
        receptive_field_px=seen.most_px,
        margin_px=-(-margin // seen.stride_px) * seen.stride_px,
        max_tile_px=run.max_tile_px,
    )


def describe(run: Run) -> str:
    """The architecture in one line."""
    network = run.network
    return (
        f"{network.kind}, widths {'-'.join(map(str, network.widths))}, bottleneck "
        f"{len(network.bottleneck_dilations)} x {network.bottleneck_filters} filters of "
        f"{network.bottleneck_kernel}x{network.bottleneck_kernel}, {network.activation}"
    )


def make_card(
    run: Run,
    model: keras.Model,
    threshold: float,
    training_data: tuple[DataSource, ...] = (),
) -> ModelCard:
    """Card of a float network; conversion replaces the hash, evaluation adds metrics and confidence."""
    return ModelCard(
        name=run.name,
        version=run.version,
        architecture=describe(run),
        view=run.view,
        diameter_reader=None,
        sha256=weights_digest(model),
        tiling=tiling_of(run, model),
        normalisation=EXACT_ENDS,
        cell_diameter_px=run.cell_diameter_px,
        frame_cell_diameter_px=run.frame_cell_diameter_px,
        threshold=threshold,
        postprocessing=run.postprocessing,
        confidence=neutral_confidence(threshold, run.lone_peak),
        metrics=(),
        training_data=training_data,
        trained_for=run.trained_for,
        gmac_per_frame=round(gmac_per_frame(model, run.working_scale), 3),
        git_commit=git_commit(),
        trained_on=datetime.now(UTC).date().isoformat(),
    )


def save_card(card: ModelCard, path: Path) -> None:
    """Write the card as indented JSON."""
    path.write_bytes(msgspec.json.format(msgspec.json.encode(card), indent=2) + b"\n")
