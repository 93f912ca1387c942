"""Frames spoilt in the ways that spoil frames at the bench, to measure whether a flag is raised."""

from collections.abc import Callable

import numpy as np
from scipy import ndimage

from device.counting.records import Frame

Spoil = Callable[[np.ndarray, float, np.random.Generator], np.ndarray]


def _out_of_focus(sigma_ratio: float) -> Spoil:
    """Blur of so many cell diameters; the camera's noise comes after the lens and stays sharp."""

    def spoil(image: np.ndarray, diameter_px: float, rng: np.random.Generator) -> np.ndarray:
        sigma = sigma_ratio * diameter_px
        blurred = ndimage.gaussian_filter(image, (sigma, sigma, 0))
        return blurred + rng.normal(0, 0.6, image.shape) * np.sqrt(1 + 0.1 * blurred)

    return spoil


def _overexposed(image: np.ndarray, diameter_px: float, rng: np.random.Generator) -> np.ndarray:
    """The brightest 2 % of the pixels reach full scale."""
    return image * (255 / max(1.0, float(np.percentile(image.max(axis=2), 98))))


def _green(image: np.ndarray, diameter_px: float, rng: np.random.Generator) -> np.ndarray:
    return image.max(axis=2, keepdims=True) * np.array([0.05, 1.0, 0.2])


def _red(image: np.ndarray, diameter_px: float, rng: np.random.Generator) -> np.ndarray:
    return image.max(axis=2, keepdims=True) * np.array([1.0, 0.05, 0.05])


def _grey(image: np.ndarray, diameter_px: float, rng: np.random.Generator) -> np.ndarray:
    return image.max(axis=2, keepdims=True) * np.ones(3)


def _noisy(image: np.ndarray, diameter_px: float, rng: np.random.Generator) -> np.ndarray:
    """Noise that is equally strong at the scale of a cell for any frame size."""
    return image + rng.normal(0, 3 * diameter_px / 6, image.shape) * np.sqrt(1 + 0.05 * image)


def _stray_light(image: np.ndarray, diameter_px: float, rng: np.random.Generator) -> np.ndarray:
    return image * 0.5 + np.array([120.0, 80.0, 10.0])


def _dark(image: np.ndarray, diameter_px: float, rng: np.random.Generator) -> np.ndarray:
    """Excitation light off: the camera's offset and noise."""
    return 3 + rng.normal(0, 1, image.shape)


def _white(image: np.ndarray, diameter_px: float, rng: np.random.Generator) -> np.ndarray:
    return np.full(image.shape, 255.0)


CORRUPTIONS: dict[str, tuple[str, Spoil]] = {
    "blurred by 0.15 diameters": ("out_of_focus", _out_of_focus(0.15)),
    "blurred by 0.2 diameters": ("out_of_focus", _out_of_focus(0.2)),
    "blurred by 0.3 diameters": ("out_of_focus", _out_of_focus(0.3)),
    "2 % of the pixels saturated": ("saturated", _overexposed),
    "green stain": ("wrong_stain", _green),
    "red stain": ("wrong_stain", _red),
    "grey": ("wrong_stain", _grey),
    "noisy": ("unusual_noise", _noisy),
    "stray light": ("unusual_brightness", _stray_light),
    "excitation light off": ("blank", _dark),
    "all white": ("saturated", _white),
}
"""What was done to a frame: the flag it must raise, and how it is done to float samples of 0 to 255."""


def corrupt(frame: Frame, spoil: Spoil, diameter_px: float, seed: int) -> Frame:
    """A spoilt copy of an 8-bit frame."""
    rng = np.random.default_rng(seed)
    spoilt = spoil(frame.image.astype(np.float64), diameter_px, rng)
    image = np.clip(np.rint(spoilt), 0, 255).astype(np.uint8)
    return Frame(image=image, source=frame.source, sha256=frame.sha256)
