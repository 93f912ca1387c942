"""How many images to review, and which: a random draw from strata of count and warnings."""

import math
from collections.abc import Sequence

import msgspec
import numpy as np
import numpy.typing as npt

from device.errors import InputError
from device.studies.values import ImageLine, ends_of

LEAST_DRAWN = 5
"""The scatter of the differences cannot be estimated from fewer images."""
_WIDTH_90 = 2 * 1.645
"""Standard deviations across a 90 % interval."""
_CLASSES = 3
"""Strata of counts: few, medium and many cells."""


class Drawn(msgspec.Struct, frozen=True, kw_only=True):
    """The images that were drawn.

    Attributes:
        strata: stratum by count id.
        of: how many images each stratum has in all.
        seed: the same seed draws the same images.
    """

    strata: dict[str, str]
    of: dict[str, int]
    seed: int


def sample_size(sd: float, precision: float, images: int) -> int:
    """How many images give the mean error with 95 % confidence to within `precision` cells.

    Args:
        sd: standard deviation of the error of one image, in cells.
        precision: half of the interval of the mean error, in cells.
        images: how many there are; reviewing all of them leaves no uncertainty (finite population).

    Raises:
        InputError: the precision is not above 0, or there are no images.
    """
    if precision <= 0 or not math.isfinite(precision) or images < 1:
        raise InputError("The precision must be above 0 cells, and the study must have images.")
    numbers = np.arange(LEAST_DRAWN, images)
    enough = numbers[_reach(sd, numbers, images) <= precision]
    return int(enough[0]) if enough.size else images


def mean_precision(sd: float, number: int, images: int) -> float:
    """Half of the 95 % interval of the mean error, in cells, where so many of so many images are reviewed."""
    return float(_reach(sd, np.array([number]), images)[0])


def _reach(sd: float, numbers: npt.NDArray[np.int_], images: int) -> npt.NDArray[np.float64]:
    from scipy.stats import t

    reach = t.ppf(0.975, numbers - 1) * sd / np.sqrt(numbers) * np.sqrt(1 - numbers / images)
    return np.asarray(reach, dtype=np.float64)


def expected_sd(lines: Sequence[ImageLine]) -> float:
    """Standard deviation of the error that the intervals of the counts promise; for the first review of a study."""
    ends = [ends_of(line) for line in _leave_out_reviewed(lines) if line.interval]
    widths = [high - low for low, high in ends]
    return (
        math.sqrt(float(np.mean([(width / _WIDTH_90) ** 2 for width in widths]))) if widths else 0.0
    )


def draw_images(lines: Sequence[ImageLine], number: int, seed: int) -> Drawn:
    """Draw images at random, as many from each stratum as its share, and at least one.

    Strata are few, medium and many cells, each with and without a warning, so that rare kinds of image are not missed.

    Args:
        lines: of the study; images without a count are not drawn.
        number: how many; all if there are fewer.
        seed: of the draw.

    Raises:
        InputError: no image has a count, or none is wanted.
    """
    counted = [line for line in lines if line.count is not None]
    if not counted or number < 1:
        raise InputError(
            "There is no counted image to review; count the images of the study first."
        )
    strata = _strata(counted)
    if number < len(strata):  # too few for one of each kind: all images are one
        strata = {"all": counted}
    of = {name: len(own) for name, own in strata.items()}
    generator = np.random.default_rng(seed)
    drawn: dict[str, str] = {}
    for name, share in shares(of, min(number, len(counted))).items():
        own = strata[name]
        for at in generator.choice(len(own), size=share, replace=False):
            drawn[own[int(at)].count_id] = name
    return Drawn(strata=drawn, of=of, seed=seed)


def shares(of: dict[str, int], number: int) -> dict[str, int]:
    """How many to draw from each stratum: in proportion, at least one, by largest remainder."""
    total = sum(of.values())
    number = min(max(number, len(of)), total)
    exact = {name: number * size / total for name, size in of.items()}
    given = {name: min(of[name], max(1, math.floor(share))) for name, share in exact.items()}
    while sum(given.values()) < number:
        open_names = [name for name in of if given[name] < of[name]]
        given[max(open_names, key=lambda name: exact[name] - given[name])] += 1
    while sum(given.values()) > number:
        full = [name for name in of if given[name] > 1]
        given[min(full, key=lambda name: exact[name] - given[name])] -= 1
    return given


def _leave_out_reviewed(lines: Sequence[ImageLine]) -> list[ImageLine]:
    return [line for line in lines if line.count is not None and not line.reviewed_by]


def _strata(lines: Sequence[ImageLine]) -> dict[str, list[ImageLine]]:
    counts = np.array([line.count or 0 for line in lines])
    edges = np.quantile(counts, [part / _CLASSES for part in range(1, _CLASSES)])
    names = ("few cells", "medium", "many cells")
    strata: dict[str, list[ImageLine]] = {}
    for line, place in zip(lines, np.searchsorted(edges, counts, side="left"), strict=True):
        name = names[int(place)] + (", with a warning" if line.flags else "")
        strata.setdefault(name, []).append(line)
    return dict(sorted(strata.items()))
