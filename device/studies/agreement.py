"""Agreement of two who counted the same images: Bland and Altman, intraclass correlation, F1 of the cells.

tests/test_agreement.py compares the figures with R and holds R's commands.
"""

from collections.abc import Sequence

import msgspec
import numpy as np
import numpy.typing as npt

LIMITS_SD = 1.96
"""The limits of agreement hold 95 % of the differences (Bland and Altman 1986)."""
_NOTHING = 1e-9
"""A variance of whole counts below this is rounding."""
Values = Sequence[float] | npt.NDArray[np.float64]
Points = Sequence[tuple[float, float]]


class BlandAltman(msgspec.Struct, frozen=True, kw_only=True):
    """Differences second minus first, in cells.

    Attributes:
        images: how many.
        mean, mean_low, mean_high: mean difference with its 95 % interval.
        sd: standard deviation of the differences; None for one image.
        lower, upper: limits of agreement.
        limits_reach: half of the 95 % interval of either limit.
    """

    images: int
    mean: float
    mean_low: float | None
    mean_high: float | None
    sd: float | None
    lower: float | None
    upper: float | None
    limits_reach: float | None


class Icc(msgspec.Struct, frozen=True, kw_only=True):
    """Intraclass correlation with its 95 % interval; None where too little differs to tell it."""

    value: float | None
    low: float | None
    high: float | None


class Matched(msgspec.Struct, frozen=True, kw_only=True):
    """Cells that both marked, and those that one alone did; `f1` is 1 where both marked none."""

    both: int
    first_only: int
    second_only: int

    @property
    def f1(self) -> float:
        """Harmonic mean of the two shares that agree."""
        total = 2 * self.both + self.first_only + self.second_only
        return 2 * self.both / total if total else 1.0


def bland_altman(first: Values, second: Values) -> BlandAltman:
    """Mean difference and limits of agreement.

    Args:
        first, second: counts of the same images, at least one.
    """
    from scipy.stats import t

    differences = np.asarray(second, dtype=float) - np.asarray(first, dtype=float)
    number, mean = differences.size, float(differences.mean())
    if number < 2:
        nothing = dict.fromkeys(("mean_low", "mean_high", "sd", "lower", "upper", "limits_reach"))
        return BlandAltman(images=number, mean=mean, **nothing)
    sd = float(differences.std(ddof=1))
    wide = float(t.ppf(0.975, number - 1))
    reach = wide * sd / float(np.sqrt(number))
    return BlandAltman(
        images=number,
        mean=mean,
        mean_low=mean - reach,
        mean_high=mean + reach,
        sd=sd,
        lower=mean - LIMITS_SD * sd,
        upper=mean + LIMITS_SD * sd,
        limits_reach=float(wide * np.sqrt(3 * sd**2 / number)),  # Bland and Altman 1986
    )


def intraclass_correlation(table: npt.ArrayLike) -> Icc:
    """Two-way random effects, absolute agreement, single measurement: ICC(2,1) of Shrout and Fleiss (1979).

    The interval is that of McGraw and Wong (1996), as R's irr and psych give it.

    Args:
        table: (images, raters) counts; at least two of each.
    """
    counts = np.asarray(table, dtype=float)
    images, raters = counts.shape
    if images < 2 or raters < 2 or np.ptp(counts) == 0:
        return Icc(value=None, low=None, high=None)
    between, columns, rest = _mean_squares(counts)
    lower_part = between + (raters - 1) * rest + raters * (columns - rest) / images
    if lower_part < _NOTHING:  # two images, exchanged: no variance is left to share out
        return Icc(value=None, low=None, high=None)
    value = (between - rest) / lower_part
    if value >= 1 or rest + columns == 0:
        return Icc(value=value, low=None, high=None)
    low, high = _icc_interval(value, counts.shape, (between, columns, rest))
    if not np.isfinite([low, high]).all():
        return Icc(value=value, low=None, high=None)
    return Icc(value=value, low=low, high=high)


def _icc_interval(
    value: float, shape: tuple[int, ...], squares: tuple[float, float, float]
) -> tuple[float, float]:
    """The interval of McGraw and Wong; not finite where images or raters do not differ, as few images may not."""
    from scipy.stats import f

    images, raters = shape
    between, columns, rest = np.array(
        squares
    )  # NumPy's numbers: a division by nothing is no exception
    with np.errstate(divide="ignore", invalid="ignore"):
        a = raters * value / (images * (1 - value))
        b = 1 + raters * value * (images - 1) / (images * (1 - value))
        freedom = (a * columns + b * rest) ** 2 / (
            (a * columns) ** 2 / (raters - 1) + (b * rest) ** 2 / ((images - 1) * (raters - 1))
        )
        below, above = f.ppf(0.975, images - 1, freedom), f.ppf(0.975, freedom, images - 1)
        scatter = raters * columns + (raters * images - raters - images) * rest
        low = images * (between - below * rest) / (below * scatter + images * between)
        high = images * (above * between - rest) / (scatter + images * above * between)
    return float(low), float(high)


def match_points(first: Points, second: Points, reach_px: float) -> list[tuple[int, int]]:
    """Pairs of points of the two sets that are nearer than `reach_px`; no point is in two pairs.

    As many pairs as can be, and among these the nearest.
    """
    from scipy.optimize import linear_sum_assignment
    from scipy.spatial.distance import cdist

    if not len(first) or not len(second):
        return []
    distances = cdist(np.asarray(first), np.asarray(second))
    far = 1e6  # above every sum of distances within reach
    rows, columns = linear_sum_assignment(np.where(distances < reach_px, distances, far))
    return [
        (int(row), int(column))
        for row, column in zip(rows, columns, strict=True)
        if distances[row, column] < reach_px
    ]


def match(first: Points, second: Points, reach_px: float) -> Matched:
    """How many cells of an image both marked."""
    both = len(match_points(first, second, reach_px))
    return Matched(both=both, first_only=len(first) - both, second_only=len(second) - both)


def _mean_squares(counts: npt.NDArray[np.float64]) -> tuple[float, float, float]:
    """Of images, of raters and of the rest, in the analysis of variance without repetition."""
    images, raters = counts.shape
    grand = counts.mean()
    by_image, by_rater = counts.mean(axis=1), counts.mean(axis=0)
    between = raters * float(((by_image - grand) ** 2).sum()) / (images - 1)
    columns = images * float(((by_rater - grand) ** 2).sum()) / (raters - 1)
    rest = counts - by_image[:, None] - by_rater + grand
    return between, columns, float((rest**2).sum()) / ((images - 1) * (raters - 1))
