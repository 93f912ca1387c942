"""Which sample value is no light and which is full light, where the file does not say it beyond doubt.

Headers are filled in by habit: most writers declare 16 bits for any camera. A single pixel proves nothing
either: it may be hot, struck by a cosmic ray or drawn. So the range is the smallest that cameras have and nearly all
pixels fit into; what is declared can only make it smaller. The range never follows the brightest pixel smoothly, as
that would turn the noise of an empty frame into cells.
"""

from dataclasses import dataclass, replace
from typing import cast

import numpy as np

from device.counting.reading import Reading
from device.counting.records import ImageArray
from device.imageio.decoded import Decoded

_BITS = (8, 10, 12, 14, 16)
"""Of usual cameras."""
_HOT_SHARE = 2e-4
_LEAST_HOT = 16
"""Samples above a range that do not count against it: a hundred hot pixels of a full frame; a cell has far more."""
_DRAWN_SHARE = 0.05
"""Samples of one or two values far above all others are drawn, up to this part of the frame."""
_FLOOR_SHARE = 1e-3
"""The lowest thousandth may be dead pixels; the value above it is the floor."""
_LARGEST_OFFSET = 0.125
"""Of the full scale: cameras add a hundred to a few hundred; more is light."""
_SIGNED_ZERO = 2**15
_MISDECLARED_SHARE = 0.01
"""More samples than this above what a header declares are no hot pixels: the header is wrong."""
_LEAST_LEVELS = 32
"""Fewer values may have a common divisor by chance."""
_MAX_SAMPLED = 1_000_000
_GLANCED_AT = 100_000
"""Samples that tell how bright a picture of 8 bits is."""
_HOT_GLANCES = 2
"""Of these the brightest do not count; more would hide the only cell of a small picture."""
_PADDING_GAP = 32
"""No sample between 0 and this: zeros are the empty corners of a mosaic, not the camera's darkest value."""


@dataclass(frozen=True, slots=True, eq=False)
class Levels:
    """Samples in units in which 0 is no light.

    Attributes:
        samples: as they came where nothing had to be subtracted or inverted.
        offset, full_scale, range_from, used_share: see Taken.
        bits: the smallest of usual cameras that holds full_scale.
    """

    samples: ImageArray
    offset: int
    full_scale: int
    range_from: str
    used_share: float
    bits: int


def find_levels(decoded: Decoded, asked: Reading, counted: np.ndarray | None = None) -> Levels:
    """Decide on the range of a picture's samples.

    Args:
        decoded: the picture.
        asked: what a person stated.
        counted: (height, width) bool, which pixels are looked at; None: all.
    """
    if decoded.inverted:
        decoded = _turn_round(decoded, asked, counted)
    samples = decoded.samples
    if samples.dtype == np.uint8 and asked.full_scale is None and asked.offset is None:
        top = _top(_histogram(samples, counted, _GLANCED_AT), _HOT_GLANCES)
        return Levels(samples, 0, 255, "samples", top / 255, 8)
    histogram = _histogram(samples, counted)
    decoded = replace(decoded, declared_bits=_check_declared_bits(decoded, histogram))
    found = (
        _take_stated(decoded, asked)
        or _take_calibrated(decoded, histogram)
        or _guess(decoded, histogram)
    )
    light = _light(samples, found)
    top, _ = _ends(histogram)
    used = min(1.0, max(0, top - found.offset) / found.full_scale)
    bits = next((bits for bits in _BITS if found.full_scale < 2**bits), 16)
    return Levels(light, found.offset, found.full_scale, found.source, used, bits)


def _turn_round(decoded: Decoded, asked: Reading, counted: np.ndarray | None) -> Decoded:
    """The same where 0 is no light.

    Writers take the light from the camera's full scale or from that of the file, so white is the smallest full scale
    that all samples fit into.
    """
    samples = decoded.samples
    white = asked.full_scale
    if samples.dtype != np.uint8:
        histogram = _histogram(samples, counted)
        top, _ = _ends(histogram)
        if white is None or top > white:
            white = _full(top, _check_declared_bits(decoded, histogram))
    limit = samples.dtype.type(255 if white is None else min(white, np.iinfo(samples.dtype).max))
    light = cast(ImageArray, limit - np.minimum(samples, limit))
    return replace(decoded, samples=light, inverted=False)


def _check_declared_bits(decoded: Decoded, histogram: np.ndarray) -> int | None:
    """Bits that a header declares, unless too many samples are above them to be hot."""
    bits = decoded.declared_bits
    if bits is None:
        return None
    _, floor = _ends(histogram)
    zero = decoded.zero or (_SIGNED_ZERO if floor >= _SIGNED_ZERO else 0)
    above = histogram[zero + 2**bits :].sum()
    return None if above > _MISDECLARED_SHARE * histogram.sum() else bits


@dataclass(frozen=True, slots=True)
class _Range:
    offset: int
    full_scale: int
    source: str


def _take_stated(decoded: Decoded, asked: Reading) -> _Range | None:
    if asked.full_scale is None and asked.offset is None:
        return None
    offset = asked.offset or 0
    largest = int(np.iinfo(decoded.samples.dtype).max)
    if asked.full_scale is not None:
        return _Range(offset, asked.full_scale, "settings")
    if largest == 255:
        return _Range(offset, max(1, 255 - offset), "settings")
    top, _ = _ends(_histogram(decoded.samples, None))
    return _Range(offset, _full(max(0, top - offset), decoded.declared_bits), "settings")


