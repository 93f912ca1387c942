"""What the network sees of a frame: its colours, or one grey plane that is the same whatever the stain's colour.

The grey plane is made for networks that count any stain. Each channel loses its own background, the brightest channel
decides, and the range of the frame is compressed to 0..255, so that neither the exposure nor the colour changes what
the network sees. The range has a floor: the noise of a frame without any structure stays dark.
"""

import numpy as np
from PIL import Image

from device.counting.card import View
from device.counting.filters import (
    MEDIAN_PER_SD,
    channel_percentiles,
    percentiles,
    translate_codes,
)
from device.counting.records import Frame, as_three_channels
from device.counting.scale import brightest, to_working_scale, without_ignored, working_shape

BACKGROUND_PERCENT = 10
"""Percentage of a channel's pixels that are darker than what is taken for its background."""
TOP_PERCENT = 99.9
"""Percentage of the pixels that are darker than what is taken for bright: a cell or two are brighter."""
NOISE_FLOOR = 20.0
"""The bright end lies at least so many standard deviations of the noise above the background."""
LEVEL_FLOOR = 4.0
"""And at least so many steps of the samples."""
KNEE = 0.1
"""Below this part of the bright end the plane is linear, above it logarithmic."""
HEADROOM = 1.5
"""What is this many times the bright end is 255."""


def network_view(frame: Frame, scale: float, view: View) -> np.ndarray:
    """The frame at the working scale as the network takes it.

    Args:
        frame: the capture.
        scale: working pixels per original pixel.
        view: which of the two.

    Returns:
        (h, w, 3) uint8.
    """
    if view == "colour":
        return to_working_scale(frame, scale)
    if frame.image.dtype == np.uint8:
        image = to_working_scale(frame, scale)
        image = image[..., :1] if frame.channels == 1 else image
        return grey_plane(image)
    samples = without_ignored(frame.image, frame.ignored)
    shape = working_shape(frame.height, frame.width, scale)
    planes = [_resize(samples[..., index], shape) for index in range(frame.channels)]
    per_sample = 255 / frame.full_scale
    return grey_plane(np.stack(planes, axis=2) * np.float32(per_sample), per_sample)


def grey_plane(image: np.ndarray, step: float = 1.0) -> np.ndarray:
    """The grey plane in three equal channels: (h, w, 3) uint8.

    Args:
        image: (h, w, 1 or 3) uint8 or float32, 255 is full scale.
        step: between two neighbouring sample values.
    """
    floor = max(NOISE_FLOOR * noise_of(image), LEVEL_FLOOR * step)
    darkest = channel_percentiles(image, BACKGROUND_PERCENT)
    if image.dtype == np.uint8 and all(dark.is_integer() for dark in darkest):
        # Few levels: each is compressed once, which takes a quarter of the time of doing so pixel by pixel.
        codes = _above_background(image, darkest)
        top = max(*percentiles(codes, (TOP_PERCENT,)), floor)
        table = _compress(np.arange(256, dtype=np.float32), top)
        return as_three_channels(translate_codes(codes, table))
    # Channel by channel: a reduction over a short axis takes eight times as long.
    above = np.zeros(image.shape[:2], dtype=np.float32)
    for channel, dark in zip(np.moveaxis(image, 2, 0), darkest, strict=True):
        np.maximum(above, np.subtract(channel, dark, dtype=np.float32), out=above)
    return as_three_channels(_compress(above, max(*percentiles(above, (TOP_PERCENT,)), floor)))


def _above_background(image: np.ndarray, darkest: list[float]) -> np.ndarray:
    """(h, w) uint8: how far the brightest channel of (h, w, 1 or 3) uint8 is above its own background."""
    height, width, channels = image.shape
    rows = image.reshape(height, width * channels)
    dark = np.tile(np.array(darkest, dtype=np.uint8), width)
    above = (np.maximum(rows, dark) - dark).reshape(image.shape)
    return above[..., 0] if channels == 1 else brightest(above)


def _compress(above: np.ndarray, top: float) -> np.ndarray:
    """Levels above the background as codes of the plane: uint8, the same shape."""
    bright = np.arcsinh(above / (KNEE * top)) * (255 / np.arcsinh(HEADROOM / KNEE))
    return np.asarray(np.rint(np.minimum(bright, 255)).astype(np.uint8))


def noise_of(image: np.ndarray) -> float:
    """Standard deviation of the noisiest channel of (h, w, c) uint8 or float32, from the differences of neighbours."""
    if image.shape[1] < 2:
        return 0.0
    left, right = image[:, :-1], image[:, 1:]
    apart = np.maximum(left, right) - np.minimum(left, right)  # uint8 has no negative numbers
    return max(channel_percentiles(apart, 50)) / (MEDIAN_PER_SD * 2**0.5)


def _resize(plane: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """(height, width) samples at another size, float32, area-averaged where it shrinks."""
    height, width = shape
    image = Image.fromarray(np.ascontiguousarray(plane, dtype=np.float32))
    return np.asarray(image.resize((width, height), Image.Resampling.BILINEAR))
