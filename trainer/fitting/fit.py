"""Fitting (paper, section 4.2): Adam, falling learning rate, early stop; resumes after a kill.

One loop for every Keras backend: the step itself is Keras's own `train_on_batch`.
"""

import csv
import math
import time
from collections.abc import Callable
from pathlib import Path

import keras
import msgspec
import numpy as np

from device.machine.files import write_atomic
from trainer.fitting.averaging import EVERY_STEPS, WeightAverage
from trainer.fitting.losses import PixelLoss
from trainer.fitting.runs import Phase, Schedule
from trainer.frames.sampling import Pool, Prefetch, batches, make_batch
from trainer.network.resunet import logit_model

VALIDATION_BATCHES = 24
Log = Callable[[str], None]


class State(msgspec.Struct):
    """Where a training stands, beside its weights.

    Attributes:
        epoch: epochs finished.
        learning_rate: of the plateau rule.
        best_loss: lowest validation loss, infinity before the first.
        since_best: epochs since then.
        since_drop: epochs since the later of best loss and last drop of the learning rate.
        seconds: time spent in steps.
        done: no further epoch is wanted.
    """

    learning_rate: float
    epoch: int = 0
    best_loss: float | None = None
    since_best: int = 0
    since_drop: int = 0
    seconds: float = 0.0
    done: bool = False


def learning_rate_at(schedule: Schedule, state: State, step: int, steps: int) -> float:
    """Learning rate of step `step` of `steps`."""
    warm = min(1.0, (step + 1) / schedule.warmup_steps) if schedule.warmup_steps else 1.0
    if schedule.kind == "cosine":
        return (
            schedule.learning_rate * warm * (0.5 * (1 + math.cos(math.pi * step / steps)) + 0.002)
        )
    return state.learning_rate * warm


def after_epoch(schedule: Schedule, state: State, loss: float) -> bool:
    """Apply the plateau and early-stop rules to `state`; True where `loss` is the best so far."""
    better = state.best_loss is None or loss < state.best_loss
    if better:
        state.best_loss, state.since_best, state.since_drop = loss, 0, 0
    else:
        state.since_best += 1
        state.since_drop += 1
    if schedule.kind == "plateau" and state.since_drop >= schedule.patience:
        state.learning_rate *= schedule.factor
        state.since_drop = 0
    stop = schedule.kind == "plateau" and 0 < schedule.stop_patience <= state.since_best
    state.done = state.done or stop
    return better


def make_optimizer(schedule: Schedule) -> keras.optimizers.Optimizer:
    """Adam, or AdamW where there is weight decay."""
    common = {
        "learning_rate": schedule.learning_rate,
        "global_clipnorm": schedule.clip_norm or None,
    }
    if schedule.weight_decay:
        return keras.optimizers.AdamW(weight_decay=schedule.weight_decay, **common)
    return keras.optimizers.Adam(**common)


