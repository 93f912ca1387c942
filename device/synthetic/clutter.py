"""Bright structures that are not cells (filaments, grains, strips), and the tissue in the background."""

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw
from scipy import ndimage

from device.synthetic.settings import SyntheticSettings

Plane = npt.NDArray[np.float32]


def smooth_noise(rng: np.random.Generator, shape: tuple[int, int], grain_px: float) -> Plane:
    """(H, W) float32 noise, mean about 0, deviation about 1, with features of `grain_px`."""
    rows, columns = (max(2, round(size / grain_px)) + 1 for size in shape)
    coarse = Image.fromarray(rng.standard_normal((rows, columns), np.float32))
    return np.array(coarse.resize((shape[1], shape[0]), Image.Resampling.BICUBIC))


def walk(
    rng: np.random.Generator, start: tuple[float, float], direction: float, length_px: float
) -> Plane:
    """A wandering path of (n, 2) points x, y, one pixel apart."""
    steps = max(2, int(length_px))
    bend = np.cumsum(rng.normal(0, 0.04, steps)) + direction
    x = start[0] + np.cumsum(np.cos(bend))
    y = start[1] + np.cumsum(np.sin(bend))
    return np.stack([x, y], axis=1).astype(np.float32)


def splat(plane: Plane, points: npt.ArrayLike, light: npt.ArrayLike) -> None:
    """Add light to the nearest pixel of each point (n, 2) inside the plane."""
    column, row = np.rint(points).astype(np.intp).T
    inside = (column >= 0) & (column < plane.shape[1]) & (row >= 0) & (row < plane.shape[0])
    values = np.broadcast_to(np.asarray(light, np.float32), column.shape)[inside]
    np.add.at(plane, (row[inside], column[inside]), values)


def beads(rng: np.random.Generator, points: int, scale: float) -> Plane:
    """Brightness along a filament: varicosities 10 full-size pixels apart, fading to the end."""
    sigma = 4 * scale + 0.5
    noise = ndimage.gaussian_filter1d(rng.standard_normal(points), sigma, mode="wrap")
    wave = noise * np.sqrt(2 * np.sqrt(np.pi) * sigma)  # back to a deviation of about 1
    return np.asarray(np.exp(0.8 * wave) * np.linspace(1.2, 0.2, points), np.float32)


def thin_structures(
    rng: np.random.Generator, settings: SyntheticSettings, processes: list[Plane]
) -> Plane:
    """(H, W) float32 light of filaments, debris and processes (x, y, direction, light) of cells."""
    scale = settings.scale
    height, width = settings.height_px, settings.width_px
    plane = np.zeros((height, width), np.float32)
    for x, y, direction, light in processes:
        path = walk(rng, (x, y), direction, rng.uniform(10, 90) * scale)
        splat(plane, path, light * beads(rng, len(path), scale))
    for _ in range(settings.filaments):
        start = (rng.uniform(0, width), rng.uniform(0, height))
        path = walk(rng, start, rng.uniform(-np.pi, np.pi), rng.uniform(60, 400) * scale)
        light = settings.brightness * min(rng.lognormal(-2.2, 0.8), 1.0)
        splat(plane, path, light * beads(rng, len(path), scale))
    grains = rng.uniform((0, 0), (width, height), (settings.debris, 2))
    for first in range(0, settings.debris, 24):
        group = grains[first : first + 12]
        group[:] = group[0] + rng.normal(0, 12 * scale, group.shape)
    splat(plane, grains, 6 * scale * settings.brightness * rng.lognormal(-1.4, 0.9, len(grains)))
    sigma = max(0.45, 1.2 * scale)
    # A line one pixel wide keeps 1 / (sqrt(2 pi) sigma) of its light at the ridge.
    return np.asarray(ndimage.gaussian_filter(plane, sigma) * (2.5 * sigma))


def strip(rng: np.random.Generator, settings: SyntheticSettings) -> Plane:
    """(H, W) float32 light of one bright band of changing width that crosses part of the frame."""
    height, width = settings.height_px, settings.width_px
    start = (rng.uniform(0, width), rng.uniform(0, height))
    path = walk(rng, start, rng.uniform(-np.pi, np.pi), rng.uniform(0.1, 0.8) * width)
    picture = Image.new("L", (width, height))
    half = settings.cell_diameter_px * rng.uniform(0.15, 1.2) * beads(rng, len(path), 20)[:, None]
    along = np.gradient(path, axis=0)
    aside = half * np.stack([-along[:, 1], along[:, 0]], axis=1)
    border = np.concatenate([path + aside, (path - aside)[::-1]])
    ImageDraw.Draw(picture).polygon([tuple(point) for point in border.tolist()], fill=255)
    band = np.asarray(picture, np.float32) / 255
    band = ndimage.gaussian_filter(band, max(0.5, settings.scale * rng.uniform(1, 6)))
    texture = np.exp(rng.uniform(0, 0.7) * smooth_noise(rng, band.shape, 1 + 3 * settings.scale))
    return np.asarray(band * texture * settings.brightness * rng.uniform(0.4, 2.5), np.float32)


def tissue(rng: np.random.Generator, settings: SyntheticSettings) -> tuple[Plane, Plane]:
    """The background light and the presence of tissue, 0 beyond its edge: (H, W) float32 both."""
    shape = (settings.height_px, settings.width_px)
    light = np.exp(settings.unevenness * smooth_noise(rng, shape, max(shape) / 1.5))
    light = np.clip(light / np.median(light), 0.2, 2.0)
    light *= np.clip(1 + 0.10 * smooth_noise(rng, shape, 24 * settings.scale), 0.3, None)
    light *= np.clip(1 + 0.12 * smooth_noise(rng, shape, max(1.0, 4 * settings.scale)), 0.3, None)
    present = np.ones(shape, np.float32)
    if settings.tissue_edge:
        y, x = np.mgrid[0 : shape[0], 0 : shape[1]].astype(np.float32)
        direction = rng.uniform(-np.pi, np.pi)
        away = (x - shape[1] / 2) * np.cos(direction) + (y - shape[0] / 2) * np.sin(direction)
        away += 0.06 * shape[1] * smooth_noise(rng, shape, max(shape) / 4)
        limit = rng.uniform(0.25, 0.45) * max(shape)
        present = np.clip((limit - away) / (8 * settings.scale + 1), 0, 1)
        fringe = np.exp(-(((limit - away) / (20 * settings.scale)) ** 2)) * rng.uniform(0, 1.5)
        light *= present * (1 + fringe)
    return np.asarray(light * settings.background, np.float32), present
