"""What tells a cell from something that is not: score, size, contrast, brightness and focus of each object.

People leave out what is faint or out of focus (paper, section 5); the network alone, which sees one neighbourhood at
a time, cannot be as strict. Detail and blob are the same second derivative at two widths: a cell in focus has both.

Everything is relative to the cell diameter and measured where that is about MEASURE_DIAMETER_PX pixels, so that sharp
full-size frames and blurred reduced ones give alike numbers at a cost that does not depend on the working scale.
"""

from collections.abc import Sequence

import numpy as np
from PIL import Image
from scipy import ndimage

from device.counting.labelling.atlas import Box, box_shape, pack
from device.counting.records import PROBABILITY_STEPS, LabelImage, ProbabilityMap, disc_area

FEATURES = ("score", "size", "contrast", "brightness", "detail", "blob")
"""Names of the columns of `object_features`."""

GREY_LEVEL_FEATURES = frozenset({"brightness", "detail", "blob"})
"""Those that grow by the log of an exposure."""

MEASURE_DIAMETER_PX = 9.0
_CORE_RATIO = 0.25
"""The brightest part of an object that stands for all of it, as a part of the disc of the cell diameter."""
_SURROUNDINGS = 2.4
"""Edge of the square whose free pixels are an object's background, in cell diameters."""
_DETAIL_RATIO, _BLOB_RATIO = 0.12, 0.3
"""Sigmas of the Laplacians of Gaussians, in cell diameters."""
_LAPLACE_REACH = 4.0
"""Where their kernels end, in sigma."""
_LEAST_FREE_SHARE = 0.05
"""Of the square; with less the frame's lower quartile stands for the background."""
_DARK_LEVEL = 10.0
"""Grey levels added to the background, so that the contrast of dark frames is not all noise."""


def object_features(
    image: np.ndarray, probability: ProbabilityMap, labels: LabelImage, cell_diameter_px: float
) -> np.ndarray:
    """Measure what the calibration looks at.

    Args:
        image: (h, w, 3) uint8 at the working scale.
        probability: (h, w) uint8 codes.
        labels: (h, w) int32, labels 1..n all present.
        cell_diameter_px: typical diameter at this scale.

    Returns:
        (n, 6) float64: log odds of the mean score of the object's core; log of its summed probability per cell
        area; log of the core's brightness above its surroundings, relative to these; log of the grey levels of its
        brightest pixel above them; logs of the highest scale-normalised Laplacian of a narrow and of a wide Gaussian.
    """
    count = int(labels.max(initial=0))
    if count == 0:
        return np.zeros((0, len(FEATURES)))
    step = max(1, round(cell_diameter_px / MEASURE_DIAMETER_PX))
    grey = _blocks(brightest(image), step)
    rows, columns = (_centres(side, step) for side in labels.shape)
    owners, codes = labels[rows][:, columns], probability[rows][:, columns]
    cell_area = disc_area(cell_diameter_px / step)
    core = max(1, round(_CORE_RATIO * cell_area))
    score = _core_means(codes, owners, count, core) / PROBABILITY_STEPS
    score = score.clip(0.01, 0.99)
    inside = np.bincount(owners.ravel(), codes.ravel(), minlength=count + 1)[1:] / PROBABILITY_STEPS
    background = _surroundings(grey, owners, count, _SURROUNDINGS * cell_diameter_px / step)
    above = _core_means(grey, owners, count, core) - background
    boxes = [box for box in ndimage.find_objects(owners) if box is not None]
    curved = [
        _curvature(grey, ratio * cell_diameter_px / step, boxes)
        for ratio in (_DETAIL_RATIO, _BLOB_RATIO)
    ]
    peak, detail, blob = _highest((grey, *curved), owners, count)
    return np.column_stack(
        (
            np.log(score / (1 - score)),
            np.log((inside / cell_area).clip(0.01)),
            np.log(above.clip(1) / (background + _DARK_LEVEL)),
            np.log((peak - background).clip(1)),
            np.log(detail.clip(1)),
            np.log(blob.clip(1)),
        )
    )


def brightest(image: np.ndarray) -> np.ndarray:
    """(h, w, 3) to the (h, w) maximum over the channels; several times faster than a reduction over a short axis."""
    highest: np.ndarray = np.maximum(image[..., 0], image[..., 1])
    np.maximum(highest, image[..., 2], out=highest)
    return highest


def _blocks(grey: np.ndarray, step: int) -> np.ndarray:
    """(h, w) uint8 to the means of step x step blocks, float32; the last block may be cut."""
    reduced = grey if step == 1 else np.asarray(Image.fromarray(grey).reduce(step))
    return reduced.astype(np.float32)


