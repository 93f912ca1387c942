"""Fitting (paper, section 4.2): Adam, falling learning rate, early stop; resumes after a kill.

One loop for every Keras backend: the step itself is Keras's own `train_on_batch`.
"""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np

from device.machine.files import place_whole
from trainer.fitting.averaging import EVERY_STEPS, WeightAverage
from trainer.fitting.checkpoint import Checkpoint, State, draw_curve, log_epoch
from trainer.fitting.losses import PixelLoss
from trainer.fitting.runs import Phase, Precision, Schedule
from trainer.fitting.sampling import Pool, Prefetch, batches, make_batch
from trainer.network.resunet import logit_model

VALIDATION_BATCHES = 24
_VALIDATION_STREAM = 7
"""Keeps the random numbers of validation apart from those of the steps, which are seeded (seed, step)."""
Log = Callable[[str], None]


def learning_rate_at(schedule: Schedule, state: State, step: int, steps: int) -> float:
    """Learning rate of step `step` of `steps`."""
    warm = min(1.0, (step + 1) / schedule.warmup_steps) if schedule.warmup_steps else 1.0
    if schedule.kind == "cosine":
        return (
            schedule.learning_rate * warm * (0.5 * (1 + math.cos(math.pi * step / steps)) + 0.002)
        )
    return state.learning_rate * warm


def after_epoch(schedule: Schedule, state: State, loss: float) -> bool:
    """Apply the plateau and early-stop rules to `state`; True if `loss` is the best so far."""
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
    """Adam, or AdamW with weight decay."""
    common = {
        "learning_rate": schedule.learning_rate,
        "global_clipnorm": schedule.clip_norm or None,
    }
    if schedule.weight_decay:
        return keras.optimizers.AdamW(weight_decay=schedule.weight_decay, **common)
    return keras.optimizers.Adam(**common)


@dataclass(frozen=True, slots=True, eq=False)
class Task:
    """What a phase trains on, and how.

    Attributes:
        pool: training frames.
        watched: validation frames; None watches the training loss.
        phase: how.
        seed: of the batches.
        jit: compile the step with XLA (always with JAX).
        precision: of the arithmetic.
    """

    pool: Pool
    watched: Pool | None
    phase: Phase
    seed: int
    jit: bool = False
    precision: Precision = "float32"


def fit(model: keras.Model, task: Task, folder: Path, log: Log = print) -> keras.Model:
    """Train `model` in place: start, continue after an interruption, or return a finished result.

    Args:
        model: ends in `logit` and `probability`.
        task: what to do.
        folder: receives model.keras, log.csv, curve.png and, while it runs, checkpoints.
        log: receives one line per epoch.
    """
    files, schedule = Checkpoint(folder), task.phase.schedule
    state = files.state() or State(learning_rate=schedule.learning_rate)
    if state.done and files.final.exists():
        model.load_weights(files.final)
        return model
    trained = _compile(model, task)
    running = _Running(model, trained, task, files, state, WeightAverage(schedule.ema))
    if state.epoch:
        files.restore(trained, state, running.average)
        log(f"resumed after epoch {state.epoch}")
    elif files.log.exists():
        files.log.unlink()
    first = state.epoch * task.phase.epoch_steps
    with Prefetch(lambda: batches(task.pool, task.phase, task.seed, first)) as prefetch:
        while not state.done:
            log(_epoch(running, prefetch))
    set_precision(trained, "float32")
    _finish(running)
    return model


def seconds_per_step(model: keras.Model, task: Task, steps: int) -> float:
    """How long a step takes on this computer; `model` is trained for these steps, so give one that nobody needs.

    Args:
        model: ends in `logit` and `probability`.
        task: what to do.
        steps: so many are timed, after one that compiles.
    """
    trained = _compile(model, task)
    with Prefetch(lambda: batches(task.pool, task.phase, task.seed, 0)) as prefetch:
        trained.train_on_batch(*prefetch.next())
        started = time.monotonic()
        for _ in range(steps):
            trained.train_on_batch(*prefetch.next())
        return (time.monotonic() - started) / steps


