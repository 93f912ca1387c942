"""From annotated frames to an endless stream of augmented batches, the same for the same seed."""

import queue
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import msgspec
import numpy as np
import numpy.typing as npt
from PIL import Image
from scipy import ndimage

from device.assays.matching import centroids
from device.counting.card import View
from device.counting.scale import nearest_indices, to_8_bit
from device.counting.view import network_view
from trainer.fitting.losses import Loss
from trainer.fitting.runs import Phase
from trainer.frames.augment import Augment, Layers, crop, grid_centres, pick_centre
from trainer.frames.example import Example
from trainer.frames.objects import find_small, mask_objects, part_labels, part_touching
from trainer.frames.weightmaps import crowding_map, pixel_weights

FINEST_PX = 0.75
"""Largest resolution of stored frames (working pixels), so that zooming in still shows detail."""

Batch = tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]
"""Images (b, s, s, 3) in [0, 1]; target and weight (b, s, s, 2)."""


def to_yellow(
    image: npt.NDArray[np.uint8], gain: float = 1.0, offset: float = 0.0
) -> npt.NDArray[np.uint8]:
    """A single-stain image, times gain plus offset, in the colours of the yellow frames (measured on those)."""
    grey = image.max(axis=2).astype(np.float32) * gain + offset
    yellow = np.stack([grey, 0.75 * grey - 3, 0.075 * grey - 1], axis=-1)
    return np.clip(yellow, 0, 255).astype(np.uint8)


def _recolour(image: npt.NDArray[np.uint8], sha256: str) -> npt.NDArray[np.uint8]:
    """Yellow, with a brightness and a background of the frame's own, the same at every call."""
    rng = np.random.default_rng(int(sha256[:12], 16))
    return to_yellow(image, rng.uniform(0.6, 1.2), rng.uniform(0, 30))


def _shrink(image: np.ndarray, factor: float) -> np.ndarray:
    """Area-averaged to 1 / factor of the size; unchanged if factor <= 1."""
    if factor <= 1:
        return image
    height, width = (max(2, round(side / factor)) for side in image.shape[:2])
    return np.asarray(Image.fromarray(image).resize((width, height), Image.Resampling.BOX))


def prepare(example: Example, working_scale: float, loss: Loss, view: View = "colour") -> Layers:
    """A frame's image, target and weights at the resolution training needs.

    Args:
        example: the frame.
        working_scale: working pixels per full-size pixel.
        loss: sigma of the crowding map in full-size pixels, and what the maps weigh.
        view: what the network sees of the frame.
    """
    if view == "grey":
        image, labels, pixel = _grey_layers(example, example.scale * working_scale)
        target, gap = part_labels(labels)
    else:
        image, target, pixel = _colour_layers(example, example.scale * working_scale)
        labels = mask_objects(target)
        gap = np.zeros_like(target)
    crowding = crowding_map(labels, loss.sigma_px * working_scale / pixel)
    extra = loss.map_amplitude * crowding + loss.gap_weight * gap
    if loss.small_weight:
        extra = extra + loss.small_weight * find_small(labels)
    stack = np.dstack([image, target, extra]).astype(np.float32)
    return Layers(stack, pixel, centroids(labels))


def _colour_layers(example: Example, pixel: float) -> tuple[np.ndarray, np.ndarray, float]:
    """Samples (h, w, 3), target (h, w) bool, and the edge of a stack pixel in working pixels."""
    factor = FINEST_PX / pixel
    image = to_8_bit(example.frame.image, example.frame.full_scale)
    image = _shrink(_recolour(image, example.frame.sha256) if example.recolour else image, factor)
    mask = _shrink(part_touching(example.labels).astype(np.uint8) * 255, factor) > 127
    return image, mask, pixel * example.frame.width / image.shape[1]


def _grey_layers(example: Example, pixel: float) -> tuple[np.ndarray, np.ndarray, float]:
    """Grey plane (h, w), objects (h, w) int32, and the edge of a stack pixel in working pixels.

    Coarse frames are enlarged, so that the background between two touching objects is as wide in all of them.
    """
    image = network_view(example.frame, pixel / FINEST_PX, "grey")[..., 0]
    labels = _resized_labels(example.labels, image.shape)
    present = np.unique(labels[labels > 0])
    return image, np.searchsorted(np.r_[0, present], labels).astype(np.int32), FINEST_PX


