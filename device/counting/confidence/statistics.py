"""A frame in a few robust numbers that can be compared with those of the training frames.

Measured at STATISTICS_DIAMETER_PX pixels per cell diameter: the coarsest of the training frames still has that, so that
one range holds for all, and a full-size frame costs a fortieth of its pixels.
"""

import math
from collections.abc import Sequence

import msgspec
import numpy as np
from PIL import Image

from device.counting.card import CountStatistics, FrameStatistics
from device.counting.filters import (
    MEDIAN_PER_SD,
    count_codes,
    gaussians,
    grow,
    histogram_quantile,
    median,
    percentiles,
)
from device.counting.records import Cell, Frame
from device.counting.scale import average_blocks, brightest

STATISTICS_DIAMETER_PX = 6.0
_FINE_SIGMA = 1.0
"""What a Gaussian of this width takes away is fine detail: noise and sharp edges."""
_SMOOTH_SIGMA = 0.6
"""Takes away the noise of single pixels before structures of cell size are measured."""
_CELL_SIGMA = 0.8 * STATISTICS_DIAMETER_PX
"""Wider than a cell: what it leaves is the background."""
_GAUSSIAN_REACH = 4.0
"""Where their kernels end, in sigma."""
_FOCUS_PERCENTILE, _CONTRAST_PERCENTILE = 98, 99.5
"""The brightest structures: a few cells cover a fiftieth of a frame, one cell a two-hundredth."""
_LEAST_CONTRAST_FOR_FOCUS = 8.0
"""Grey levels; below it noise, which no lens blurs, looks like sharp detail."""
_LEAST_CELLS_FOR_SIZE = 5
"""The median of fewer diameters follows single cells."""
_SAMPLES_PER_AXIS = 400
"""Pixels looked at along each axis for saturation: 160,000 tell a share of a thousandth well enough."""


MeasuredFrame = FrameStatistics[float | None]
"""What a frame is like before anything is counted in it; None where it holds too little to tell."""
MeasuredCount = CountStatistics[float | None]
"""And what its counted cells are like."""


def frame_statistics(frame: Frame, image: np.ndarray, working_diameter_px: float) -> MeasuredFrame:
    """Measure a frame before anything is counted in it.

    Args:
        frame: the capture.
        image: (h, w, 3) uint8, the frame at the working scale.
        working_diameter_px: cell diameter there.
    """
    picture = _at_statistics_scale(image, working_diameter_px)
    small = np.asarray(picture)
    levels = brightest(small)
    grey, histogram = levels.astype(np.float32), count_codes(levels)
    blurred, smooth, background = gaussians(
        grey, (_FINE_SIGMA, _SMOOTH_SIGMA, _CELL_SIGMA), _GAUSSIAN_REACH
    )
    fine = grey - blurred
    del blurred  # of large frames tens of megabytes
    coarse = smooth - background
    bright, contrast = percentiles(coarse, (_FOCUS_PERCENTILE, _CONTRAST_PERCENTILE))
    noise = median(np.abs(fine)) / MEDIAN_PER_SD
    green, blue = _colour_shares(picture, small[levels >= histogram_quantile(histogram, 0.99)])
    return FrameStatistics(
        contrast=contrast,
        background=histogram_quantile(histogram, 0.25),
        noise=noise / math.sqrt(histogram_quantile(histogram, 0.5) + 2),
        sharpness=_sharpness(fine, coarse, bright)
        if contrast >= _LEAST_CONTRAST_FOR_FOCUS
        else None,
        green_share=green,
        blue_share=blue,
        saturated_share=_saturated_share(frame),
    )


def count_statistics(
    seen: MeasuredFrame, cells: Sequence[Cell], frame: Frame, cell_diameter_px: float
) -> MeasuredCount:
    """Add what was counted in the frame; `cell_diameter_px` is the one set for it."""
    return CountStatistics(
        **msgspec.structs.asdict(seen),
        cell_size_ratio=cell_size_ratio(cells, cell_diameter_px),
        covered_share=sum(cell.area_px for cell in cells) / (frame.height * frame.width),
    )


def cell_size_ratio(cells: Sequence[Cell], cell_diameter_px: float) -> float | None:
    """Median diameter of the cells per set diameter; None where there are too few to tell."""
    if len(cells) < _LEAST_CELLS_FOR_SIZE:
        return None
    return float(np.median([cell.equivalent_diameter_px for cell in cells])) / cell_diameter_px


def _at_statistics_scale(image: np.ndarray, diameter_px: float) -> Image.Image:
    """The (h, w, 3) image at the scale of the statistics, RGB, at least 8 x 8."""
    is_grey = image.strides[2] == 0
    if is_grey:  # one channel that stands for three is reduced once
        image = image[..., 0]
    scale = STATISTICS_DIAMETER_PX / diameter_px
    height, width = (max(8, round(side * scale)) for side in image.shape[:2])
    # Block means first, to about twice the size: what Pillow's reducing_gap does, without a copy of the image.
    down, right = max(1, image.shape[0] // height // 2), max(1, image.shape[1] // width // 2)
    blocks = Image.fromarray(image if down == right == 1 else average_blocks(image, down, right))
    box = (0, 0, image.shape[1] / right, image.shape[0] / down)
    picture = blocks.resize((width, height), Image.Resampling.BILINEAR, box=box)
    return Image.merge("RGB", (picture,) * 3) if is_grey else picture


def _sharpness(fine: np.ndarray, coarse: np.ndarray, bright: float) -> float:
    """Root mean squares around the brightest structures, fine per coarse."""
    around = grow(grow(coarse >= bright))
    return float(np.sqrt(np.square(fine[around]).mean() / np.square(coarse[around]).mean()))


def _colour_shares(
    picture: Image.Image, brightest_px: np.ndarray
) -> tuple[float | None, float | None]:
    """Green and blue parts of what the brightest hundredth adds to the median; None where it adds nothing.

    Args:
        picture: RGB.
        brightest_px: (n, 3) uint8, its brightest pixels.
    """
    middle = [
        histogram_quantile(channel, 0.5) for channel in np.reshape(picture.histogram(), (3, 256))
    ]
    added = (brightest_px.mean(axis=0) - middle).clip(0)
    total = float(added.sum())
    if total < 1:
        return None, None
    return float(added[1]) / total, float(added[2]) / total


def _saturated_share(frame: Frame) -> float:
    """Part of a grid of original pixels with a sample at full scale."""
    rows, columns = (max(1, side // _SAMPLES_PER_AXIS) for side in (frame.height, frame.width))
    levels = brightest(frame.image[::rows, ::columns])
    if frame.ignored is not None:
        levels = levels[~frame.ignored[::rows, ::columns]]
    full_scale = frame.full_scale
    return 0.0 if levels.size == 0 else float((levels >= full_scale - full_scale // 255).mean())
