"""Filters and quantiles of NumPy and SciPy in a fraction of their time, with the same results.

Each stands for one call of a library, and says what it saves: these few calls are a third of the time of a count.
"""

import math
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import scipy
from PIL import Image

MEDIAN_PER_SD = 0.6745
"""The median of the absolute values of a normal variable, in standard deviations."""
_SAMPLED, _LEAST_STEP = 2000, 8
"""Values that tell where the ends of an array are; smaller arrays are looked at as a whole."""
_BAND_PX = 16
"""Rows and columns that are smoothed at a time: what is worked out of them stays in the processor's cache."""
_SMOOTHED_PX = 4_000_000
"""Of larger images no copy in double precision is made."""
_FEW_PART = 0.1
"""Of the pixels: more are compared faster in one go."""
_END_PART = 0.03
"""Of the values, on either side: percentiles up to the second and from the 98th on are looked for among these."""


def count_codes(values: np.ndarray) -> np.ndarray:
    """How often each of the 256 codes of a uint8 array occurs: numpy.bincount in a third of its time, without memory.

    NumPy makes eight bytes of each code first, half a gigabyte for the largest frames.
    """
    row = np.ascontiguousarray(values).reshape(1, -1)
    return np.asarray(Image.fromarray(row).histogram())


def count_levels(values: np.ndarray) -> np.ndarray:
    """`count_codes`, and the same of the 65,536 levels of a uint16 array."""
    if values.dtype == np.uint8:
        return count_codes(values)
    return np.bincount(values.ravel(), minlength=int(np.iinfo(np.uint16).max) + 1)


def channel_percentiles(image: np.ndarray, percent: float) -> list[float]:
    """`percentiles` of each channel of (h, w, c) at one percentage, those of RGB of uint8 in one go."""
    if image.dtype != np.uint8 or image.shape[2] != 3:
        return [percentiles(channel, (percent,))[0] for channel in np.moveaxis(image, 2, 0)]
    counts = np.reshape(Image.fromarray(np.ascontiguousarray(image)).histogram(), (3, 256))
    return [histogram_quantile(channel, percent / 100) for channel in counts]


def translate_codes(values: np.ndarray, table: np.ndarray) -> np.ndarray:
    """table[values] of (h, w) uint8 with a table of 256 uint8, without eight bytes for each code."""
    picture = Image.fromarray(np.ascontiguousarray(values))
    return np.asarray(picture.point(table.tolist()))


def percentiles(values: np.ndarray, percents: tuple[float, ...]) -> list[float]:
    """numpy.percentile in a quarter of its time: NumPy partitions far faster at one place than at several.

    Near the ends of many values only those are partitioned that a sample tells to be there, in a third of that time.

    Args:
        values: uint8, uint16 or float32, at least one, of any shape, none NaN.
        percents: 0 to 100.
    """
    if values.dtype != np.float32:  # many equal ones, which partitions are slow with
        histogram = count_levels(values)
        return [histogram_quantile(histogram, percent / 100) for percent in percents]
    flat, last = values.ravel(), values.size - 1
    ends = _Ends(flat)
    found = []
    for percent in percents:
        place = percent / 100 * last
        low, high = ends.at(int(place))
        part, step = np.float64(place - int(place)), high - low
        # From the nearer end, as NumPy does.
        found.append(float(high - step * (1 - part) if part >= 0.5 else low + step * part))
    return found