def _take_calibrated(decoded: Decoded, histogram: np.ndarray) -> _Range | None:
    if not decoded.zero:
        return None
    top, _ = _ends(histogram)
    return _Range(decoded.zero, _full(max(0, top - decoded.zero), decoded.declared_bits), "header")


def _guess(decoded: Decoded, histogram: np.ndarray) -> _Range:
    top, floor = _ends(histogram)
    declared = decoded.declared_bits
    if floor >= _SIGNED_ZERO:
        return _Range(_SIGNED_ZERO, _full(top - _SIGNED_ZERO, declared), "values")
    divisor = _common_divisor(histogram)
    if divisor > 1:
        offset, full = _fit(top // divisor, floor // divisor, None)
        return _Range(divisor * offset, min(divisor * full, len(histogram) - 1), "values")
    offset, full = _fit(top, floor, declared)
    from_header = declared and not offset and full == 2**declared - 1
    return _Range(offset, full, "header" if from_header else "values")


def _fit(top: int, floor: int, declared: int | None) -> tuple[int, int]:
    """Offset and full scale; the floor is taken off where that makes the range smaller."""
    full, without = _full(top, declared), _full(top - floor, declared)
    if without < full and floor <= _LARGEST_OFFSET * without:
        return floor, without
    return 0, full


def _full(top: int, declared_bits: int | None) -> int:
    """Full scale of the smallest range that holds `top`, no larger than declared; a deep camera has no 8 bits."""
    deep = declared_bits is not None and declared_bits > 8
    bits = next(bits for bits in _BITS[deep:] if top < 2**bits)
    if declared_bits is not None and 8 <= declared_bits < bits:
        bits = declared_bits
    return int(2**bits - 1)


def _light(samples: ImageArray, found: _Range) -> ImageArray:
    """Samples with the offset off, clipped at 0."""
    if not found.offset:
        return samples
    offset = samples.dtype.type(found.offset)
    return cast(ImageArray, np.maximum(samples, offset) - offset)


def _histogram(
    samples: ImageArray, counted: np.ndarray | None, most: int = _MAX_SAMPLED
) -> np.ndarray:
    """How often each value occurs, on a grid of at most that many samples.

    Each is the middle one of three neighbours, so that hot and dead pixels do not count however many there are.
    """
    step = max(1, int(np.ceil(np.sqrt(samples.size / most))))
    left, seen, right = (samples[::step, first : first - 2 or None : step] for first in range(3))
    seen = np.maximum(np.minimum(left, seen), np.minimum(np.maximum(left, seen), right))
    if counted is not None and counted.any():
        chosen = counted[::step, 1:-1:step]
        seen = seen[chosen] if chosen.any() else seen
    found = np.bincount(seen.ravel(), minlength=int(np.iinfo(samples.dtype).max) + 1)
    return _without_drawn(found)


def _without_drawn(histogram: np.ndarray) -> np.ndarray:
    """Leave out one or two values far above all others: lines and letters drawn at full scale."""
    levels = np.flatnonzero(histogram)
    total = int(histogram.sum())
    for drawn in (1, 2):
        if len(levels) <= drawn + 1:
            break
        below, first = int(levels[-drawn - 1]), int(levels[-drawn])
        if first > 2 * max(below, 255) and histogram[first:].sum() <= _DRAWN_SHARE * total:
            rest = histogram.copy()
            rest[first:] = 0
            return rest
    return histogram


def _allow_hot_pixels(histogram: np.ndarray) -> int:
    total = int(histogram.sum())
    return min(max(_LEAST_HOT, round(_HOT_SHARE * total)), total - 1)


def _ends(histogram: np.ndarray) -> tuple[int, int]:
    """The highest value but for some hot pixels, and the lowest but for some dead ones."""
    if not histogram.any():
        return 0, 0
    total = int(histogram.sum())
    inside = histogram
    if not histogram[1:_PADDING_GAP].any() and histogram[0] < total:
        inside = np.concatenate(([0], histogram[1:]))
    top = _top(histogram, _allow_hot_pixels(histogram))
    return top, _first_above(inside, round(_FLOOR_SHARE * int(inside.sum())))


def _top(histogram: np.ndarray, hot: int) -> int:
    above = np.cumsum(histogram[::-1])
    return max(0, len(histogram) - 1 - int(np.searchsorted(above, hot, side="right")))


def _first_above(histogram: np.ndarray, left_out: int) -> int:
    below = np.cumsum(histogram)
    return min(int(np.searchsorted(below, left_out, side="right")), len(histogram) - 1)


def _common_divisor(histogram: np.ndarray) -> int:
    """By what all samples but a few hot ones were multiplied, such as 17 in 8-bit data times 17; else 1."""
    levels = np.flatnonzero(histogram)
    if len(levels) < _LEAST_LEVELS:
        return 1
    common = levels[np.argsort(histogram[levels])[::-1][:_LEAST_LEVELS]]
    divisor = int(np.gcd.reduce(common))
    if divisor <= 1:
        return 1
    others = int(histogram[levels[levels % divisor != 0]].sum())
    return divisor if others <= _allow_hot_pixels(histogram) else 1
