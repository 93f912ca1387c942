"""What tells a cell from something that is not: score, size, contrast, brightness and focus of each object.

People leave out what is faint or out of focus (paper, section 5); the network alone, which sees one neighbourhood at
a time, cannot be as strict. Detail and blob are the same second derivative at two widths: a cell in focus has both.

Everything is relative to the cell diameter and measured where that is about MEASURE_DIAMETER_PX pixels, so that sharp
full-size frames and blurred reduced ones give alike numbers at a cost that does not depend on the working scale.
"""

from functools import lru_cache

import numpy as np
import scipy
from PIL import Image

from device.counting.filters import count_codes
from device.counting.labelling.regions import Regions
from device.counting.records import PROBABILITY_STEPS, ProbabilityMap, disc_area
from device.counting.scale import brightest

OBJECT_FEATURES = ("score", "size", "contrast", "brightness", "detail", "blob")
"""Names of the columns of `measure_features`."""

FRAME_FEATURE = "doubt"
"""The same for all objects of a frame."""

FEATURES = (*OBJECT_FEATURES, FRAME_FEATURE)
"""Names of the columns of `measure_with_doubt`."""

GREY_LEVEL_FEATURES = frozenset({"brightness", "detail", "blob"})
"""Those that grow by the log of an exposure."""

MEASURE_DIAMETER_PX = 9.0
"""About that of the coarsest network (9.25), so that its frames are measured as they are."""
_CORE_RATIO = 0.25
"""The brightest part of an object that stands for all of it, as a part of the disc of the cell diameter."""
_SURROUNDINGS = 2.4
"""Edge of the square whose free pixels are an object's background, in cell diameters: a ring of 0.7 around a cell."""
_DETAIL_RATIO, _BLOB_RATIO = 0.12, 0.3
"""Sigmas of the Laplacians of Gaussians, in cell diameters: about an edge's and a cell's own width."""
_LAPLACE_REACH = 4.0
"""Where their kernels end, in sigma: the second derivative of a Gaussian is wide."""
_PATCH_PX = 12
"""Edge of the squares that the Laplacians are computed in: an ordinary cell has 9."""
_PATCH_WORK = 200
"""A patch takes as long as so many pixels of the whole image (measured)."""
_PATCHES_AT_ONCE = 500
"""Some 15 MB; more save no time."""
_LEAST_FREE_SHARE = 0.05
"""Of the square; with less the frame's lower quartile stands for the background."""
_SCORE_RANGE = 0.01, 0.99
"""Scores beyond say no more: they come from a network of 8 bits."""
_DOUBT_FROM, _DOUBT_UP_TO = 64, 200
"""Codes: a quarter and four fifths. What lies between is neither clearly background nor clearly cell."""
_DARK_LEVEL = 10.0
"""Grey levels added to the background, so that the contrast of dark frames is not all noise."""


def measure_with_doubt(
    image: np.ndarray,
    codes: ProbabilityMap,
    objects: Regions,
    cell_diameter_px: float,
    doubt: float,
) -> np.ndarray:
    """What the calibration looks at: `measure_features` and, last, the doubt of the frame; (n, 7) float64."""
    measured = measure_features(image, codes, objects, cell_diameter_px)
    return np.column_stack((measured, np.full(len(measured), doubt)))


def measure_doubt(probability: ProbabilityMap) -> float:
    """Log odds of the part of a map's foreground that is neither clearly cell nor clearly background.

    Where a network knows its kind of frame, nearly all of what it sees is clear, and the faint rest are mostly cells;
    where it does not, most faint objects are none.

    Args:
        probability: (h, w) uint8 codes of the whole frame.
    """
    above = count_codes(probability)[_DOUBT_FROM:]
    unclear = int(above[: _DOUBT_UP_TO - _DOUBT_FROM].sum())
    # Ten pixels, one of them unclear, stand for a frame without anything.
    share = (unclear + 1) / (int(above.sum()) + 10)
    return float(np.log(share / (1.001 - share)))


