"""The figures of page and report: subjects by group, and agreement. One library draws both."""

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from device.studies.analysis import Analysis, SubjectValue

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from device.studies.reviewing import Pair

Picture = Literal["svg", "png"]
_COLOURS = ("#4477aa", "#ee6677", "#228833", "#aa7700", "#66aadd", "#aa3377")
"""Paul Tol's bright scheme: told apart by colour-blind people and on paper."""
_INK = "#222222"
_DPI = 200
_SPREAD = 0.32
"""How far from the middle of its column (1 wide) a dot may stand."""


def groups_figure(analysis: Analysis, *, ranks: bool) -> "Figure":
    """Every subject as a dot with the uncertainty of its counts; mean and SD, or median and quartiles."""
    figure, axes = _new(max(3.0, 1.25 * len(analysis.groups) + 1.2), 3.4)
    for column, summary in enumerate(analysis.groups):
        own = [one for one in analysis.values if one.group == summary.group]
        colour = _COLOURS[column % len(_COLOURS)]
        _dots(axes, column, own, colour)
        if ranks and summary.quartiles is not None and summary.median is not None:
            _bar(axes, column, summary.median, summary.quartiles)
        elif summary.mean is not None:
            sd = summary.sd or 0.0
            _bar(axes, column, summary.mean, (summary.mean - sd, summary.mean + sd))
    names = [f"{one.group}\nn = {one.subjects}" for one in analysis.groups]
    axes.set_xticks(range(len(names)), names)
    axes.set_xlim(-0.6, len(names) - 0.4)
    axes.set_ylim(bottom=0)
    axes.set_ylabel(analysis.unit)
    if analysis.region:
        axes.set_title(analysis.region, fontsize=10, loc="left")
    return figure


def agreement_figure(pair: "Pair") -> "Figure":
    """The picture of Bland and Altman: every image a dot, mean difference and limits of agreement as lines."""
    figure, axes = _new(4.8, 3.2)
    axes.scatter(pair.means, pair.differences, s=22, color=_COLOURS[0], alpha=0.8, linewidths=0)
    found = pair.bland_altman
    for level, style in ((found.lower, "--"), (found.mean, "-"), (found.upper, "--")):
        if level is None:
            continue
        axes.axhline(level, color=_INK, linestyle=style, linewidth=1)
        axes.annotate(
            f"{level:.1f}", (1.0, level), xycoords=("axes fraction", "data"), fontsize=8,
            xytext=(4, 0), textcoords="offset points", va="center",
        )  # fmt: skip
    axes.axhline(0, color="#bbbbbb", linewidth=0.8, zorder=0)
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


def _dots(axes: "Axes", column: int, own: Sequence[SubjectValue], colour: str) -> None:
    values = [one.value for one in own]
    places = column + _beside(values)
    errors = [one.uncertainty for one in own]
    axes.errorbar(
        places, values, yerr=errors, fmt="o", markersize=5.5, color=colour, ecolor=colour, elinewidth=0.8,
        alpha=0.85, markeredgewidth=0,
    )  # fmt: skip


def _beside(values: Sequence[float]) -> "np.ndarray[Any, np.dtype[np.float64]]":
    """Sideways places that keep neighbours in value apart, the same at every drawing."""
    places = np.zeros(len(values))
    order = np.argsort(values, kind="stable")
    for rank, at in enumerate(order):
        step = (rank % 5 - 2) / 2  # left to right and again
        places[at] = _SPREAD * step if len(values) > 1 else 0.0
    return places


def _bar(axes: "Axes", column: int, middle: float, ends: tuple[float, float]) -> None:
    axes.hlines(middle, column - 0.28, column + 0.28, color=_INK, linewidth=2, zorder=5)
    axes.vlines(column, *ends, color=_INK, linewidth=1.2, zorder=5)
    axes.hlines(ends, column - 0.1, column + 0.1, color=_INK, linewidth=1.2, zorder=5)
