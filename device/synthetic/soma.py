"""One neuron's soma: its outline and the stain inside it."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage

Plane = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]

_ANGLES = np.linspace(-np.pi, np.pi, 97, dtype=np.float32)


@dataclass(frozen=True, slots=True, eq=False)
class Soma:
    """A square patch around one cell.

    Attributes:
        stain: (n, n) float32, mean 1 inside the mask, blurred beyond it.
        mask: (n, n) bool, the cell as a person would outline it.
        tips: (k, 3) offsets x, y from the centre and direction in rad of the k processes.
    """

    stain: Plane
    mask: Mask
    tips: Plane


def draw_soma(
    rng: np.random.Generator, diameter_px: float, elongation: float, blur_px: float
) -> Soma:
    """Draw a soma whose mask has the area of a disc of `diameter_px`.

    Args:
        rng: source of all randomness.
        diameter_px: diameter of the disc of equal area.
        elongation: long axis over short axis, at least 1.
        blur_px: Gaussian sigma of the stain's lack of focus.
    """
    radius, tips = _outline(rng, diameter_px, elongation)
    half = int(np.ceil(float(radius.max()) + 3 * blur_px + 2))
    y, x = np.mgrid[-half : half + 1, -half : half + 1].astype(np.float32)
    turn = rng.uniform(-np.pi, np.pi)
    angle = np.arctan2(y, x) - turn
    angle = (angle + np.pi) % (2 * np.pi) - np.pi
    reach = np.hypot(x, y) / np.interp(angle, _ANGLES, radius)
    mask = reach < 1
    stain = _stain(rng, reach, x, y, diameter_px)
    stain = ndimage.gaussian_filter(stain, blur_px) if blur_px > 0 else stain
    stain /= max(float(stain[mask].mean()), 1e-6)
    return Soma(stain.astype(np.float32), mask, _turn(tips, turn))


def _outline(
    rng: np.random.Generator, diameter_px: float, elongation: float
) -> tuple[Plane, Plane]:
    """Radius (97,) in pixels over the angles -pi..pi; the tips (k, 2) as radius and angle."""
    stretch = np.sqrt(elongation)
    radius = 1 / np.hypot(np.cos(_ANGLES) / stretch, np.sin(_ANGLES) * stretch)
    for order in range(2, 6):
        wave = np.cos(order * _ANGLES + rng.uniform(0, 2 * np.pi))
        radius *= 1 + rng.normal(0, 0.14 / order) * wave
    directions = []
    for _ in range(rng.choice(4, p=[0.35, 0.35, 0.2, 0.1])):
        # Processes leave mostly along the long axis.
        direction = rng.choice([0, np.pi]) + rng.normal(0, 0.5)
        away = (_ANGLES - direction + np.pi) % (2 * np.pi) - np.pi
        radius += rng.uniform(0.3, 1.1) * np.exp(-0.5 * (away / rng.uniform(0.14, 0.3)) ** 2)
        directions.append((direction + np.pi) % (2 * np.pi) - np.pi)
    area = 0.5 * float(np.mean(radius[:-1] ** 2)) * 2 * np.pi
    radius *= diameter_px / 2 * np.sqrt(np.pi / area)
    tips = np.array([[np.interp(d, _ANGLES, radius), d] for d in directions], np.float32)
    return radius.astype(np.float32), tips.reshape(-1, 2)


def _stain(rng: np.random.Generator, reach: Plane, x: Plane, y: Plane, diameter_px: float) -> Plane:
    """Dome with grains, a gradient and sometimes an unstained nucleus; not yet blurred."""
    dome = np.clip(1.05 - reach**2, 0, None) ** rng.uniform(0.5, 1.4)
    grain_px = max(0.5, diameter_px / 38 * rng.uniform(0.6, 1.2))
    grains = ndimage.gaussian_filter(rng.standard_normal(reach.shape, np.float32), grain_px)
    grains /= max(float(grains.std()), 1e-6)
    patches = ndimage.gaussian_filter(rng.standard_normal(reach.shape, np.float32), 4 * grain_px)
    patches /= max(float(patches.std()), 1e-6)
    grains = np.exp(0.9 * grains + 0.6 * patches)
    share = rng.beta(1.2, 1.2)
    stain = dome * (1 - share + share * grains / grains.mean())
    slope = rng.normal(0, 0.35, 2) / (diameter_px / 2)
    stain *= np.clip(1 + slope[0] * x + slope[1] * y, 0.15, 2.5)
    if rng.random() < 0.4:
        cx, cy = rng.normal(0, 0.12 * diameter_px, 2)
        nucleus = np.exp(-((x - cx) ** 2 + (y - cy) ** 2) / (2 * (0.17 * diameter_px) ** 2))
        stain *= 1 - rng.uniform(0.3, 0.9) * nucleus
    return np.asarray(stain, np.float32)


def _turn(tips: Plane, turn: float) -> Plane:
    angle = tips[:, 1] + turn
    return np.stack([tips[:, 0] * np.cos(angle), tips[:, 0] * np.sin(angle), angle], axis=1)