def _resized_labels(labels: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Objects at another size, with smooth outlines: (h, w) int32."""
    rows, columns = (
        nearest_indices(side, own) for side, own in zip(shape, labels.shape, strict=True)
    )
    nearest = labels[rows][:, columns]
    size = shape[1], shape[0]
    mask = Image.fromarray((labels > 0).astype(np.uint8) * 255).resize(
        size, Image.Resampling.BILINEAR
    )
    grown = np.where(nearest == 0, ndimage.maximum_filter(nearest, 3), nearest)
    return np.where(np.asarray(mask) > 127, grown, 0)


@dataclass(frozen=True, slots=True, eq=False)
class Pool:
    """Prepared frames and how often each is drawn (sums to 1)."""

    layers: list[Layers]
    chance: npt.NDArray[np.float64]


def draw_chances(examples: list[Example], phase: Phase) -> npt.NDArray[np.float64]:
    """Probability of drawing each frame: its source's share, crowds and artefacts more often."""
    weight = np.array([_frame_weight(example, phase) for example in examples])
    share_of = {source.name: source.share for source in phase.sources}
    groups = np.array([e.source if share_of.get(e.source) is not None else "" for e in examples])
    for group in np.unique(groups):
        share = share_of[group] if group else 1.0
        weight[groups == group] *= share / weight[groups == group].sum()
    return weight / weight.sum()


def _frame_weight(example: Example, phase: Phase) -> float:
    weight = 1 + phase.crowd_bonus * min(example.count, 40)
    weight *= phase.oversample.get(example.name, 1.0) * phase.kind_weights.get(example.kind, 1.0)
    return weight * (phase.undersample_crops if example.kind.startswith("crop") else 1.0)


def make_pool(
    examples: list[Example], phase: Phase, working_scale: float, view: View = "colour"
) -> Pool:
    """Prepare every frame (minutes for hundreds of full-size ones)."""
    layers = [prepare(example, working_scale, phase.loss, view) for example in examples]
    return Pool(layers, draw_chances(examples, phase))


def _centre(layers: Layers, phase: Phase, rng: np.random.Generator) -> np.ndarray:
    crop_size = phase.crop_px / layers.pixel
    if phase.crops == "grid":
        return rng.choice(grid_centres(layers.stack.shape[0], layers.stack.shape[1], crop_size))
    return pick_centre(layers, crop_size, phase.cell_share, rng)


def scale_at(phase: Phase, step: int) -> float:
    """Part of the working scale at which step `step` of a phase trains."""
    steps = phase.epochs * phase.epoch_steps
    return phase.scales[min(step * len(phase.scales) // steps, len(phase.scales) - 1)]


def _scale(augment: Augment, scale: float) -> Augment:
    """The same lengths in the tissue at another scale."""
    lengths = ("elastic_px", "elastic_smooth_px", "blur_px")
    return msgspec.structs.replace(augment, **{n: getattr(augment, n) * scale for n in lengths})


def make_batch(pool: Pool, phase: Phase, rng: np.random.Generator, scale: float = 1.0) -> Batch:
    """One batch of augmented crops at `scale` times the working scale."""
    images, truths = [], []
    augment = _scale(phase.augment, scale)
    for index in rng.choice(len(pool.layers), phase.batch, p=pool.chance):
        layers = replace(pool.layers[index], pixel=pool.layers[index].pixel * scale)
        image, target, crowding = crop(
            layers, _centre(layers, phase, rng), phase.crop_px, augment, rng
        )
        weight = pixel_weights(
            target,
            crowding,
            phase.loss.cell_weight,
            phase.loss.background_weight,
        )
        images.append(image)
        truths.append(np.concatenate([target, weight], axis=-1))
    return np.stack(images), np.stack(truths)


def batches(pool: Pool, phase: Phase, seed: int, first_step: int) -> Iterator[Batch]:
    """Batch after batch from step `first_step` on; each depends on (seed, step) only, so a resumed
    training sees what an uninterrupted one would have seen.
    """
    step = first_step
    while True:
        rng = np.random.default_rng((seed, step))
        yield make_batch(pool, phase, rng, scale_at(phase, step))
        step += 1


class Prefetch:
    """Runs an iterator in a thread, a few items ahead; use as a context manager."""

    def __init__(self, make: Callable[[], Iterator[Batch]], ahead: int = 6) -> None:
        self._queue: queue.Queue[Batch | Exception] = queue.Queue(ahead)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._work, args=(make,), daemon=True)

    def __enter__(self) -> "Prefetch":
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._stop.set()
        self._thread.join()

    def _put(self, item: Batch | Exception) -> None:
        while not self._stop.is_set():
            try:
                self._queue.put(item, timeout=0.2)
                return
            except queue.Full:
                continue

    def _work(self, make: Callable[[], Iterator[Batch]]) -> None:
        try:
            for item in make():
                self._put(item)
                if self._stop.is_set():
                    return
        except Exception as error:  # noqa: BLE001 - handed over and raised by next()
            self._put(error)

    def next(self) -> Batch:
        """The next item; an error of the thread is raised here."""
        item = self._queue.get()
        if isinstance(item, Exception):
            raise item
        return item
