"""The figures of page and report: subjects by group, and agreement. One library draws both."""

import io
import textwrap
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from device.studies.analysis import Analysis, SubjectValue
from device.studies.words import number_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from device.studies.reviewing import Pair

Picture = Literal["svg", "png"]
_COLOURS = ("#4477aa", "#ee6677", "#228833", "#aa7700", "#66aadd", "#aa3377")
"""Paul Tol's bright scheme: told apart by colour-blind people and on paper."""
_INK = "#222222"
_LETTERS = 16
"""Of a group's name beside its neighbours."""
_DOT_AREA = 18
"""Points squared of the dot of one image."""
_DPI = 200
_DOT_WIDE, _DOT_HIGH = 0.09, 0.04
"""Of a dot, as parts of a column and of the axis."""
_SIDES = [0.0] + [side * step * _DOT_WIDE for step in range(1, 5) for side in (1, -1)]
"""Sideways places within a column, from its middle."""


def groups_figure(analysis: Analysis, *, ranks: bool) -> "Figure":
    """Every subject as a dot with the uncertainty of its counts; mean and SD, or median and quartiles."""
    figure, axes = _new(max(3.0, 1.25 * len(analysis.groups) + 1.2), 3.4)
    height = max((one.value + one.uncertainty for one in analysis.values), default=1.0) or 1.0
    drawn = []
    for column, summary in enumerate(analysis.groups):
        own = [one for one in analysis.values if one.group == summary.group]
        colour = _COLOURS[column % len(_COLOURS)]
        drawn.append(_dots(axes, column, own, colour, height))
        if ranks and summary.quartiles is not None and summary.median is not None:
            _bar(axes, column, summary.median, summary.quartiles)
        elif summary.mean is not None:
            sd = summary.sd or 0.0
            _bar(axes, column, summary.mean, (summary.mean - sd, summary.mean + sd))
    if analysis.is_paired:
        _join(axes, drawn)
    names = [f"{_lines(one.group)}\nn = {one.subjects}" for one in analysis.groups]
    axes.set_xticks(range(len(names)), names)
    axes.set_xlim(-0.6, len(names) - 0.4)
    axes.set_ylim(bottom=0)
    axes.set_ylabel(analysis.unit)
    if analysis.region:
        axes.set_title(analysis.region, fontsize=10, loc="left")
    return figure


def agreement_figure(pair: "Pair") -> "Figure":
    """The picture of Bland and Altman: every image a dot, mean difference and limits of agreement as lines.

    Images with the same counts are one dot, whose area is their number.
    """
    from matplotlib.ticker import MaxNLocator

    figure, axes = _new(4.8, 3.2)
    alike = Counter(zip(pair.means, pair.differences, strict=True))
    means, differences = zip(*alike, strict=True)
    sizes = [_DOT_AREA * number for number in alike.values()]
    axes.scatter(means, differences, s=sizes, color=_COLOURS[0], alpha=0.75, linewidths=0)
    found = pair.bland_altman
    for level, style in ((found.lower, "--"), (found.mean, "-"), (found.upper, "--")):
        if level is None:
            continue
        axes.axhline(level, color=_INK, linestyle=style, linewidth=1)
        axes.annotate(
            number_text(level, 2), (1.0, level), xycoords=("axes fraction", "data"), fontsize=8,
            xytext=(4, 0), textcoords="offset points", va="center",
        )  # fmt: skip
    axes.axhline(0, color="#bbbbbb", linewidth=0.8, zorder=0)
    axes.margins(y=0.15)
    axes.yaxis.set_major_locator(MaxNLocator(nbins=6, steps=[1, 2, 5, 10]))
    axes.xaxis.set_major_locator(MaxNLocator(nbins=8, steps=[1, 2, 5, 10]))
    axes.set_xlabel("mean of both, cells per image")
    axes.set_ylabel(f"{pair.second} − {pair.first}", fontsize=8)
    return figure


def encode_figure(figure: "Figure", picture: Picture) -> bytes:
    """The same bytes for the same data: no date, no random ids."""
    import matplotlib

    stream = io.BytesIO()
    settings: Any = {"svg.fonttype": "none", "svg.hashsalt": "fluocount"}
    with matplotlib.rc_context(settings):
        metadata: dict[str, Any] = {"Date": None} if picture == "svg" else {"Software": None}
        figure.savefig(stream, format=picture, dpi=_DPI, metadata=metadata, bbox_inches="tight")
    return stream.getvalue()


def _new(width_in: float, height_in: float) -> tuple["Figure", "Axes"]:
    import matplotlib
    from matplotlib.figure import Figure

    matplotlib.rcParams["text.parse_math"] = False  # a dollar in a name is no formula
    figure = Figure(figsize=(width_in, height_in), layout="constrained")
    axes = figure.add_subplot()
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=9)
    return figure, axes


def _lines(name: str) -> str:
    """A long name in several lines, so that neighbours do not run into each other."""
    return textwrap.fill(name, _LETTERS)


def _dots(
    axes: "Axes", column: int, own: Sequence[SubjectValue], colour: str, height: float
) -> dict[str, tuple[float, float]]:
    """Draw the subjects of a group; returns where each is."""
    values = [one.value for one in own]
    places = [column + aside for aside in _beside(values, height)]
    errors = [one.uncertainty for one in own]
    axes.errorbar(
        places, values, yerr=errors, fmt="o", markersize=5.5, color=colour, ecolor=colour, elinewidth=0.8,
        alpha=0.85, markeredgewidth=0, zorder=4,
    )  # fmt: skip
    return {one.subject: (at, one.value) for one, at in zip(own, places, strict=True)}


def _beside(values: Sequence[float], height: float) -> list[float]:
    """Sideways places, as near to the middle as no dot covers another; the same at every drawing.

    Args:
        values: of the dots.
        height: of the axis, in the unit of the values.
    """
    places: dict[int, float] = {}
    for at in np.argsort(values, kind="stable").tolist():
        near = [places[one] for one in places if abs(values[one] - values[at]) < _DOT_HIGH * height]
        free = (side for side in _SIDES if all(abs(side - one) >= _DOT_WIDE for one in near))
        places[at] = next(free, 0.0)
    return [places[at] for at in range(len(values))]


def _join(axes: "Axes", columns: Sequence[dict[str, tuple[float, float]]]) -> None:
    """A thin line from each subject to itself in the next group."""
    for left, right in pairwise(columns):
        for subject in left.keys() & right.keys():
            ends = list(zip(left[subject], right[subject], strict=True))
            axes.plot(*ends, color="#999999", linewidth=0.7, zorder=1)


def _bar(axes: "Axes", column: int, middle: float, ends: tuple[float, float]) -> None:
    """Behind the dots, so that none is hidden."""
    axes.hlines(middle, column - 0.3, column + 0.3, color=_INK, linewidth=2, zorder=2)
    axes.vlines(column, *ends, color=_INK, linewidth=1.2, zorder=2)
    axes.hlines(ends, column - 0.12, column + 0.12, color=_INK, linewidth=1.2, zorder=2)
