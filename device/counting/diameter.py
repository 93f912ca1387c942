"""How large a cell is in a frame where the diameter is not set.

A frame is filtered with differences of Gaussians from fine to coarse (scale space, Lindeberg 1998). What stands out at
each scale is a short series of numbers; a network of a few hundred weights slides along it and says how likely a cell
has each size. Enlarging a frame moves the series along, so that the answer grows with the frame.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from device.counting.card import DiameterReader
from device.counting.filters import count_peaks, gaussians, percentiles
from device.counting.records import Frame
from device.counting.view import network_view

LEVELS = 24
"""Scales looked at: seven octaves and more."""
PER_OCTAVE = 3
FINEST_SIGMA_PX = 1.0
BLOB_PER_SIGMA = 2.83
"""A disc of diameter d answers most strongly to a sigma of d / (2 sqrt 2)."""
SMALLEST_SIDE_PX = 16
"""Coarser scales would look at fewer pixels than this."""
LARGEST_SIDE_PX = 2400
"""Of the part of a large frame that is looked at."""
LOOKED_AT_PX = 640
"""Longest side of what is filtered: a third of a second on a Raspberry Pi 4."""
SMALL_PX = 6.0
"""Smaller cells are looked at again at the frame's own resolution."""
FEATURES = 6
"""Numbers per scale: logs of deviation, 99th and 99.8th percentile and depth, skewness, log of the density of peaks."""
_PEAK_PART = 0.3
"""Peaks of at least this part of the 99.8th percentile are counted."""
_PARTS_PER_SIDE = 4
_SPREAD_FACTOR = 1.25
"""Nine in ten frames that the network had not seen lie within so many of its spreads."""


@dataclass(frozen=True, slots=True)
class Diameter:
    """A cell diameter in pixels of the frame, and the range that holds it in nine frames of ten."""

    px: float
    low_px: float
    high_px: float


def estimate_diameter(frame: Frame, reader: DiameterReader) -> Diameter | None:
    """The typical cell diameter of a frame; None where nothing stands out at any scale.

    A frame is looked at shrunk, and once more in a window at its own resolution where its cells are small.

    Args:
        frame: the capture.
        reader: the weights.
    """
    part = window(frame, LARGEST_SIDE_PX)
    shrink = min(1.0, LOOKED_AT_PX / max(part.height, part.width))
    found = read_diameter(part, shrink, reader)
    if found and shrink < 1 and found.px * shrink < SMALL_PX:
        return read_diameter(window(part, LOOKED_AT_PX), 1.0, reader) or found
    return found


def read_diameter(frame: Frame, zoom: float, reader: DiameterReader) -> Diameter | None:
    """`estimate_diameter` of the whole frame at `zoom` times its size, in pixels of the frame."""
    plane = network_view(frame, zoom, "grey")[..., 0]
    if min(plane.shape) < SMALLEST_SIDE_PX or plane.max() == 0:
        return None
    chances = scale_chances(scale_spectrum(plane), reader)
    steps = np.arange(len(chances))
    middle = float(chances @ steps)
    spread = float(np.sqrt(chances @ (steps - middle) ** 2)) * _SPREAD_FACTOR
    low, typical, high = (_diameter_at(middle + side * spread) / zoom for side in (-1, 0, 1))
    return Diameter(round(typical, 2), round(low, 2), round(high, 2))


def window(frame: Frame, side_px: int) -> Frame:
    """The frame, or of a larger one the part of `side_px` x `side_px` with the most contrast."""
    if max(frame.height, frame.width) <= side_px:
        return frame
    places = [
        (slice(top, top + side_px), slice(left, left + side_px))
        for top in _starts(frame.height, side_px)
        for left in _starts(frame.width, side_px)
    ]
    best = max(places, key=lambda place: _contrast(frame.image[place]))
    ignored = None if frame.ignored is None else frame.ignored[best]
    return replace(frame, image=frame.image[best], ignored=ignored)


