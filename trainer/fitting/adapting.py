"""The recipe of an adaptation: a released network, fine-tuned on frames that a person corrected."""

from pathlib import Path

import msgspec
import numpy as np

from device.assays.teaching import LEAST_CELLS, LEAST_FRAMES
from device.counting.card import Joining
from device.errors import InputError
from device.export.trainingfile import Manifest, read_manifest
from device.machine.files import sha256_of
from device.models.card import find_model, load_card
from trainer.fitting.runs import Phase, Run, Schedule, load_run
from trainer.fitting.workflow import released_weights
from trainer.frames.sources import Source

EPOCHS, EPOCH_STEPS = 8, 50
MOST_FOLDS = 4
"""Each fold costs one training; with few frames more folds would leave more to train on, at more cost."""
LEARNING_RATE = 1e-3
"""A third of the released recipe's: the network knows cells already."""
THRESHOLDS = (0.35, 0.5, 0.65)
MIN_PEAKS = (0.0, 0.75)
LEAST_PROBABILITIES = (0.2, 0.3, 0.4, 0.5)
"""Tried on frames that the network had not seen; a few of each, because few frames decide."""


def adapting_run(path: Path, base: str, name: str, steps: int | None = None) -> Run:
    """The recipe that fine-tunes a released network on a training file.

    Args:
        path: the training file.
        base: name of the released model.
        name: of the new one.
        steps: of each training; None: what takes some minutes on two cores.

    Raises:
        InputError: the file is none, or holds too little to train on and to judge by.
        SettingsError: there is no recipe of the base.
    """
    manifest = read_manifest(path)
    images = _require_enough(manifest, path)
    recipe = load_run(base)
    released_weights(base)
    diameter = float(np.median([frame.cell_diameter_px for frame in manifest.frames]))
    epochs = EPOCHS if steps is None else max(1, round(steps / EPOCH_STEPS))
    return msgspec.structs.replace(
        recipe,
        name=name,
        version="1",
        precision="float32",  # bfloat16 is slow on processors that only imitate it
        frame_cell_diameter_px=round(diameter, 2),
        start=base,
        pretrain=None,
        folds=min(MOST_FOLDS, images),
        finetune=_phase(recipe, _source(path, manifest), diameter, epochs, steps),
        thresholds=THRESHOLDS,
        min_peaks=MIN_PEAKS,
        least_probabilities=LEAST_PROBABILITIES,
        # A mask does not tell which parts are one cell: what the base joins, the new network joins, too.
        joins=False,
        postprocessing=msgspec.structs.replace(recipe.postprocessing, joining=_joining(base)),
        trained_for=f"Frames like the {len(manifest.frames)} corrected ones of the assay {manifest.assay.name}.",
    )


def _joining(base: str) -> Joining | None:
    return load_card(find_model(base)).postprocessing.joining


def _require_enough(manifest: Manifest, path: Path) -> int:
    """Number of different images.

    Raises:
        InputError: too few of them, or of cells.
    """
    images = len({frame.sha256 for frame in manifest.frames})
    cells = sum(frame.cells for frame in manifest.frames)
    if images < LEAST_FRAMES or cells < LEAST_CELLS:
        raise InputError(
            f"{path.name} contains {images} different frames with {cells} cells; adapting needs at least "
            f"{LEAST_FRAMES} frames with {LEAST_CELLS} cells together. Correct more images and export them again."
        )
    return images


def _source(path: Path, manifest: Manifest) -> Source:
    """Its name tells files apart: a changed file needs another run."""
    digest = sha256_of(path)[:12]
    return Source(
        kind="corrected",
        path=str(path.resolve()),
        name=f"corrected frames of {manifest.assay.name}, file {digest}",
        licence="of the laboratory",
        held_out=True,
    )


def _phase(
    recipe: Run, source: Source, diameter_px: float, epochs: int, steps: int | None
) -> Phase:
    """The released recipe's fine-tuning on other frames: shorter, gentler, its lengths in cells as before."""
    before = recipe.finetune
    in_cells = before.loss.sigma_px / recipe.frame_cell_diameter_px
    return msgspec.structs.replace(
        before,
        sources=(source,),
        epochs=epochs,
        epoch_steps=EPOCH_STEPS if steps is None else -(-steps // epochs),
        scales=(1.0,),
        validation_share=0.0,
        oversample={},
        loss=msgspec.structs.replace(before.loss, sigma_px=round(in_cells * diameter_px, 3)),
        schedule=Schedule(
            kind="cosine",
            learning_rate=LEARNING_RATE,
            warmup_steps=20,
            weight_decay=0.01,
            clip_norm=1.0,
            ema=0.98,
        ),
    )
