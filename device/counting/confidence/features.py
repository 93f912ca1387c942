"""What tells a cell from something that is not: score, size, contrast, brightness and focus of each object.

People leave out what is faint or out of focus (paper, section 5); the network alone, which sees one neighbourhood at
a time, cannot be as strict. Detail and blob are the same second derivative at two widths: a cell in focus has both.

Everything is relative to the cell diameter and measured where that is about MEASURE_DIAMETER_PX pixels, so that sharp
full-size frames and blurred reduced ones give alike numbers at a cost that does not depend on the working scale.
"""

import numpy as np
import scipy
from PIL import Image

from device.counting.labelling.regions import Regions
from device.counting.labelling.sheet import lay_out
from device.counting.records import PROBABILITY_STEPS, ProbabilityMap, disc_area
from device.counting.scale import brightest

FEATURES = ("score", "size", "contrast", "brightness", "detail", "blob")
"""Names of the columns of `measure_features`."""

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
_LEAST_FREE_SHARE = 0.05
"""Of the square; with less the frame's lower quartile stands for the background."""
_SCORE_RANGE = 0.01, 0.99
"""Scores beyond say no more: they come from a network of 8 bits."""
_DARK_LEVEL = 10.0
"""Grey levels added to the background, so that the contrast of dark frames is not all noise."""


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
        return np.zeros((0, len(FEATURES)))
    step = max(1, round(cell_diameter_px / MEASURE_DIAMETER_PX))
    diameter = cell_diameter_px / step
    grey = _blocks(brightest(image), step)
    coarse, present = _at_block_centres(objects, step)
    measured = np.zeros((len(FEATURES), len(objects)))
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
    rows, columns = np.divmod(objects.pixels, objects.shape[1])
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
        objects: of this (h, w); the filter runs around them only where that is less work.

    Returns:
        (m,) float32 grey levels, one for each of the objects' pixels.
    """
    reach = int(_LAPLACE_REACH * sigma_px + 0.5)
    boxes = objects.boxes()
    heights, widths = boxes[:, 2] - boxes[:, 0] + 2 * reach, boxes[:, 3] - boxes[:, 1] + 2 * reach
    if (heights * widths).sum() > grey.size // 2:
        return np.asarray(_minus_laplacian(grey, sigma_px).ravel()[objects.pixels])
    surrounded = np.pad(grey, reach, mode="edge")
    sheet = lay_out(heights, widths, gap=0)
    pieces = np.zeros(sheet.shape, dtype=np.float32)
    places = (sheet.tops, sheet.lefts, boxes[:, 0], boxes[:, 1], heights, widths)
    for row, column, top, left, height, width in np.column_stack(places).tolist():
        pieces[row : row + height, column : column + width] = surrounded[
            top : top + height, left : left + width
        ]
    rows, columns = np.divmod(objects.pixels, grey.shape[1])
    rows += np.repeat(sheet.tops - boxes[:, 0] + reach, objects.areas)
    columns += np.repeat(sheet.lefts - boxes[:, 1] + reach, objects.areas)
    return np.asarray(_minus_laplacian(pieces, sigma_px)[rows, columns])


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
        axes = np.divmod(objects.pixels, grey.shape[1])
        sums = np.stack([np.add.reduceat(axis, objects.starts) for axis in axes])
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