def _compile(model: keras.Model, task: Task) -> keras.Model:
    """The same layers up to the logits, ready to be trained."""
    trained = logit_model(model)
    set_precision(trained, task.precision)
    compiler = "auto" if keras.backend.backend() == "jax" else task.jit
    optimizer = make_optimizer(task.phase.schedule)
    trained.compile(optimizer, PixelLoss.of(task.phase.loss), jit_compile=compiler)
    return trained


def set_precision(model: keras.Model, precision: Precision) -> None:
    """How the layers calculate; their variables are float32 in either case."""
    for layer in model.layers:
        layer.dtype_policy = keras.DTypePolicy(precision)


@dataclass(frozen=True, slots=True, eq=False)
class _Running:
    """A training under way.

    Attributes:
        model: whose weights are kept.
        trained: the same layers up to the logits, compiled.
        task: what to do.
        files: where it is kept.
        state: changed by every epoch.
        average: of the weights.
    """

    model: keras.Model
    trained: keras.Model
    task: Task
    files: Checkpoint
    state: State
    average: WeightAverage


def _epoch(running: _Running, prefetch: Prefetch) -> str:
    """Steps, validation, rules, checkpoint; returns the line for the log."""
    phase, state, files = running.task.phase, running.state, running.files
    started = time.monotonic()
    loss, rate = _steps(running, prefetch)
    state.seconds += time.monotonic() - started
    state.epoch += 1
    watched_loss = loss if running.task.watched is None else _validation_loss(running)
    state.done = state.epoch >= phase.epochs
    if after_epoch(phase.schedule, state, watched_loss) and phase.schedule.kind == "plateau":
        with place_whole(files.folder / "best.keras") as part:
            running.model.save(part)
    log_epoch(files.log, state, rate, loss, watched_loss)
    files.save(running.trained, state, running.average)
    return (
        f"epoch {state.epoch}/{phase.epochs}  loss {loss:.4f}  validation {watched_loss:.4f}  "
        f"rate {rate:.2g}  {state.seconds:.0f} s"
    )


def _steps(running: _Running, prefetch: Prefetch) -> tuple[float, float]:
    """The steps of one epoch; returns their mean loss and the last learning rate."""
    phase, trained = running.task.phase, running.trained
    first, rate, losses = running.state.epoch * phase.epoch_steps, 0.0, []
    for step in range(first, first + phase.epoch_steps):
        rate = learning_rate_at(
            phase.schedule, running.state, step, phase.epochs * phase.epoch_steps
        )
        trained.optimizer.learning_rate = rate
        losses.append(float(trained.train_on_batch(*prefetch.next())))
        if phase.schedule.ema and (step + 1) % EVERY_STEPS == 0:
            running.average.update(running.model.get_weights(), step + 1)
    return float(np.mean(losses)), rate


def _validation_loss(running: _Running) -> float:
    """Mean loss over the same batches of the watched frames each time."""
    task, losses = running.task, []
    assert task.watched is not None
    for index in range(VALIDATION_BATCHES):
        rng = np.random.default_rng((task.seed, _VALIDATION_STREAM, index))
        images, truth = make_batch(task.watched, task.phase, rng)
        losses.append(float(running.trained.test_on_batch(images, truth)))
    return float(np.mean(losses))


def _finish(running: _Running) -> None:
    """Keep the averaged, else (plateau) the best, else the last weights; draw the curve; tidy up."""
    model, files, schedule = running.model, running.files, running.task.phase.schedule
    best = files.folder / "best.keras"
    if schedule.ema and running.average.values:
        model.set_weights(running.average.values)
    elif schedule.kind == "plateau" and best.exists():
        model.load_weights(best)
    with place_whole(files.final) as part:
        model.save(part)
    best.unlink(missing_ok=True)
    draw_curve(files.log, files.folder / "curve.png")
    files.clean()
