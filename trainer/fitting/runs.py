"""A run: everything that decides what a training does, in one TOML file that is saved beside its results."""

import tomllib
from pathlib import Path
from typing import Literal

import msgspec

from device.counting.card import Postprocessing, View
from device.errors import SettingsError
from trainer.fitting.losses import Loss
from trainer.frames import resources
from trainer.frames.augment import Augment
from trainer.frames.sources import Section, Source
from trainer.network.resunet import Network

FRAME_CELL_DIAMETER_PX = 38.0
"""Typical diameter of a yellow neuron in a 1600x1200 frame."""


Precision = Literal["float32", "mixed_bfloat16"]


class Schedule(Section, frozen=True, kw_only=True):
    """`[...schedule]`: optimiser and learning rate. The defaults are the paper's (section 4.2).

    Attributes:
        kind: "plateau" (x factor after `patience` epochs without better validation loss), "cosine"
            (to zero over all steps, after `warmup_steps`) or "constant".
        learning_rate: at the start.
        factor, patience, stop_patience: of the plateau rule; training stops early after
            `stop_patience` epochs without better validation loss (0: never).
        weight_decay: decoupled; 0 is Adam, above it AdamW.
        clip_norm: gradients are clipped to this global norm; 0 leaves them.
        ema: decay per step of the averaged weights that are kept; 0 keeps the last (or best) ones.
    """

    kind: Literal["plateau", "cosine", "constant"] = "plateau"
    learning_rate: float = 0.006
    factor: float = 0.7
    patience: int = 4
    stop_patience: int = 12
    warmup_steps: int = 0
    weight_decay: float = 0.0
    clip_norm: float = 0.0
    ema: float = 0.0


class Phase(Section, frozen=True, kw_only=True):
    """`[pretrain]` or `[finetune]`: frames in, weights out.

    Attributes:
        sources: its frames.
        epochs, epoch_steps: at most so many epochs of so many batches.
        batch: crops per step.
        crop_px: edge of a crop in pixels of the working scale.
        scales: the training goes through these parts of the working scale, each for as many steps: the same crop
            shows four times as much tissue at 0.5, so that judgement is learned there at a quarter of the cost.
        crops: "grid" (twelve overlapping crops of a 4:3 frame, section 4.1) or "random" positions.
        cell_share: part of the random crops that is centred near a cell.
        validation_share: part of the training frames that is watched, not trained on (paper: 0.3).
        crowd_bonus: a frame is drawn (1 + crowd_bonus x min(cells, 40)) times as often.
        oversample: extra factor by frame name: the table of artefacts and crowds.
        kind_weights: extra factor by the kind that index.csv names: frames with poor masks are drawn less often.
        undersample_crops: factor for square crops, of which parts are in other frames as well.
        loss, augment, schedule: see there.
    """

    sources: tuple[Source, ...]
    epochs: int = 50
    epoch_steps: int = 200
    batch: int = 8
    crop_px: int = 160
    scales: tuple[float, ...] = (1.0,)
    crops: Literal["grid", "random"] = "random"
    cell_share: float = 0.5
    validation_share: float = 0.0
    crowd_bonus: float = 0.0
    oversample: dict[str, float] = msgspec.field(default_factory=dict)
    kind_weights: dict[str, float] = msgspec.field(default_factory=dict)
    undersample_crops: float = 1.0
    loss: Loss = Loss()
    augment: Augment = Augment()
    schedule: Schedule = Schedule()


DEFAULT_POSTPROCESSING = Postprocessing(
    min_area_ratio=0.15,
    max_hole_ratio=0.25,
    peak_distance_ratio=0.35,
    smoothing_ratio=0.06,
    min_peak=0.0,
)


