"""The classical way, tuned as a careful person would: background, Otsu, watershed; for each set by itself."""

from dataclasses import dataclass
from itertools import product

import numpy as np
import numpy.typing as npt
from scipy import ndimage
from skimage.feature import peak_local_max
from skimage.filters import threshold_otsu
from skimage.segmentation import watershed

from device.counting.records import Frame, disc_area
from device.counting.scale import to_8_bit
from trainer.frames.example import Example
from trainer.scores.classical import BLUR_RATIO, SMALLEST_RATIO, Segmented
from trainer.scores.evaluate import FrameScore, pool_scores, score

WORKING_DIAMETER_PX = 24.0
"""Larger cells are looked at shrunk: the outcome is the same, the time is not."""


@dataclass(frozen=True, slots=True)
class Tuning:
    """What is chosen per set.

    Attributes:
        background: sigma of the Gaussian taken for the background, in cell diameters; 0 takes none away.
        factor: of Otsu's threshold.
        distance: least distance of two watershed seeds, in cell diameters.
    """

    background: float
    factor: float
    distance: float


TUNINGS = tuple(
    Tuning(*values) for values in product((0.0, 3.0), (0.5, 0.75, 1.0, 1.5), (0.3, 0.5))
)


def watershed_way(frame: Frame, cell_diameter_px: float, tuning: Tuning) -> Segmented:
    """Blur, take the background away, Otsu's threshold, fill holes, watershed on distances, size filter.

    Args:
        frame: any.
        cell_diameter_px: typical cell in this frame's pixels.
        tuning: see there.
    """
    grey = to_8_bit(frame.image, frame.full_scale).max(axis=2).astype(np.float32)
    step = max(1, int(cell_diameter_px / WORKING_DIAMETER_PX))
    diameter = cell_diameter_px / step
    smooth = ndimage.gaussian_filter(_shrunk(grey, step), BLUR_RATIO * diameter)
    if tuning.background:
        smooth = smooth - ndimage.gaussian_filter(smooth, tuning.background * diameter)
    if smooth.max() - smooth.min() < 1:
        return Segmented(np.zeros(grey.shape, np.int32))
    mask = ndimage.binary_fill_holes(smooth > _cut(smooth, tuning.factor))
    parts = _part(mask, max(1, round(tuning.distance * diameter)))
    areas = np.bincount(parts.ravel())
    areas[0] = 0
    large = areas >= SMALLEST_RATIO * disc_area(diameter)
    table = np.where(large, np.cumsum(large), 0).astype(np.int32)
    return Segmented(_enlarge(table[parts], step, grey.shape))


def _cut(smooth: npt.NDArray[np.float32], factor: float) -> float:
    """Otsu's threshold, its distance from the median times `factor`."""
    middle = float(np.median(smooth))
    return middle + factor * (float(threshold_otsu(smooth)) - middle)


def _part(mask: npt.NDArray[np.bool_], near_px: int) -> npt.NDArray[np.int32]:
    distance = ndimage.gaussian_filter(ndimage.distance_transform_edt(mask), 0.5)
    objects, _ = ndimage.label(mask, np.ones((3, 3)))
    peaks = peak_local_max(distance, min_distance=near_px, labels=objects, exclude_border=False)
    seeds = np.zeros(mask.shape, np.int32)
    seeds[tuple(peaks.T)] = np.arange(1, len(peaks) + 1)
    return watershed(-distance, seeds, mask=mask)


def _shrunk(grey: npt.NDArray[np.float32], step: int) -> npt.NDArray[np.float32]:
    """Means of blocks of `step` x `step` pixels; what is left over at the edges goes."""
    rows, columns = (side // step for side in grey.shape)
    cut = grey[: rows * step, : columns * step]
    return cut.reshape(rows, step, columns, step).mean(axis=(1, 3))


def _enlarge(labels: npt.NDArray[np.int32], step: int, shape: tuple[int, ...]) -> np.ndarray:
    whole = np.zeros(shape, np.int32)
    large = labels.repeat(step, axis=0).repeat(step, axis=1)
    whole[: large.shape[0], : large.shape[1]] = large
    return whole


def tuned_scores(
    examples: list[Example], fold_of: dict[str, int], frame_cell_diameter_px: float
) -> list[FrameScore]:
    """Scores of every frame under the tuning that is best on its set's other folds."""
    scores: list[FrameScore] = []
    for source in sorted({example.source for example in examples}):
        own = [example for example in examples if example.source == source]
        table = {
            tuning: [
                score(e, watershed_way(e.frame, frame_cell_diameter_px / e.scale, tuning))
                for e in own
            ]
            for tuning in TUNINGS
        }
        scores += _choose_elsewhere(own, table, fold_of)
    return scores


def _choose_elsewhere(
    own: list[Example], table: dict[Tuning, list[FrameScore]], fold_of: dict[str, int]
) -> list[FrameScore]:
    scores = []
    for fold in sorted({fold_of[e.name] for e in own}):
        others = [i for i, e in enumerate(own) if fold_of[e.name] != fold] or list(range(len(own)))
        best = max(table, key=lambda tuning: pool_scores(table[tuning][i] for i in others).f1)
        scores += [table[best][i] for i, e in enumerate(own) if fold_of[e.name] == fold]
    return scores