def median(values: np.ndarray) -> float:
    """numpy.median of uint8, uint16 or float32 in a fifth of its time, see `percentiles`."""
    if values.dtype != np.float32:
        return percentiles(values, (50,))[0]
    low, high = _at(values.ravel(), (values.size - 1) // 2)
    return float(low if values.size % 2 else np.mean((low, high), dtype=values.dtype))


class _Ends:
    """Values by their place in ascending order; near the ends few are looked at.

    Args:
        flat: (n,) float32.
    """

    def __init__(self, flat: np.ndarray) -> None:
        self._flat = flat
        step = flat.size // _SAMPLED
        self._sample = np.sort(flat[::step]) if step >= _LEAST_STEP else flat[:0]
        self._kept: dict[bool, np.ndarray] = {}

    def at(self, index: int) -> tuple[np.float32, np.float32]:
        """The value at an index in ascending order, and the next one."""
        size = self._flat.size
        if len(self._sample) and min(index, size - index) < _END_PART * size:
            is_high = 2 * index > size
            few = self._few(is_high)
            begin = size - len(few) if is_high else 0
            if begin <= index and index + 1 < begin + len(few):
                return _at(few, index - begin)
        return _at(self._flat, index)

    def _few(self, is_high: bool) -> np.ndarray:
        """All values beyond one that the sample says has a few on its other side; so they are the first or last."""
        if is_high not in self._kept:
            place = round(_END_PART * len(self._sample))
            bound = self._sample[-place if is_high else place]
            beyond = self._flat > bound if is_high else self._flat < bound
            self._kept[is_high] = self._flat[beyond]
        return self._kept[is_high]


def _at(flat: np.ndarray, index: int) -> tuple[np.float32, np.float32]:
    """The value at an index in ascending order, and the next one."""
    parted = np.partition(flat, index)
    after = parted[index + 1 :]
    return parted[index], after.min() if len(after) else parted[index]


def histogram_quantile(histogram: np.ndarray, part: float) -> float:
    """numpy.quantile of whole numbers from 0, given how often each occurs."""
    below = np.cumsum(histogram)
    place = part * (int(below[-1]) - 1)
    first = int(place)
    low, high = np.searchsorted(below, (first, math.ceil(place)), side="right").tolist()
    return float(low + (high - low) * (place - first))


@lru_cache(maxsize=8)
def _gaussian_matrices(sigmas: tuple[float, ...], truncate: float) -> np.ndarray:
    """SciPy's kernels as matrices: (widths, _BAND_PX, _BAND_PX + twice the longest reach) float64."""
    reach = int(truncate * max(sigmas) + 0.5)
    single = np.eye(_BAND_PX + 2 * reach)
    smooth = [
        scipy.ndimage.gaussian_filter1d(single, sigma, axis=0, mode="constant", truncate=truncate)
        for sigma in sigmas
    ]
    return np.stack(smooth)[:, reach : reach + _BAND_PX]


def gaussians(
    image: np.ndarray, sigmas: tuple[float, ...], truncate: float
) -> Sequence[np.ndarray]:
    """scipy.ndimage.gaussian_filter at several widths in half of its time: (height, width) float32 for each.

    Products of matrices in double precision, rounded after each axis as SciPy does.

    Args:
        image: (height, width) float32; SciPy filters those that are narrower than the longest reach or large.
        sigmas: of the Gaussians, pixels.
        truncate: where they end, in sigma.
    """
    matrices = _gaussian_matrices(sigmas, truncate)
    number, band, size = matrices.shape
    reach, (height, width) = (size - band) // 2, image.shape
    if min(height, width) < reach or image.size > _SMOOTHED_PX:
        return [scipy.ndimage.gaussian_filter(image, one, truncate=truncate) for one in sigmas]
    down, across = -(-height // band), -(-width // band)
    tall = np.zeros((down * band + 2 * reach, width))
    tall[: height + 2 * reach] = np.pad(image, ((reach, reach), (0, 0)), mode="symmetric")
    wide = np.zeros((number, band, across * band + 2 * reach))
    windows = np.lib.stride_tricks.sliding_window_view(wide, size, axis=2)[:, :, ::band]
    smooth = np.empty((number, down, band, across, band), dtype=np.float32)
    for index in range(down):
        rows = tall[index * band : index * band + size]
        wide[..., reach : reach + width] = np.matmul(matrices, rows).astype(np.float32)
        wide[..., :reach] = wide[..., reach : 2 * reach][..., ::-1]
        wide[..., reach + width : width + 2 * reach] = wide[..., width : reach + width][..., ::-1]
        parts = np.matmul(windows.transpose(0, 2, 1, 3), matrices.transpose(0, 2, 1)[:, None])
        smooth[:, index] = parts.transpose(0, 2, 1, 3)
    whole = smooth.reshape(number, down * band, across * band)
    return list(whole[:, :height, :width])


def maximum_around(values: np.ndarray) -> np.ndarray:
    """The highest of each pixel and its neighbours: scipy.ndimage.maximum_filter(values, 3) in a ninth of its time."""
    rows = values.copy()
    np.maximum(rows[1:], values[:-1], out=rows[1:])
    np.maximum(rows[:-1], values[1:], out=rows[:-1])
    highest = rows.copy()
    np.maximum(highest[:, 1:], rows[:, :-1], out=highest[:, 1:])
    np.maximum(highest[:, :-1], rows[:, 1:], out=highest[:, :-1])
    return highest


def count_peaks(values: np.ndarray, above: float) -> int:
    """How many of (h, w) values are above a number and none of their neighbours is higher.

    Only pixels above it are compared: where they are few, in a fifth of the time of `maximum_around`.
    """
    high = values > above
    pixels = np.flatnonzero(high)
    if len(pixels) > _FEW_PART * values.size:
        return int(np.count_nonzero(high & (values == maximum_around(values))))
    width = values.shape[1] + 2
    padded = np.full((len(values) + 2, width), -np.inf, values.dtype)
    padded[1:-1, 1:-1] = values
    rows = pixels // values.shape[1]
    places, flat = pixels + width + 1 + 2 * rows, padded.ravel()
    for down in (-width, 0, width):
        for step in (down - 1, down, down + 1):
            if step:
                kept = flat[places] >= flat[places + step]
                places = places[kept]
    return len(places)


def grow(mask: np.ndarray) -> np.ndarray:
    """A mask and the pixels beside it: scipy.ndimage.binary_dilation(mask) in a tenth of its time."""
    wider = mask.copy()
    wider[1:] |= mask[:-1]
    wider[:-1] |= mask[1:]
    wider[:, 1:] |= mask[:, :-1]
    wider[:, :-1] |= mask[:, 1:]
    return wider
