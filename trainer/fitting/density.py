"""Counting where cells overlap: a released network learns, from dots alone, a density whose sum is the count.

No outline has to be found, so that cells that lie on each other count as many as they are.
"""

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path

import keras
import msgspec
import numpy as np
import numpy.typing as npt
from keras import layers, ops

from device.counting.records import Frame, as_three_channels
from device.counting.scale import brightest, to_working_scale
from trainer.fitting.checkpoint import State
from trainer.fitting.fit import Log, learning_rate_at, make_optimizer, set_precision
from trainer.fitting.runs import Precision, Schedule, load_run
from trainer.fitting.workflow import released_weights
from trainer.frames.dots import Dotted, density_map
from trainer.network.baselines import build_network
from trainer.network.resunet import Tensor, norm_act

COARSE = 4
"""Pixels that the network sees per pixel of the density, along an edge."""
UNIT = 10.0
"""The network's output is this many times the density, so that it is near 1 in a cell."""
LEAST_FOR_LINE = 5
"""Through fewer frames a line would follow their chance."""
STRIDE_PX = 8
"""The network halves its input three times."""


class DensityRecipe(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a density is learned.

    Attributes:
        base: released model whose weights the training starts from.
        cell_diameter_px: typical cell in the frames.
        working_diameter_px: typical cell in what the network sees.
        sigma_ratio: width of a dot's Gaussian in cell diameters.
        window: the density is also compared as sums over windows of this edge, in its own pixels.
        window_weight: what these sums weigh against the single pixels.
        steps, batch, crop_px: so many batches of so many crops of at most this edge (working pixels).
        further_steps: in place of `steps` where a training goes on from one on fewer frames.
        schedule: of the learning rate.
        precision: of the training's arithmetic.
    """

    base: str = "any"
    cell_diameter_px: float
    working_diameter_px: float = 11.0
    sigma_ratio: float = 0.18
    window: int = 8
    window_weight: float = 0.5
    steps: int = 400
    further_steps: int = 150
    batch: int = 8
    crop_px: int = 128
    schedule: Schedule = Schedule(
        kind="cosine",
        learning_rate=3e-3,
        warmup_steps=30,
        weight_decay=0.01,
        clip_norm=5.0,
    )
    precision: Precision = "mixed_bfloat16"

    @property
    def digest(self) -> str:
        """Tells recipes apart in file names."""
        return hashlib.sha256(msgspec.json.encode(self)).hexdigest()[:8]

    @property
    def scale(self) -> float:
        """Working pixels per pixel of a frame."""
        return self.working_diameter_px / self.cell_diameter_px


@keras.saving.register_keras_serializable(package="fluocount")
class DensityLoss(keras.losses.Loss):
    """Squared differences of the density in single pixels, and of its sums over overlapping windows.

    The sums keep small differences of one sign from adding up over a frame.
    """

    def __init__(self, window: int, weight: float, name: str = "density_loss") -> None:
        super().__init__(name=name, reduction=None)
        self.window, self.weight = window, weight

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        """Scalar loss of (batch, h, w, 1) densities."""
        apart = ops.cast(y_pred, "float32") - y_true
        # The mean times the edge: independent differences of the pixels weigh as much as they do alone.
        summed = self.window * ops.average_pool(
            apart, self.window, max(1, self.window // 2), "valid"
        )
        return ops.mean(ops.square(apart)) + self.weight * ops.mean(ops.square(summed))


def density_model(recipe: DensityRecipe) -> keras.Model:
    """The base up to a quarter of its resolution, and a new last layer; a sum needs no fine outlines.

    Returns:
        (batch, h, w, 3) in [0, 1] to (batch, h / 4, w / 4, 1), `UNIT` x cells per pixel of the output.

    Raises:
        InputError: the base has no released weights.
    """
    shape = load_run(recipe.base).network
    network = build_network(shape)
    network.load_weights(released_weights(recipe.base))
    finer = [one for one in network.layers if isinstance(one, layers.Conv2DTranspose)]
    x = norm_act(finer[1].input, shape)
    # From zero, so that a head that knows nothing does not spoil what the layers below it know.
    x = layers.Conv2D(1, 1, kernel_initializer="zeros", name="density")(x)
    return keras.Model(network.input, x, name="density")


@dataclass(frozen=True, slots=True, eq=False)
class Plane:
    """A frame as the network sees it: (h, w, 3) uint8, and its density (h / 4, w / 4) float32."""

    image: npt.NDArray[np.uint8]
    density: npt.NDArray[np.float32]


def plane_of(frame: Frame, recipe: DensityRecipe) -> npt.NDArray[np.uint8]:
    """The brightest channel at the working scale, filled up with black to whole pixels of the coarsest layer.

    The light is left as it is, unlike the view that the base was trained on: where cells lie on each other their light
    adds up, which tells how many they are.

    Returns:
        (h, w, 3) uint8; h and w are multiples of `STRIDE_PX`.
    """
    light = brightest(to_working_scale(frame, recipe.scale))
    fill = [(0, -side % STRIDE_PX) for side in light.shape]
    return as_three_channels(np.pad(light, fill))


def prepare(dotted: Dotted, recipe: DensityRecipe) -> Plane:
    """A frame at the working scale."""
    image = plane_of(dotted.frame, recipe)
    sigma = recipe.sigma_ratio * recipe.working_diameter_px
    density = density_map(dotted.dots, image.shape[:2], recipe.scale, sigma)
    rows, columns = (side // COARSE for side in density.shape)
    return Plane(image, density.reshape(rows, COARSE, columns, COARSE).sum(axis=(1, 3)))


def make_batch(
    planes: list[Plane], recipe: DensityRecipe, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Crops in random orientations: images (b, s, s, 3) in [0, 1], `UNIT` x density (b, s / 4, s / 4, 1)."""
    images: list[np.ndarray] = []
    densities: list[np.ndarray] = []
    smallest = COARSE * min(min(plane.density.shape) for plane in planes)
    edge = min(recipe.crop_px, smallest)
    for index in rng.integers(len(planes), size=recipe.batch):
        plane = planes[index]
        places = [rng.integers(0, side - edge // COARSE + 1) for side in plane.density.shape]
        turn, mirrored = int(rng.integers(4)), rng.random() < 0.5
        for whole, size, kept in ((plane.image, COARSE, images), (plane.density, 1, densities)):
            top, left = (int(place) * size for place in places)
            part = whole[top : top + edge * size // COARSE, left : left + edge * size // COARSE]
            turned = np.rot90(part, turn)
            kept.append(turned[:, ::-1] if mirrored else turned)
    return np.stack(images).astype(np.float32) / 255, np.stack(densities)[..., None] * np.float32(
        UNIT
    )


def fit_density(
    frames: list[Dotted], recipe: DensityRecipe, seed: int, start: Path | None, log: Log
) -> keras.Model:
    """Train on all frames.

    Args:
        frames: at least one, none smaller than a window.
        recipe: how.
        seed: of everything drawn by chance.
        start: weights of a training on fewer frames, to go on from; None: the base's.
        log: receives a line every hundred steps.
    """
    keras.utils.clear_session()
    keras.utils.set_random_seed(seed)
    model, schedule = density_model(recipe), recipe.schedule
    if start is not None:
        model.load_weights(start)
    steps = recipe.steps if start is None else recipe.further_steps
    set_precision(model, recipe.precision)
    # Its output is summed over thousands of pixels: bfloat16 would round it.
    model.get_layer("density").dtype_policy = keras.DTypePolicy("float32")
    model.compile(make_optimizer(schedule), DensityLoss(recipe.window, recipe.window_weight))
    planes = [prepare(frame, recipe) for frame in frames]
    state, losses = State(schedule.learning_rate), []
    for step in range(steps):
        batch = make_batch(planes, recipe, np.random.default_rng((seed, len(frames), step)))
        model.optimizer.learning_rate = learning_rate_at(schedule, state, step, steps)
        losses.append(float(model.train_on_batch(*batch)))
        if (step + 1) % 100 == 0:
            log(f"step {step + 1} of {steps}  loss {np.mean(losses[-100:]):.4f}")
    set_precision(model, "float32")
    return model


@dataclass(frozen=True, slots=True, eq=False)
class DensityCounter:
    """Counts frames by a density.

    Attributes:
        model: see `density_model`.
        recipe: how it was trained.
        line: slope and offset from the sum of a density to a count.
    """

    model: keras.Model
    recipe: DensityRecipe
    line: tuple[float, float] = (1.0, 0.0)

    def __call__(self, frame: Frame) -> float:
        """The number of a frame's cells, as a fraction."""
        slope, offset = self.line
        return slope * self.total(frame) + offset

    def total(self, frame: Frame) -> float:
        """The sum of the density."""
        image = plane_of(frame, self.recipe).astype(np.float32) / 255
        density = np.asarray(self.model.predict_on_batch(image[None]))
        return float(density.sum(dtype=np.float64)) / UNIT


def fit_line(counter: DensityCounter, frames: list[Dotted]) -> DensityCounter:
    """The same counter with the line that brings the sums of frames with dots nearest to their cells.

    A difference too small to be seen in any pixel adds up over a frame.
    """
    totals = np.array([counter.total(one.frame) for one in frames])
    cells = np.array([len(one.dots) for one in frames])
    if len(frames) < LEAST_FOR_LINE or np.ptp(totals) == 0:
        return counter
    slope, offset = np.polyfit(totals, cells, 1)
    return replace(counter, line=(float(slope), float(offset)))
