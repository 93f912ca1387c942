"""Crops and their augmentation (paper, section 4.1), in numpy and fast enough for two cores.

One look-up per crop does rotation, flip, zoom and elastic deformation (Simard et al. 2003) at once,
alike for image, target and weights; brightness, colour, blur and noise touch the image alone.
"""

import math
from dataclasses import dataclass

import msgspec
import numpy as np
import numpy.typing as npt
from PIL import Image
from scipy import ndimage


class Augment(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[...augment]` of a phase. Probabilities 0 to 1; intensities in parts of full scale.

    Attributes:
        rotate, flip: any angle; mirror half of the crops.
        zoom: sizes vary by exp(+-zoom).
        stretch: sigma of the log of the ratio of height to width.
        elastic: share of crops that are deformed.
        elastic_px: largest typical displacement in pixels of the working scale.
        elastic_smooth_px: how far apart independent displacements lie.
        gamma, gain, colour: sigmas of the logs of gamma, brightness, and brightness per channel.
        offset: sigma of a coloured background, added to half of the crops.
        haze: largest brightness of a smooth uneven background, added to a third of the crops: tissue out of focus.
        noise: largest sigma of Gaussian noise, added to half of the crops.
        blur: share of crops that are blurred; blur_px: largest sigma.
        sharpen: share of crops that are sharpened.
    """

    rotate: bool = True
    flip: bool = True
    zoom: float = 0.2
    stretch: float = 0.05
    elastic: float = 0.5
    elastic_px: float = 2.0
    elastic_smooth_px: float = 16.0
    gamma: float = 0.08
    gain: float = 0.15
    colour: float = 0.04
    offset: float = 0.012
    haze: float = 0.0
    noise: float = 0.015
    blur: float = 0.4
    blur_px: float = 1.0
    sharpen: float = 0.2


HAZE_SHARE = 1 / 3
HAZE_NODES = 4
"""Independent values of the haze along a crop: a third of a crop apart, several cells."""
BACKGROUND_COLOUR = np.array([1.0, 0.6, 0.05], np.float32)
"""Uneven illumination of the yellow frames: much red, some green, hardly any blue."""


@dataclass(frozen=True, slots=True, eq=False)
class Layers:
    """A frame ready for crops.

    Attributes:
        stack: (h, w, c + 2) float32: image 0 to 255 in 3 channels or 1, target 0 to 1, extra weights.
        pixel: edge of a stack pixel in working pixels (1 unless the frame is kept larger or smaller).
        centres: (n, 2) float (y, x) of the cells in stack pixels.
    """

    stack: npt.NDArray[np.float32]
    pixel: float
    centres: npt.NDArray[np.float64]


def grid_centres(height: int, width: int, crop: float) -> npt.NDArray[np.float64]:
    """Centres (y, x) of the fewest evenly spread crops that overlap by a quarter: 12 for 512 in 1600x1200."""
    axes = []
    for size in (height, width):
        count = max(1, math.ceil((size - crop) / (0.75 * crop)) + 1) if size > crop else 1
        axes.append(np.linspace(crop / 2, size - crop / 2, count) if count > 1 else [size / 2])
    return np.array([(y, x) for y in axes[0] for x in axes[1]])


def pick_centre(
    layers: Layers, crop: float, cell_share: float, rng: np.random.Generator
) -> npt.NDArray[np.float64]:
    """A random crop centre (y, x) in stack pixels, near a cell with probability `cell_share`."""
    size = np.array(layers.stack.shape[:2], float)
    if len(layers.centres) and rng.random() < cell_share:
        return rng.choice(layers.centres) + rng.uniform(-0.4, 0.4, 2) * crop
    edge = np.minimum(0.4 * crop, 0.45 * size)
    return rng.uniform(edge, size - edge)


def _displacement(size: int, augment: Augment, rng: np.random.Generator) -> np.ndarray:
    """(2, size, size) smooth random displacement in working pixels."""
    nodes = max(4, round(size / augment.elastic_smooth_px) + 2)
    amplitude = rng.uniform(0.2, 1.0) * augment.elastic_px
    field = [ndimage.zoom(rng.normal(0, 1, (nodes, nodes)), size / nodes, order=3) for _ in "yx"]
    return amplitude * np.stack([part[:size, :size] for part in field])


def _coordinates(
    size: int, centre: np.ndarray, step: float, augment: Augment, rng: np.random.Generator
) -> np.ndarray:
    """(2, size, size) positions in stack pixels that the crop reads."""
    axis = np.arange(size) - (size - 1) / 2
    grid = np.stack(np.meshgrid(axis, axis, indexing="ij"))
    if rng.random() < augment.elastic:
        grid = grid + _displacement(size, augment, rng)
    angle = rng.uniform(0, 2 * np.pi) if augment.rotate else 0.0
    stretch = np.exp(rng.normal(0, augment.stretch))
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    matrix = (
        turn @ np.diag([stretch, 1 / stretch]) * step * np.exp(rng.uniform(-1, 1) * augment.zoom)
    )
    if augment.flip and rng.random() < 0.5:
        matrix[:, 1] *= -1
    return np.tensordot(matrix, grid, 1) + centre[:, None, None]


def _mirror(position: np.ndarray, size: int) -> np.ndarray:
    """Positions beyond the edge are reflected at the outermost pixel's centre."""
    period = max(2 * (size - 1), 1)
    position = np.abs(position) % period
    return np.where(position > size - 1, period - position, position)


def look_up(stack: np.ndarray, where: np.ndarray) -> npt.NDArray[np.float32]:
    """Bilinear values of (h, w, c) at (2, s, s) positions: (s, s, c) float32."""
    height, width = stack.shape[:2]
    y, x = _mirror(where[0], height), _mirror(where[1], width)
    top, left = np.minimum(y.astype(int), height - 2), np.minimum(x.astype(int), width - 2)
    down, right = (
        (y - top)[..., None].astype(np.float32),
        (x - left)[..., None].astype(np.float32),
    )
    flat = stack.reshape(-1, stack.shape[2])
    corner = top * width + left
    upper = flat[corner] * (1 - right) + flat[corner + 1] * right
    lower = flat[corner + width] * (1 - right) + flat[corner + width + 1] * right
    return upper * (1 - down) + lower * down


def change_image(
    image: npt.NDArray[np.float32], augment: Augment, rng: np.random.Generator
) -> npt.NDArray[np.float32]:
    """Blur or sharpen, brightness, colour, background, noise; (s, s, c) in and out, 0 to 1 in 255 steps."""
    kind = rng.random()
    if kind < augment.blur:
        sigma = rng.uniform(0.2, 1.0) * augment.blur_px
        image = ndimage.gaussian_filter(image, (sigma, sigma, 0))
    elif kind < augment.blur + augment.sharpen:
        image = image + (image - ndimage.gaussian_filter(image, (1, 1, 0))) * rng.uniform(0.2, 0.9)
    image = np.maximum(image, 0) ** np.float32(np.exp(rng.normal(0, augment.gamma)))
    tint = rng.normal(0, augment.colour, 3)[: image.shape[2]]
    image = image * np.exp(rng.normal(0, augment.gain) + tint).astype(np.float32)
    if rng.random() < 0.5:
        colour = BACKGROUND_COLOUR[: image.shape[2]]
        image = image + colour * np.float32(rng.normal(0, augment.offset))
    if augment.haze and rng.random() < HAZE_SHARE:
        image = image + rng.uniform(0, augment.haze) * _haze(image.shape[:2], rng)[..., None]
    if rng.random() < 0.5:
        level = np.float32(rng.uniform(0, augment.noise))
        image = image + level * rng.standard_normal(image.shape, np.float32)
    return np.rint(np.clip(image, 0, 1) * np.float32(255)) / np.float32(255)


def _haze(shape: tuple[int, int], rng: np.random.Generator) -> npt.NDArray[np.float32]:
    """(h, w) float32 between 0 and 1 that changes slowly: a few values, enlarged."""
    nodes = Image.fromarray(rng.random((HAZE_NODES, HAZE_NODES), np.float32))
    return np.asarray(nodes.resize(shape[::-1], Image.Resampling.BICUBIC)).clip(0, 1)


def crop(
    layers: Layers, centre: np.ndarray, size: int, augment: Augment, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """One augmented crop.

    Args:
        layers: the frame.
        centre: (y, x) in stack pixels.
        size: edge in working pixels.
        augment: what may happen to it.
        rng: decides.

    Returns:
        image (size, size, 3) float32 0 to 1; target (size, size, 1) 0 or 1; extra weights (size, size, 1).
    """
    where = _coordinates(size, centre, 1 / layers.pixel, augment, rng)
    values = look_up(layers.stack, where)
    image = change_image(values[..., :-2] / np.float32(255), augment, rng)
    image = np.broadcast_to(image, (*image.shape[:2], 3))
    return image, (values[..., -2:-1] > 0.5).astype(np.float32), values[..., -1:]