def measure_features(
    image: np.ndarray, probability: ProbabilityMap, objects: Regions, cell_diameter_px: float
) -> np.ndarray:
    """Measure what the calibration looks at.

    Args:
        image: (h, w, 3) uint8 at the working scale.
        probability: (h, w) uint8 codes.
        objects: n objects of (h, w).
        cell_diameter_px: typical diameter at this scale.

    Returns:
        (n, 6) float64: log odds of the mean score of the object's core; log of its summed probability per cell
        area; log of the core's brightness above its surroundings, relative to these; log of the grey levels of its
        brightest pixel above them; logs of the highest scale-normalised Laplacian of a narrow and of a wide Gaussian.
    """
    if len(objects) == 0:
        return np.zeros((0, len(OBJECT_FEATURES)))
    step = max(1, round(cell_diameter_px / MEASURE_DIAMETER_PX))
    diameter = cell_diameter_px / step
    grey = _blocks(brightest(image), step)
    coarse, present = _at_block_centres(objects, step)
    measured = np.zeros((len(OBJECT_FEATURES), len(objects)))
    background = _surroundings(grey, coarse, present, _SURROUNDINGS * diameter)
    if len(coarse) > 0:
        codes = probability[_centres(objects.shape[0], step)][:, _centres(objects.shape[1], step)]
        measured[:, present] = _levels(grey, codes, coarse, diameter)
    score, inside, core, peak, detail, blob = measured
    score = score.clip(*_SCORE_RANGE)
    return np.column_stack(
        (
            np.log(score / (1 - score)),
            np.log((inside / disc_area(diameter)).clip(0.01)),
            np.log((core - background).clip(1) / (background + _DARK_LEVEL)),
            np.log((peak - background).clip(1)),
            np.log(detail.clip(1)),
            np.log(blob.clip(1)),
        )
    )


def _levels(
    grey: np.ndarray, codes: ProbabilityMap, objects: Regions, diameter_px: float
) -> tuple[np.ndarray, ...]:
    """(n,) each: score of the core, summed probability, level of the core, highest level, detail and blob."""
    pixels, starts = objects.pixels, objects.starts
    core_px = max(1, round(_CORE_RATIO * disc_area(diameter_px)))
    levels, scores = grey.ravel()[pixels], codes.ravel()[pixels]
    return (
        _core_means(scores, objects, core_px) / PROBABILITY_STEPS,
        np.add.reduceat(scores, starts, dtype=np.float64) / PROBABILITY_STEPS,
        _core_means(levels, objects, core_px),
        *(
            np.maximum.reduceat(values, starts)
            for values in (
                levels,
                _curvature(grey, _DETAIL_RATIO * diameter_px, objects),
                _curvature(grey, _BLOB_RATIO * diameter_px, objects),
            )
        ),
    )


def _blocks(grey: np.ndarray, step: int) -> np.ndarray:
    """(h, w) uint8 to the means of step x step blocks, float32; the last block may be cut."""
    reduced = grey if step == 1 else np.asarray(Image.fromarray(grey).reduce(step))
    return reduced.astype(np.float32)


