"""A colour camera: light in, digital numbers with shot noise, saturation and hot pixels out."""

import numpy as np

from device.counting.records import ImageArray
from device.synthetic.scene import Scene
from device.synthetic.settings import SyntheticSettings

_KNEE = np.float32(1.15)
"""Highlights are compressed towards this multiple of full scale, as cameras do: stain turns from
amber to yellow where red saturates first. Full scale needs 2.3 times a linear camera's light."""


def expose(scene: Scene, settings: SyntheticSettings, seed: int) -> ImageArray:
    """Take one picture of a scene; another seed gives the same view with other noise.

    Returns:
        (H, W, 3) uint8 for 8 bits, uint16 for more, RGB.
    """
    rng = np.random.default_rng([seed, 2])
    full = 2**settings.bits - 1
    image = np.empty((*scene.stain.shape, 3), np.uint8 if settings.bits == 8 else np.uint16)
    for channel in range(3):
        light = scene.stain * np.float32(settings.colour[channel])
        light += scene.background * np.float32(settings.background_colour[channel])
        electrons = light * np.float32(settings.full_well_e * settings.exposure)
        # A Gaussian of the same variance: at this light as good as Poisson, and ten times quicker.
        noise = rng.standard_normal(electrons.shape, np.float32)
        noise *= np.sqrt(electrons + np.float32(settings.read_noise_e**2))
        electrons += noise
        electrons *= np.float32(settings.gain / settings.full_well_e)
        signal = -np.expm1(electrons / -_KNEE) * np.float32(_KNEE * full)
        signal += np.float32(0.5 - settings.black_level * full)
        image[..., channel] = np.clip(signal, 0, full)
    _hot_pixels(image, settings, full)
    return image


def _hot_pixels(image: ImageArray, settings: SyntheticSettings, full: int) -> None:
    """Set them at the same places in every picture of this size, as a sensor has them."""
    rng = np.random.default_rng([settings.width_px, settings.height_px, 3])
    rows = rng.integers(0, image.shape[0], settings.hot_pixels)
    columns = rng.integers(0, image.shape[1], settings.hot_pixels)
    channels = rng.integers(0, 3, settings.hot_pixels)
    image[rows, columns, channels] = np.rint(full * rng.uniform(0.3, 1, settings.hot_pixels))
