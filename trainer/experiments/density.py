"""Counting from dots alone, by the protocol of the literature: few frames to learn from, a hundred others counted.

A repetition learns from a first part of its frames and goes on with more of them, as a person does who marks further
frames. Every trial is one small JSON file; a trial that is there is not repeated.
"""

from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
from tabulate import tabulate

from device.errors import InputError, SettingsError
from device.machine.files import place_whole, write_atomic
from trainer.fitting.density import (
    DensityCounter,
    DensityRecipe,
    density_model,
    fit_density,
    fit_line,
)
from trainer.fitting.fit import Log
from trainer.fitting.segmenter import git_commit
from trainer.frames.dots import Dotted

HEAD = (
    "trained on",
    "counted",
    "repetitions",
    "MAE",
    "of each repetition",
    "bias",
    "cells a frame",
)


def _name_chain(chain: tuple[int, ...]) -> str:
    return "-".join(str(frames) for frames in chain)


@dataclass(frozen=True, slots=True)
class Plan:
    """Which trials, and where they are kept.

    Attributes:
        frames: numbers of frames to train on.
        test: frames that are counted, in each trial.
        repetitions: random splits, by their numbers.
        weights, results: folders of the networks and of the JSON files.
    """

    frames: tuple[int, ...]
    test: int
    repetitions: tuple[int, ...]
    weights: Path
    results: Path

    def chains(self) -> list[tuple[int, ...]]:
        """For each trial the numbers of frames that it was trained on one after the other."""
        ordered = tuple(sorted(self.frames))
        return [ordered[: length + 1] for length in range(len(ordered))]

    def result(self, chain: tuple[int, ...], repetition: int) -> Path:
        """The file of a trial."""
        return self.results / f"{_name_chain(chain)}-{repetition}.json"


class Trial(msgspec.Struct, frozen=True, kw_only=True):
    """One training, and the frames that it had not seen.

    Attributes:
        recipe: how it was trained.
        frames: trained on.
        repetition: number of the random split, and seed of the training.
        cells: in each of the frames counted.
        counted: in each of them, as a fraction.
        commit: of the source tree.
    """

    recipe: DensityRecipe
    frames: int
    repetition: int
    cells: tuple[int, ...]
    counted: tuple[float, ...]
    commit: str

    @property
    def errors(self) -> np.ndarray:
        """Counted minus true in each frame, float64."""
        return np.array(self.counted) - self.cells


def split(total: int, frames: int, test: int, repetition: int) -> tuple[list[int], list[int]]:
    """Indices of the frames to train on and to count; the latter are the same however many are trained on.

    Raises:
        InputError: there are too few frames.
    """
    if frames + test > total:
        raise InputError(
            f"There are {total} frames with dots; {frames} to train on and {test} others to count are wanted."
        )
    order = np.random.default_rng(repetition).permutation(total).tolist()
    return order[:frames], order[total - test :]


def run_trials(dotted: list[Dotted], recipe: DensityRecipe, plan: Plan, log: Log) -> None:
    """Train and count what is missing.

    Args:
        dotted: all frames.
        recipe: how to train.
        plan: which trials.
        log: receives progress.

    Raises:
        InputError: there are too few frames.
        SettingsError: a file there was made with another recipe.
    """
    for folder in (plan.weights, plan.results):
        folder.mkdir(parents=True, exist_ok=True)
    for repetition in plan.repetitions:
        paths = [plan.result(chain, repetition) for chain in plan.chains()]
        for path in paths:
            _require_same(path, recipe, plan)
        if not all(path.exists() for path in paths):
            _repeat(dotted, recipe, plan, repetition, log)


def _repeat(
    dotted: list[Dotted], recipe: DensityRecipe, plan: Plan, repetition: int, log: Log
) -> None:
    """One repetition: each training goes on from the one on fewer frames."""
    before = None
    for chain in plan.chains():
        frames = chain[-1]
        chosen, others = split(len(dotted), frames, plan.test, repetition)
        weights = plan.weights / f"{_name_chain(chain)}-{repetition}-{recipe.digest}.weights.h5"
        if not weights.exists():
            log(f"{frames} frames, repetition {repetition}")
            model = fit_density([dotted[i] for i in chosen], recipe, repetition, before, log)
            with place_whole(weights) as part:
                model.save_weights(part)
        path, before = plan.result(chain, repetition), weights
        if path.exists():
            continue
        model = density_model(recipe)
        model.load_weights(weights)
        counter = fit_line(DensityCounter(model, recipe), [dotted[i] for i in chosen])
        counted = [counter(dotted[index].frame) for index in others]
        trial = Trial(
            recipe=recipe,
            frames=frames,
            repetition=repetition,
            cells=tuple(len(dotted[index].dots) for index in others),
            counted=tuple(round(one, 2) for one in counted),
            commit=git_commit(),
        )
        log(f"mean absolute error {np.abs(trial.errors).mean():.2f}")
        write_atomic(path, msgspec.json.encode(trial) + b"\n")


def _require_same(path: Path, recipe: DensityRecipe, plan: Plan) -> None:
    if not path.exists():
        return
    trial = _read(path)
    if trial.recipe != recipe or len(trial.cells) != plan.test:
        raise SettingsError(
            f"{path} was made with other settings; give other folders, or remove it."
        )


def _read(path: Path) -> Trial:
    return msgspec.json.decode(path.read_bytes(), type=Trial)


def density_table(results: Path) -> str:
    """Markdown of the trials that are there: mean and standard deviation over the repetitions."""
    trials: dict[str, list[Trial]] = {}
    for path in sorted(results.glob("*.json")):
        trials.setdefault(path.stem.rpartition("-")[0], []).append(_read(path))
    rows = []
    for chain, own in trials.items():
        mae = [float(np.abs(trial.errors).mean()) for trial in own]
        spread = f" ± {np.std(mae, ddof=1):.2f}" if len(own) > 1 else ""
        errors = np.concatenate([trial.errors for trial in own])
        cells = np.concatenate([trial.cells for trial in own])
        rows.append(
            (
                chain.replace("-", ", then "),
                str(len(own[0].cells)),
                str(len(own)),
                f"{np.mean(mae):.2f}{spread}",
                ", ".join(f"{one:.2f}" for one in mae),
                f"{errors.mean():+.2f}",
                f"{cells.mean():.0f} ± {cells.std():.0f}",
            )
        )
    return tabulate(rows, HEAD, tablefmt="github", disable_numparse=True)