def _centres(length: int, step: int) -> np.ndarray:
    """Index of the middle pixel of each block of `step` pixels, the last one possibly cut."""
    starts = np.arange(0, length, step)
    return np.minimum(starts + step // 2, length - 1)


def _core_means(values: np.ndarray, owners: LabelImage, count: int, core_px: int) -> np.ndarray:
    """(n,) mean of each object's `core_px` highest values, whole numbers 0 to 255; 0 where it has no pixel."""
    inside = np.flatnonzero(owners > 0)
    # One integer per pixel sorts by object, then from bright to dark.
    keys = owners.ravel()[inside].astype(np.int64) << 8
    keys |= 255 - values.ravel()[inside].astype(np.int64)
    keys.sort()
    numbers, levels = keys >> 8, 255.0 - (keys & 255)
    starts = np.searchsorted(numbers, np.arange(count + 1))
    top = np.arange(len(numbers)) - starts[numbers] < core_px
    sizes = np.bincount(numbers[top], minlength=count + 1)[1:]
    sums = np.bincount(numbers[top], levels[top], minlength=count + 1)[1:]
    return np.asarray(sums / np.maximum(sizes, 1))


def _curvature(grey: np.ndarray, sigma_px: float, boxes: Sequence[Box]) -> np.ndarray:
    """How much brighter a pixel is than its neighbourhood, in grey levels (Lindeberg 1998).

    Args:
        grey: (h, w) float32.
        sigma_px: width of the Gaussian.
        boxes: where it is asked for; it is computed there only where that is less work.

    Returns:
        (h, w) float32, right within the boxes.
    """
    reach = int(_LAPLACE_REACH * sigma_px + 0.5)
    shapes = (box_shape(box) for box in boxes)
    if sum((h + 2 * reach) * (w + 2 * reach) for h, w in shapes) > grey.size // 2:
        return _minus_laplacian(grey, sigma_px)
    surrounded = np.pad(grey, reach, mode="edge")
    pieces = [
        surrounded[down.start : down.stop + 2 * reach, right.start : right.stop + 2 * reach]
        for down, right in boxes
    ]
    curved = np.zeros_like(grey)
    if not pieces:
        return curved
    atlas = pack(pieces, gap=0)
    sheet = _minus_laplacian(atlas.sheet, sigma_px)
    for box, (down, right) in zip(boxes, atlas.places, strict=True):
        curved[box] = sheet[
            down.start + reach : down.stop - reach, right.start + reach : right.stop - reach
        ]
    return curved


def _minus_laplacian(grey: np.ndarray, sigma_px: float) -> np.ndarray:
    curved: np.ndarray = ndimage.gaussian_laplace(
        grey, sigma_px, mode="nearest", truncate=_LAPLACE_REACH
    )
    curved *= np.float32(-(sigma_px**2))
    return curved


def _highest(layers: Sequence[np.ndarray], owners: LabelImage, count: int) -> list[np.ndarray]:
    """(n,) highest value in each object, per (h, w) layer; 0 where it has no pixel or is below 0."""
    inside = np.flatnonzero(owners > 0)
    numbers = owners.ravel()[inside]
    order = np.argsort(numbers, kind="stable")
    inside, numbers = inside[order], numbers[order]
    starts = np.searchsorted(numbers, np.arange(1, count + 1))
    present = np.bincount(numbers, minlength=count + 1)[1:] > 0
    # A last zero keeps the starts of objects without a pixel inside the array.
    rows = [np.append(layer.ravel()[inside], 0).astype(np.float64) for layer in layers]
    return [np.where(present, np.maximum.reduceat(row, starts), 0).clip(0) for row in rows]


def _surroundings(grey: np.ndarray, owners: LabelImage, count: int, edge_px: float) -> np.ndarray:
    """(n,) mean of the pixels without an object in a square around each object's centre."""
    size = max(3, round(edge_px))
    free = owners == 0
    rows, columns = _middles(owners, count)
    share = _window_sums(free, size, rows, columns) / size**2
    level = _window_sums(grey * free, size, rows, columns) / size**2
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


def _middles(owners: LabelImage, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Row and column (n,) of each object's centroid; (0, 0) where it has no pixel."""
    rows, columns = np.nonzero(owners > 0)
    numbers = owners[rows, columns]
    sizes = np.bincount(numbers, minlength=count + 1)[1:].clip(1)
    middle = (
        np.bincount(numbers, axis, minlength=count + 1)[1:] / sizes for axis in (rows, columns)
    )
    row, column = (np.rint(values).astype(np.intp) for values in middle)
    return row, column