class Run(Section, frozen=True, kw_only=True):
    """One model from data to weights.

    Attributes:
        name, version: of the model.
        seed: of everything drawn by chance.
        network: its shape.
        view: what it sees of a frame (device.counting.view).
        cell_diameter_px: typical cell at the working scale: the resolution the network sees.
        frame_cell_diameter_px: typical cell in a 1600x1200 frame.
        margin_px: overlap of tiles; None takes the receptive field (exact).
        max_tile_px: pixels in the largest tile.
        folds: of the cross-validation.
        start: weights that pre-training or fine-tuning starts from: the name of a released model; empty: random ones.
        pretrain: shared by all folds; None starts from random weights.
        finetune: one per fold, and one on everything.
        postprocessing: section 4.3, relative to the cell diameter.
        thresholds, min_peaks, peak_distances, min_areas: tried in every combination (trainer.scores.decision); an empty
            list keeps the value of `postprocessing`.
        least_probabilities: of a counted object, tried after that (device.assays.fitting); none: the network
            alone decides.
        joins: parts of a clump that look like one cell are joined again, as a regression says that is fitted on the
            frames of the calibration (trainer.confidence.joining).
        lone_peak: least peak of an object in frames unlike those of the calibration.
        trained_for: one sentence for the card.
        jit: compile the training step with XLA (always on with JAX).
        precision: of the training's arithmetic; weights are float32 in either case. "mixed_bfloat16" is
            faster on processors with AMX.
    """

    name: str
    version: str = "1"
    seed: int = 1
    network: Network = Network()
    view: View = "colour"
    cell_diameter_px: float = FRAME_CELL_DIAMETER_PX
    frame_cell_diameter_px: float = FRAME_CELL_DIAMETER_PX
    margin_px: int | None = None
    max_tile_px: int = 700_000
    folds: int = 5
    start: str = ""
    pretrain: Phase | None = None
    finetune: Phase
    postprocessing: Postprocessing = DEFAULT_POSTPROCESSING
    thresholds: tuple[float, ...] = tuple(round(0.1 * step, 1) for step in range(2, 10))
    min_peaks: tuple[float, ...] = (0.0, 0.7, 0.8, 0.85, 0.9, 0.95)
    peak_distances: tuple[float, ...] = ()
    min_areas: tuple[float, ...] = ()
    least_probabilities: tuple[float, ...] = ()
    joins: bool = False
    lone_peak: float = 0.0
    trained_for: str = "CTb-stained (yellow) neurons in 200x fluorescence frames of mouse brain."
    jit: bool = False
    precision: Precision = "float32"

    @property
    def working_scale(self) -> float:
        """Working pixels per pixel of a full-size frame."""
        return self.cell_diameter_px / self.frame_cell_diameter_px


def trains_alike(one: Run, other: Run) -> bool:
    """Whether both lead to the same weights: they may differ in what is decided and written after the training."""
    afterwards = (
        "version", "postprocessing", "thresholds", "min_peaks", "peak_distances", "min_areas", "trained_for",
        "least_probabilities", "joins", "lone_peak", "margin_px", "max_tile_px",
    )  # fmt: skip
    same = {name: getattr(other, name) for name in afterwards}
    return msgspec.structs.replace(one, **same) == other


def load_run(name_or_path: str) -> Run:
    """A shipped recipe by name, or any TOML file by path.

    Raises:
        SettingsError: not found, not TOML, unknown key or wrong value.
    """
    try:
        if name_or_path.endswith(".toml"):
            text = Path(name_or_path).read_text(encoding="utf-8")
        else:
            text = resources.text("recipes", f"{name_or_path}.toml")
        return msgspec.convert(tomllib.loads(text), type=Run)
    except OSError:
        raise SettingsError(
            f"There is no recipe {name_or_path!r}; expected one of {', '.join(recipe_names())} or the path of a .toml."
        ) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, msgspec.ValidationError) as error:
        raise SettingsError(f"The recipe {name_or_path} cannot be used: {error}.") from None


def recipe_names() -> list[str]:
    """The shipped recipes, sorted."""
    return sorted(
        name.removesuffix(".toml") for name in resources.names("recipes") if name.endswith(".toml")
    )


def to_toml(run: Run) -> str:
    """The whole run with every default written out; what is None is left out (TOML has no such value)."""
    return msgspec.toml.encode(_without_none(msgspec.to_builtins(run))).decode()


def _without_none(value: object) -> object:
    if isinstance(value, dict):
        return {key: _without_none(item) for key, item in value.items() if item is not None}
    return [_without_none(item) for item in value] if isinstance(value, list | tuple) else value
