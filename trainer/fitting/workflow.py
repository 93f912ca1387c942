"""From a recipe to weights: pre-training once, fine-tuning per fold and on everything; all of it resumable."""

import json
import os
from pathlib import Path

import keras
import msgspec
import numpy as np

from device.counting.card import DataSource, ModelCard
from device.errors import InputError, SettingsError
from device.machine.files import place_whole, write_atomic
from trainer.fitting.fit import Log, Task, fit, seconds_per_step
from trainer.fitting.runs import Phase, Run, load_run, to_toml, trains_alike
from trainer.fitting.sampling import make_pool
from trainer.fitting.segmenter import KerasSegmenter, make_card
from trainer.frames.datasets import load_source
from trainer.frames.example import Example
from trainer.frames.splits import fold_numbers, train_and_test, validation_part
from trainer.network.baselines import build_network
from trainer.scores.evaluate import count_example

Maps = dict[str, np.ndarray]

TIMED_STEPS = 5
"""Enough to estimate the time of a training within a fifth or so."""
UNCALIBRATED_THRESHOLD = 0.5
"""Of a card before `best_decision` has chosen one."""


WEIGHTS_DIR = Path(__file__).parents[1] / "weights"
"""Float weights of the released models; in the repository, not in the wheel."""


def released_weights(name: str) -> Path:
    """The float weights of a released model.

    Raises:
        InputError: they are not there.
    """
    path = WEIGHTS_DIR / f"{name}.keras"
    if path.is_file():
        return path
    known = ", ".join(sorted(one.stem for one in WEIGHTS_DIR.glob("*.keras"))) or "none"
    raise InputError(
        f"There are no weights of a model called {name!r} in {WEIGHTS_DIR}; there are: {known}. They are in the "
        "repository of fluocount and not in its wheel: train from a checkout."
    )


def data_folder() -> Path:
    """The folder of the real images: $FLUOCOUNT_DATA, else ../shared/data."""
    return Path(os.environ.get("FLUOCOUNT_DATA", "../shared/data"))


