"""The network that reads how large a cell is from a frame's scale spectrum (device.counting.diameter)."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import msgspec
import numpy as np
import numpy.typing as npt
from keras import layers, ops
from tabulate import tabulate

from device.counting.card import DiameterReader, ModelCard
from device.counting.diameter import (
    FEATURES,
    LARGEST_SIDE_PX,
    LEVELS,
    level_of,
    reader_input,
    scale_chances,
    scale_spectrum,
    window,
)
from device.counting.view import network_view
from trainer.fitting.segmenter import save_card
from trainer.fitting.workflow import Training
from trainer.frames.example import Example

ZOOMS = (0.25, 0.35, 0.5, 0.71, 1.0, 1.41, 2.0, 2.83, 4.0)
"""Every frame is seen at its own size and at some of these."""
ZOOM_SHARE = 0.3
"""Part of the other sizes that is seen."""
LARGEST_PX = 800_000
"""Enlarged frames end here."""
SMALLEST_DIAMETER_PX = 3.0
_FRAMES_PER_SOURCE = 40
_HIDDEN, _TAPS = 12, 7
_EPOCHS, _BATCH, _RATE = 150, 64, 0.004
_BLUR_LEVELS = 1.0
"""The target is a Gaussian of this width: a cell of a frame is a few levels smaller or larger than its median."""


@dataclass(frozen=True, slots=True, eq=False)
class Sized:
    """The spectrum of one frame at one size, and how large a cell is in it.

    Attributes:
        spectrum: (levels, 6) float32.
        diameter_px: median of the target objects.
        source, group: as of the example.
    """

    spectrum: npt.NDArray[np.float32]
    diameter_px: float
    source: str
    group: str


def fit_diameter(training: Training, cards: tuple[Path, ...]) -> str:
    """Fit the reader on a run's frames and write it into cards; returns the cross-validated table.

    Args:
        training: the run; its folds are left out in turn.
        cards: JSON files.
    """
    run = training.run
    examples = training.examples(run.finetune)
    spectra = sized_spectra(examples, run.frame_cell_diameter_px, run.seed)
    fold_of = {e.group: training.folds().get(e.name, 0) for e in examples}
    report = cross_validate(spectra, lambda own: fold_of[own.group], run.seed)
    frames = len({(own.source, own.group) for own in spectra})
    reader = fit_reader(spectra, f"{len(spectra)} sizes of frames of {frames} groups", run.seed)
    for path in cards:
        card = msgspec.json.decode(path.read_bytes(), type=ModelCard)
        save_card(msgspec.structs.replace(card, diameter_reader=reader), path)
    return report


def sized_spectra(examples: list[Example], frame_cell_diameter_px: float, seed: int) -> list[Sized]:
    """Spectra of some frames of each source at several sizes; frames without cells are left out."""
    rng = np.random.default_rng(seed)
    found: list[Sized] = []
    for source in sorted({example.source for example in examples}):
        own = [e for e in examples if e.source == source and e.count]
        for index in sorted(rng.permutation(len(own))[:_FRAMES_PER_SOURCE]):
            found += _at_sizes(own[index], frame_cell_diameter_px / own[index].scale, rng)
    return found


def _at_sizes(example: Example, diameter_px: float, rng: np.random.Generator) -> list[Sized]:
    frame = window(example.frame, LARGEST_SIDE_PX)
    sizes = [
        zoom
        for zoom in ZOOMS
        if (zoom == 1 or rng.random() < ZOOM_SHARE)
        and frame.height * frame.width * zoom**2 <= LARGEST_PX * (1 if zoom > 1 else 4)
        and zoom * diameter_px >= SMALLEST_DIAMETER_PX
        and zoom * min(frame.height, frame.width) >= 4 * SMALLEST_DIAMETER_PX
    ]
    return [
        Sized(
            scale_spectrum(network_view(frame, zoom, "grey")[..., 0]),
            zoom * diameter_px,
            example.source,
            example.group,
        )
        for zoom in sizes
    ]


def fit_reader(spectra: list[Sized], fitted_on: str, seed: int) -> DiameterReader:
    """Train the reader; sources weigh alike."""
    mean, sd = _moments(spectra)
    inputs = np.stack([reader_input(own.spectrum, mean, sd) for own in spectra])
    targets = np.stack([_target(own) for own in spectra])
    keras.utils.set_random_seed(seed)
    model = _build()
    model.compile(keras.optimizers.Adam(_RATE), loss="kl_divergence")
    model.fit(
        inputs,
        targets,
        sample_weight=_weights([own.source for own in spectra]),
        epochs=_EPOCHS,
        batch_size=_BATCH,
        verbose=0,
    )
    return _reader(model, mean, sd, fitted_on)


def _moments(spectra: list[Sized]) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of the features over all scales of all frames."""
    plain = [reader_input(own.spectrum, np.zeros(FEATURES), np.ones(FEATURES)) for own in spectra]
    values = np.concatenate([rows[rows[:, -1] > 0, :FEATURES] for rows in plain])
    return values.mean(axis=0).round(4), values.std(axis=0).round(4)