def _centres(length: int, step: int) -> np.ndarray:
    """Index of the middle pixel of each block of `step` pixels, the last one possibly cut."""
    starts = np.arange(0, length, step)
    return np.minimum(starts + step // 2, length - 1)


def _at_block_centres(objects: Regions, step: int) -> tuple[Regions, np.ndarray]:
    """The objects in an image that keeps the middle pixel of each block, and (n,) bool: which have a pixel in it."""
    if step == 1:
        return objects, np.ones(len(objects), dtype=bool)
    rows, columns = objects.places
    centres = [_centres(side, step) for side in objects.shape]
    kept = np.isin(np.arange(objects.shape[0]), centres[0])[rows]
    kept &= np.isin(np.arange(objects.shape[1]), centres[1])[columns]
    shape = len(centres[0]), len(centres[1])
    pixels = rows[kept] // step * shape[1] + columns[kept] // step
    areas = np.bincount(objects.numbers[kept], minlength=len(objects))
    return Regions(pixels, areas[areas > 0], shape), areas > 0


def _core_means(values: np.ndarray, objects: Regions, core_px: int) -> np.ndarray:
    """(n,) mean of each object's `core_px` highest values; `values` (m,) of its pixels, whole numbers 0 to 255."""
    # One integer per pixel sorts by object, then from bright to dark.
    keys = (objects.numbers << 8) | (255 - values.astype(np.int64))
    keys.sort()
    rank = np.arange(len(keys)) - np.repeat(objects.starts, objects.areas)
    highest = np.where(rank < core_px, 255.0 - (keys & 255), 0)
    sums = np.add.reduceat(highest, objects.starts)
    return np.asarray(sums / np.minimum(objects.areas, core_px))


def _curvature(grey: np.ndarray, sigma_px: float, objects: Regions) -> np.ndarray:
    """How much brighter the objects' pixels are than their neighbourhood (Lindeberg 1998).

    Args:
        grey: (h, w) float32.
        sigma_px: width of the Gaussian.
        objects: of this (h, w); the filter runs on patches around them only where that is less work.

    Returns:
        (m,) float32 grey levels, one for each of the objects' pixels.
    """
    top, left, bottom, right = objects.boxes().T
    down, across = -(-(bottom - top) // _PATCH_PX), -(-(right - left) // _PATCH_PX)
    patches = down * across
    if patches.sum() * _PATCH_WORK > grey.size:
        return np.asarray(_minus_laplacian(grey, sigma_px).ravel()[objects.pixels])
    # The patches of an object are numbered row by row, those of one object after those of another.
    firsts = np.cumsum(patches) - patches
    number = np.arange(patches.sum()) - np.repeat(firsts, patches)
    row, column = np.divmod(number, np.repeat(across, patches))
    corners = np.repeat(top, patches), np.repeat(left, patches)
    curved = _patches_minus_laplacian(
        grey, sigma_px, corners[0] + _PATCH_PX * row, corners[1] + _PATCH_PX * column
    )
    rows, columns = objects.places
    rows, columns = rows - np.repeat(top, objects.areas), columns - np.repeat(left, objects.areas)
    patch = rows // _PATCH_PX * np.repeat(across, objects.areas) + columns // _PATCH_PX
    patch += np.repeat(firsts, objects.areas)
    return np.asarray(curved[patch, rows % _PATCH_PX, columns % _PATCH_PX])


@lru_cache(maxsize=16)
def _filters(sigma_px: float, size: int, reach: int) -> tuple[np.ndarray, ...]:
    """SciPy's Gaussian and its second derivative as matrices: (size - 2 * reach, size) float64."""
    smooth, curve = (
        scipy.ndimage.gaussian_filter1d(
            np.eye(size), sigma_px, axis=0, order=order, mode="constant", truncate=_LAPLACE_REACH
        )[reach:-reach]
        for order in (0, 2)
    )
    return smooth, curve


def _patches_minus_laplacian(
    grey: np.ndarray, sigma_px: float, tops: np.ndarray, lefts: np.ndarray
) -> np.ndarray:
    """`_minus_laplacian` in squares of _PATCH_PX: (k, edge, edge) float32, for (k,) corners.

    Two products of matrices each for all of them take a fifth of the time of filters on a sheet of the objects.
    """
    reach = int(_LAPLACE_REACH * sigma_px + 0.5)
    size = _PATCH_PX + 2 * reach
    smooth, curve = _filters(sigma_px, size, reach)
    padded = np.pad(grey, (reach, reach + _PATCH_PX), mode="edge")
    views = np.lib.stride_tricks.sliding_window_view(padded, (size, size))
    curved = np.empty((len(tops), _PATCH_PX, _PATCH_PX), np.float32)
    for start in range(0, len(tops), _PATCHES_AT_ONCE):
        part = slice(start, start + _PATCHES_AT_ONCE)
        # In double precision, rounded after each axis, as SciPy does.
        windows = views[tops[part], lefts[part]].astype(np.float64)
        curved[part] = sum(
            ((vertical @ windows).astype(np.float32).astype(np.float64) @ horizontal.T).astype(
                np.float32
            )
            for vertical, horizontal in ((curve, smooth), (smooth, curve))
        )
    return np.asarray(curved * np.float32(-(sigma_px**2)))


def _minus_laplacian(grey: np.ndarray, sigma_px: float) -> np.ndarray:
    curved: np.ndarray = scipy.ndimage.gaussian_laplace(
        grey, sigma_px, mode="nearest", truncate=_LAPLACE_REACH
    )
    curved *= np.float32(-(sigma_px**2))
    return curved


def _surroundings(
    grey: np.ndarray, objects: Regions, present: np.ndarray, edge_px: float
) -> np.ndarray:
    """(n,) mean of the pixels without an object in a square around each object's centre.

    Args:
        grey: (h, w) float32, whole numbers.
        objects: of this (h, w).
        present: (n,) bool: which of all objects these are; the others are looked for in the corner.
        edge_px: of the square.
    """
    size = max(3, round(edge_px))
    free = np.ones(grey.shape, dtype=bool)
    free.ravel()[objects.pixels] = False
    middles = np.zeros((2, len(present)), dtype=np.intp)
    if len(objects) > 0:
        sums = np.stack([np.add.reduceat(axis, objects.starts) for axis in objects.places])
        middles[:, present] = np.rint(sums / objects.areas)
    share = _window_sums(free, size, *middles) / size**2
    level = _window_sums(grey * free, size, *middles) / size**2
    crowded = share <= _LEAST_FREE_SHARE
    everywhere = float(np.percentile(grey, 25)) if crowded.any() else 0.0
    return np.where(crowded, everywhere, level / share.clip(_LEAST_FREE_SHARE))


def _window_sums(
    values: np.ndarray, size: int, rows: np.ndarray, columns: np.ndarray
) -> np.ndarray:
    """(n,) float64 sums in the squares of that size around some pixels; nothing lies outside (h, w)."""
    before = size // 2
    padded = np.pad(values, (before, size - 1 - before))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (size, size))
    return np.asarray(windows[rows, columns].reshape(len(rows), -1).sum(axis=1, dtype=np.float64))