class Training:
    """One run in one folder: OUT/run.toml, split.json, pretrain/, fold-0/ ..., final/.

    Args:
        run: the recipe.
        out: receives everything; an existing one must hold a recipe that trains alike.
        data: folder that the sources' paths are relative to.
        log: receives progress lines.

    Raises:
        SettingsError: `out` holds results of another recipe.
    """

    def __init__(self, run: Run, out: Path, data: Path, log: Log = print) -> None:
        self.run, self.out, self.data, self.log = run, out, data, log
        self._finetune_examples: list[Example] = []
        out.mkdir(parents=True, exist_ok=True)
        saved = out / "run.toml"
        if saved.exists() and not trains_alike(load_run(str(saved)), run):
            raise SettingsError(
                f"{out} contains results of another recipe; give another --out, or remove it."
            )
        write_atomic(saved, to_toml(run).encode())

    def examples(self, phase: Phase) -> list[Example]:
        """Every frame of a phase's sources; those of the fine-tuning are kept in memory."""
        if phase is self.run.finetune and self._finetune_examples:
            return self._finetune_examples
        examples = [
            example
            for source in phase.sources
            for example in load_source(
                source, self.data, self.run.frame_cell_diameter_px, self.run.seed
            )
        ]
        self._note_frames(phase, examples)
        if phase is self.run.finetune:
            self._finetune_examples = examples
        return examples

    def _note_frames(self, phase: Phase, examples: list[Example]) -> None:
        """Frames per source, so that a card does not have to read everything again."""
        noted = self._noted_frames()
        for source in phase.sources:
            noted[source.name] = sum(example.source == source.name for example in examples)
        write_atomic(self.out / "frames.json", json.dumps(noted, indent=1).encode())

    def _noted_frames(self) -> dict[str, int]:
        path = self.out / "frames.json"
        return json.loads(path.read_text()) if path.exists() else {}

    def folds(self) -> dict[str, int]:
        """Fold of every held-out frame; recorded in split.json at the first call."""
        path = self.out / "split.json"
        fold_of = fold_numbers(self.examples(self.run.finetune), self.run.folds, self.run.seed)
        if path.exists():
            recorded = json.loads(path.read_text())
            if recorded != fold_of:
                raise InputError(
                    f"The frames differ from those split in {path}; use another --out."
                )
        write_atomic(path, json.dumps(fold_of, indent=1).encode())
        return fold_of

    def new_model(self) -> keras.Model:
        """The network with random weights of the run's seed.

        Layers are named by a counter; cleared, it gives the same names, and so the same converted file, every time.
        """
        keras.utils.clear_session()
        keras.utils.set_random_seed(self.run.seed)
        return build_network(self.run.network)

    def _fit(
        self, model: keras.Model, phase: Phase, frames: list[Example], name: str
    ) -> keras.Model:
        folder = self.out / name
        if (folder / "model.keras").exists():
            model.load_weights(folder / "model.keras")
            return model
        seed = self.run.seed
        train, watched = validation_part(frames, phase.validation_share, seed)
        self.log(f"{name}: {len(train)} frames to train on, {len(watched)} to watch")
        run = self.run
        pool = make_pool(train, phase, run.working_scale, run.view)
        watch = make_pool(watched, phase, run.working_scale, run.view) if watched else None
        task = Task(pool, watch, phase, seed, run.jit, run.precision)
        return fit(model, task, folder, lambda line: self.log(f"{name}: {line}"))

    def seconds_to_finetune(self) -> float:
        """Estimated time of the fine-tunings of all folds and of the final one that are not finished."""
        names = (*(f"fold-{fold}" for fold in range(self.run.folds)), "final")
        left = sum(not (self.out / name / "model.keras").exists() for name in names)
        phase, run = self.run.finetune, self.run
        if not left:
            return 0.0
        # One frame: preparing all of them would take as long as a training's first steps.
        pool = make_pool(self.examples(phase)[:1], phase, run.working_scale, run.view)
        task = Task(pool, None, phase, run.seed, run.jit, run.precision)
        each = seconds_per_step(self.new_model(), task, TIMED_STEPS)
        return left * phase.epochs * phase.epoch_steps * each

    def pretrain(self) -> keras.Model:
        """Pre-trained if the recipe says so, else the weights of its start, else random ones.

        Raises:
            SettingsError: a pre-training source is one that is held out.
            InputError: the weights of the start are not there.
        """
        model, phase = self.new_model(), self.run.pretrain
        if self.run.start:
            model.load_weights(released_weights(self.run.start))
        if phase is None:
            return model
        if any(source.held_out for source in phase.sources):
            raise SettingsError("Pre-training must not see frames that are held out by the folds.")
        finished = (self.out / "pretrain" / "model.keras").exists()
        return self._fit(model, phase, [] if finished else self.examples(phase), "pretrain")

    def finetune(self, fold: int | None) -> keras.Model:
        """The model of one fold, or (None) of all frames."""
        name = "final" if fold is None else f"fold-{fold}"
        train, _ = train_and_test(self.examples(self.run.finetune), self.folds(), fold)
        model = self.pretrain()
        return self._fit(model, self.run.finetune, train, name)

    def test_frames(self, fold: int) -> list[Example]:
        """The frames that a fold's model has not seen."""
        return train_and_test(self.examples(self.run.finetune), self.folds(), fold)[1]

    def held_out_frames(self) -> list[Example]:
        """All frames that take turns as test frames."""
        return [example for example in self.examples(self.run.finetune) if example.held_out]

    def card(self, model: keras.Model, threshold: float = UNCALIBRATED_THRESHOLD) -> ModelCard:
        """Card of this run's network with the data it has seen."""
        return make_card(self.run, model, threshold, self.training_data())

    def training_data(self) -> tuple[DataSource, ...]:
        """Every source of both phases, once, with the frames used."""
        phases = [phase for phase in (self.run.pretrain, self.run.finetune) if phase]
        sources = {source.name: source for phase in phases for source in phase.sources}
        if not sources.keys() <= self._noted_frames().keys():
            for phase in phases:
                self.examples(phase)
        frames = self._noted_frames()
        return tuple(
            DataSource(name=name, frames=frames[name], licence=source.licence)
            for name, source in sources.items()
        )

    def fold_maps(self, fold: int) -> Maps:
        """Out-of-fold probability maps of one fold; trains what is missing, keeps maps.npz."""
        path = self.out / f"fold-{fold}" / "maps.npz"
        if not path.exists():
            model = self.finetune(fold)
            save_maps(predict(model, self.card(model), self.test_frames(fold)), path)
        return load_maps(path)

    def frame_maps(self, model: keras.Model, examples: list[Example]) -> Maps:
        """Probability maps of frames by a float model."""
        return predict(model, self.card(model), examples)


def predict(model: keras.Model, card: ModelCard, examples: list[Example]) -> Maps:
    """Probability maps (h, w) uint8 codes at the working scale by frame name."""
    segmenter = KerasSegmenter(model, card)
    return {example.name: count_example(example, segmenter).probability for example in examples}


def save_maps(maps: Maps, path: Path) -> None:
    """One compressed array per frame; whole or absent."""
    with place_whole(path) as part:
        np.savez_compressed(part, **maps)  # type: ignore[arg-type]  # no frame is called allow_pickle


def load_maps(path: Path) -> Maps:
    """What `save_maps` wrote."""
    with np.load(path) as stored:
        return {name: stored[name] for name in stored.files}


def open_training(folder: Path, data: Path, log: Log = print) -> Training:
    """A folder that a former call made.

    Raises:
        InputError: it holds no run.toml.
    """
    if not (folder / "run.toml").is_file():
        raise InputError(
            f"{folder} contains no run.toml; expected the --out folder of fluocount-train."
        )
    return Training(load_run(str(folder / "run.toml")), folder, data, log)


def load_final(training: Training) -> tuple[keras.Model, ModelCard]:
    """The finished model of a run and its card.

    Raises:
        InputError: the run has no finished model.
    """
    folder = training.out / "final"
    if not (folder / "card.json").is_file():
        raise InputError(f"{folder} contains no finished model; run fluocount-train fit first.")
    model = training.new_model()
    model.load_weights(folder / "model.keras")
    return model, msgspec.json.decode((folder / "card.json").read_bytes(), type=ModelCard)