def _starts(side: int, part: int) -> list[int]:
    """First pixels of a few parts that are spread over a side."""
    count = min(-(-side // part), _PARTS_PER_SIDE)
    return [round(place) for place in np.linspace(0, max(0, side - part), count).tolist()]


def _contrast(part: np.ndarray) -> tuple[float, float]:
    """Of the brightest structures; between equal ones the deviation decides."""
    # From all four corners, so that a turned or mirrored frame is looked at in the same place.
    grids = [part[::down, ::right].max(axis=2).ravel() for down in (8, -8) for right in (8, -8)]
    seen = np.concatenate(grids)
    low, high = np.quantile(seen, (0.5, 0.99))
    return float(high - low), float(seen.std())


def scale_spectrum(plane: np.ndarray) -> np.ndarray:
    """What stands out of a (h, w) uint8 plane at each scale: (levels, 6) float32, the finest first."""
    return np.array([_features(level) for level in _levels(plane)], dtype=np.float32)


def _levels(plane: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    """Index within its octave and difference of Gaussians of each scale; each octave at half the size."""
    base, blurred = plane.astype(np.float32) / 255, 0.5
    octaves = LEVELS // PER_OCTAVE
    for _ in range(octaves):
        if min(base.shape) < SMALLEST_SIDE_PX:
            return
        widths = (FINEST_SIGMA_PX * 2 ** (step / PER_OCTAVE) for step in range(PER_OCTAVE + 1))
        sigmas = tuple(max(sigma**2 - blurred**2, 1e-4) ** 0.5 for sigma in widths)
        smooth = gaussians(base, sigmas, truncate=3)
        for index in range(PER_OCTAVE):
            yield index, smooth[index] - smooth[index + 1]
        base = _halve(smooth[-1])
        blurred = ((2 * FINEST_SIGMA_PX) ** 2 + 0.25) ** 0.5 / 2


def _halve(image: np.ndarray) -> np.ndarray:
    """Half the size, the same however the image is turned or mirrored."""
    return _halve_rows(_halve_rows(image).T).T


def _halve_rows(image: np.ndarray) -> np.ndarray:
    """Means of two rows; of an odd number each second row with half of both beside it, so that no side is cut off."""
    if len(image) % 2 == 0:
        return np.asarray((image[::2] + image[1::2]) / 2)
    return np.asarray((image[:-2:2] + image[2::2]) / 4 + image[1:-1:2] / 2)


def _features(level: tuple[int, np.ndarray]) -> list[float]:
    index, values = level
    deviation = float(values.std()) + 1e-6
    depth, high, highest = percentiles(values, (1, 99, 99.8))
    peaks = count_peaks(values, max(_PEAK_PART * highest, 0.0))
    relative = values / deviation
    cubes = relative * relative
    cubes *= relative
    density = 40 * float(peaks) * 4 ** (index / PER_OCTAVE)
    return [
        np.log(deviation),
        np.log(max(high, 1e-4)),
        np.log(max(highest, 1e-4)),
        np.log(max(-depth, 1e-4)),
        float(np.clip(cubes.mean(), -3, 12)) / 4,
        np.log(density / values.size + 1e-3),
    ]


def reader_input(spectrum: np.ndarray, mean: np.ndarray, sd: np.ndarray) -> np.ndarray:
    """(levels, 6) spectrum to (24, 7) float32: relative to the strongest scale, standardised; last: is it there."""
    relative = spectrum.copy()
    relative[:, :4] -= relative[:, :4].max(axis=0)
    padded = np.zeros((LEVELS, FEATURES + 1), dtype=np.float32)
    padded[: len(relative), :FEATURES] = (relative - mean) / sd
    padded[: len(relative), FEATURES] = 1
    return padded


def scale_chances(spectrum: np.ndarray, reader: DiameterReader) -> np.ndarray:
    """(levels,) how likely a cell has each size, sum 1."""
    mean, sd, first, first_bias, second = _weights(reader)
    hidden = np.maximum(_convolve(reader_input(spectrum, mean, sd), first) + first_bias, 0)
    odds = _convolve(hidden, second)[: len(spectrum), 0] + reader.second_bias
    odds = np.exp(odds - odds.max())
    return np.asarray(odds / odds.sum())


@lru_cache(maxsize=16)
def _weights(reader: DiameterReader) -> tuple[np.ndarray, ...]:
    """The reader's numbers as arrays: a card that is read again is as good as the same."""
    mean, sd, first, bias = map(np.array, (reader.mean, reader.sd, reader.first, reader.first_bias))
    return mean, sd, first, bias, np.array(reader.second)[..., None]


def _convolve(values: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    """(n, a) with (taps, a, b) to (n, b), zeros beyond the ends."""
    reach = len(kernel) // 2
    padded = np.pad(values, ((reach, reach), (0, 0)))
    return np.asarray(
        sum(padded[tap : tap + len(values)] @ weights for tap, weights in enumerate(kernel))
    )


def level_of(diameter_px: float) -> float:
    """Where on the scales a diameter lies, 0 is the finest."""
    return PER_OCTAVE * float(np.log2(diameter_px / (BLOB_PER_SIGMA * FINEST_SIGMA_PX)))


def _diameter_at(level: float) -> float:
    return BLOB_PER_SIGMA * FINEST_SIGMA_PX * float(2 ** (level / PER_OCTAVE))
