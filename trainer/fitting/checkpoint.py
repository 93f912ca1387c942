"""What a training keeps in its folder: state, weights, optimiser, average, log and learning curve."""

import csv
from pathlib import Path

import keras
import msgspec
import numpy as np

from device.machine.files import write_atomic
from trainer.fitting.averaging import WeightAverage


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


def log_epoch(path: Path, state: State, rate: float, loss: float, watched_loss: float) -> None:
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
    """Rows of a log, empty if there is no file."""
    if not path.exists():
        return []
    with path.open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


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