def _target(own: Sized) -> npt.NDArray[np.float64]:
    """(24,) how likely each scale is to be right."""
    near = np.exp(-0.5 * ((np.arange(LEVELS) - level_of(own.diameter_px)) / _BLUR_LEVELS) ** 2)
    near[len(own.spectrum) :] = 0
    return near / max(float(near.sum()), 1e-9)


def _weights(sources: list[str]) -> npt.NDArray[np.float64]:
    share = {name: 1 / sources.count(name) for name in set(sources)}
    weights = np.array([share[name] for name in sources])
    return weights / weights.mean()


def _build() -> keras.Model:
    inputs = keras.Input((LEVELS, FEATURES + 1))
    hidden = layers.Conv1D(_HIDDEN, _TAPS, padding="same", activation="relu")(inputs)
    odds = layers.Conv1D(1, _TAPS, padding="same")(hidden)
    odds = ops.squeeze(odds, -1) - 1e4 * (1 - inputs[..., FEATURES])
    return keras.Model(inputs, layers.Softmax()(odds))


def _reader(model: keras.Model, mean: np.ndarray, sd: np.ndarray, fitted_on: str) -> DiameterReader:
    first, first_bias, second, second_bias = (
        np.asarray(weight).round(4) for weight in model.get_weights()
    )
    return DiameterReader(
        mean=_plain(mean),
        sd=_plain(sd),
        first=_plain(first),
        first_bias=_plain(first_bias),
        second=_plain(second[..., 0]),
        second_bias=float(second_bias[0]),
        fitted_on=fitted_on,
    )


def _plain(values: np.ndarray) -> Any:
    """Nested tuples of short numbers."""
    if values.ndim == 1:
        return tuple(round(float(value), 4) for value in values)
    return tuple(_plain(part) for part in values)


def cross_validate(spectra: list[Sized], part_of: Callable[[Sized], int], seed: int) -> str:
    """How near readers come to frames that they have not seen, as a Markdown table; one row per source.

    Args:
        spectra: of all frames.
        part_of: frames of one part are left out together.
        seed: of the weights.
    """
    errors = np.zeros(len(spectra))
    parts = np.array([part_of(own) for own in spectra])
    for part in np.unique(parts).tolist():
        reader = fit_reader([s for s, p in zip(spectra, parts, strict=True) if p != part], "", seed)
        for index in np.flatnonzero(parts == part).tolist():
            errors[index] = _octaves_off(spectra[index], reader)
    rows = []
    for source in sorted({own.source for own in spectra}):
        own = np.abs(errors[[s.source == source for s in spectra]])
        within = [f"{np.mean(own <= np.log2(factor)):.0%}" for factor in (1.25, 1.5, 2)]
        rows.append([source, len(own), f"{2 ** float(np.median(own)) - 1:.0%}", *within])
    head = ["frames of", "sizes", "median error", "within 1.25", "within 1.5", "within 2 times"]
    return tabulate(rows, head, tablefmt="github", disable_numparse=True)


def _octaves_off(own: Sized, reader: DiameterReader) -> float:
    chances = scale_chances(own.spectrum, reader)
    return float((chances @ np.arange(len(chances)) - level_of(own.diameter_px)) / 3)