class Checkpoint:
    """The files of one training in its folder: weights, optimiser, state, average."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.log = folder / "log.csv"
        self.final = folder / "model.keras"

    def _slot(self, epoch: int) -> Path:
        return self.folder / f"checkpoint-{epoch % 2}"

    def save(self, trained: keras.Model, state: State, average: WeightAverage) -> None:
        """Two slots take turns; the state names the whole one, so that a kill costs one epoch at most."""
        slot = self._slot(state.epoch)
        trained.save_weights(slot.with_suffix(".weights.h5"))
        optimiser = [np.asarray(variable) for variable in trained.optimizer.variables]
        np.savez(slot.with_suffix(".optimiser.npz"), *optimiser)
        np.savez(slot.with_suffix(".average.npz"), *average.values)
        write_atomic(self.folder / "state.json", msgspec.json.encode(state))

    def state(self) -> State | None:
        """What a former call left, None at the first one."""
        path = self.folder / "state.json"
        return msgspec.json.decode(path.read_bytes(), type=State) if path.exists() else None

    def restore(self, trained: keras.Model, state: State, average: WeightAverage) -> None:
        """Put weights, optimiser and average back."""
        slot = self._slot(state.epoch)
        trained.load_weights(slot.with_suffix(".weights.h5"))
        trained.optimizer.build(trained.trainable_variables)
        saved = _arrays(slot.with_suffix(".optimiser.npz"))
        for variable, value in zip(trained.optimizer.variables, saved, strict=True):
            variable.assign(value)
        average.values = _arrays(slot.with_suffix(".average.npz"))

    def clean(self) -> None:
        """Only the final weights, the log and the state stay."""
        for path in self.folder.glob("checkpoint-*"):
            path.unlink()


def _arrays(path: Path) -> list[np.ndarray]:
    with np.load(path) as stored:
        return [stored[f"arr_{index}"] for index in range(len(stored.files))]


def fit(
    model: keras.Model,
    pool: Pool,
    watched: Pool | None,
    phase: Phase,
    folder: Path,
    *,
    seed: int,
    jit: bool = False,
    log: Log = print,
) -> keras.Model:
    """Train `model` in place, or go on where a killed call stopped, or return what a finished one made.

    Args:
        model: ends in `logit` and `probability`.
        pool: training frames.
        watched: validation frames; None watches the training loss.
        phase: how.
        folder: receives model.keras, log.csv, curve.png and, while it runs, checkpoints.
        seed: of the batches.
        jit: compile the step with XLA (always with JAX).
        log: receives one line per epoch.
    """
    files = Checkpoint(folder)
    state = files.state() or State(learning_rate=phase.schedule.learning_rate)
    if state.done and files.final.exists():
        model.load_weights(files.final)
        return model
    trained = logit_model(model)
    compiler = "auto" if keras.backend.backend() == "jax" else jit
    trained.compile(make_optimizer(phase.schedule), PixelLoss.of(phase.loss), jit_compile=compiler)
    average = WeightAverage(phase.schedule.ema)
    if state.epoch:
        files.restore(trained, state, average)
        log(f"resumed after epoch {state.epoch}")
    elif files.log.exists():
        files.log.unlink()
    first = state.epoch * phase.epoch_steps
    with Prefetch(lambda: batches(pool, phase, seed, first)) as prefetch:
        while not state.done:
            _epoch(model, trained, prefetch, watched, phase, state, average, files, seed, log)
    _finish(model, phase, average, files)
    return model


def _epoch(model, trained, prefetch, watched, phase, state, average, files, seed, log) -> None:
    """Steps, validation, rules, log line, checkpoint."""
    started, losses = time.monotonic(), []
    steps = phase.epochs * phase.epoch_steps
    for step in range(state.epoch * phase.epoch_steps, (state.epoch + 1) * phase.epoch_steps):
        rate = learning_rate_at(phase.schedule, state, step, steps)
        trained.optimizer.learning_rate = rate
        losses.append(float(trained.train_on_batch(*prefetch.next())))
        if phase.schedule.ema and (step + 1) % EVERY_STEPS == 0:
            average.update(model.get_weights(), step + 1)
    state.seconds += time.monotonic() - started
    state.epoch += 1
    loss = float(np.mean(losses))
    watched_loss = _validation_loss(trained, watched, phase, seed) if watched else loss
    state.done = state.epoch >= phase.epochs
    if after_epoch(phase.schedule, state, watched_loss) and phase.schedule.kind == "plateau":
        model.save(files.folder / "best.keras")
    _log_row(files.log, state, rate, loss, watched_loss)
    files.save(trained, state, average)
    log(
        f"epoch {state.epoch}/{phase.epochs}  loss {loss:.4f}  validation {watched_loss:.4f}  "
        f"rate {rate:.2g}  {state.seconds:.0f} s"
    )


def _validation_loss(trained: keras.Model, pool: Pool, phase: Phase, seed: int) -> float:
    """Mean loss over the same batches each time."""
    losses = []
    for index in range(VALIDATION_BATCHES):
        images, truth = make_batch(pool, phase, np.random.default_rng((seed, 7, index)))
        losses.append(float(trained.test_on_batch(images, truth)))
    return float(np.mean(losses))


def _log_row(path: Path, state: State, rate: float, loss: float, watched_loss: float) -> None:
    """Append to the CSV; rows of an epoch that is repeated after a kill replace the old ones."""
    row = {
        "epoch": state.epoch,
        "loss": round(loss, 6),
        "validation_loss": round(watched_loss, 6),
        "learning_rate": rate,
        "seconds": round(state.seconds, 1),
    }
    rows = [old for old in read_log(path) if int(old["epoch"]) < state.epoch] + [row]
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, list(row))
        writer.writeheader()
        writer.writerows(rows)


def read_log(path: Path) -> list[dict[str, str]]:
    """Rows of a log, none where there is no file."""
    if not path.exists():
        return []
    with path.open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def _finish(model: keras.Model, phase: Phase, average: WeightAverage, files: Checkpoint) -> None:
    """Keep the averaged, else (plateau) the best, else the last weights; draw the curve; tidy up."""
    best = files.folder / "best.keras"
    if phase.schedule.ema and average.values:
        model.set_weights(average.values)
    elif phase.schedule.kind == "plateau" and best.exists():
        model.load_weights(best)
    model.save(files.final)
    best.unlink(missing_ok=True)
    draw_curve(files.log, files.folder / "curve.png")
    files.clean()


def draw_curve(log: Path, picture: Path) -> None:
    """Learning curve: training and validation loss against epochs."""
    from matplotlib.figure import Figure

    rows = read_log(log)
    epochs = [int(row["epoch"]) for row in rows]
    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.add_subplot()
    axes.plot(epochs, [float(row["loss"]) for row in rows], label="training")
    axes.plot(epochs, [float(row["validation_loss"]) for row in rows], label="validation")
    axes.set(xlabel="epoch", ylabel="loss")
    axes.legend()
    figure.savefig(picture, dpi=100)
