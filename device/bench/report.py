"""The measurements as a table, as one line of JSON and as a picture."""

from collections.abc import Sequence
from pathlib import Path

import msgspec

from device.bench.measure import STAGES, Measured

REFERENCE = "reference"
"""Label of the worker that counts in the usual way."""


class ModelSummary(msgspec.Struct, frozen=True, kw_only=True):
    """One model; ratios are None if no reference ran.

    Attributes:
        speedup: seconds of the reference divided by ours.
        memory_ratio: our peak memory divided by that of the reference.
        seconds: median per frame, file to results.
        gmac: per frame, overlap included, in 1e9.
    """

    speedup: float | None
    memory_ratio: float | None
    seconds: float
    gmac: float


class ReferenceSummary(msgspec.Struct, frozen=True, kw_only=True):
    """Keras float32 on the whole frame, scikit-image, a PNG overlay."""

    seconds: float
    peak_mb: float


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """The last line of `fluocount bench --json`."""

    models: dict[str, ModelSummary]
    reference: ReferenceSummary | None


def summarise(measured: Sequence[Measured]) -> Summary:
    """Medians and ratios."""
    reference = next((one for one in measured if one.label == REFERENCE), None)
    models = {one.label: _model(one, reference) for one in measured if one is not reference}
    if reference is None:
        return Summary(models=models, reference=None)
    seconds, peak_mb = reference.seconds("total"), reference.peak_mb
    return Summary(
        models=models,
        reference=ReferenceSummary(seconds=round(seconds, 4), peak_mb=round(peak_mb, 1)),
    )


def _model(one: Measured, reference: Measured | None) -> ModelSummary:
    seconds = one.seconds("total")
    speedup = memory_ratio = None
    if reference is not None:
        speedup = round(reference.seconds("total") / seconds, 2)
        memory_ratio = round(one.peak_mb / reference.peak_mb, 4)
    return ModelSummary(
        speedup=speedup,
        memory_ratio=memory_ratio,
        seconds=round(seconds, 4),
        gmac=round(one.gmac, 3),
    )


def as_table(measured: Sequence[Measured]) -> str:
    """Markdown for people."""
    from tabulate import tabulate

    summary = summarise(measured)
    header = ["", *(f"{stage} s" for stage in STAGES), "CPU s", "peak MB", "faster", "memory"]
    header.append("+ diameter s")
    rows = [_row(one, summary.models.get(one.label)) for one in measured]
    stages = tabulate(rows, header, "github", disable_numparse=True)
    networks = tabulate(
        [_network_row(one) for one in measured if one.label in summary.models],
        ["network", "GMAC a frame", "computed twice", "GMAC/s", "plain int8 product", "reached"],
        "github",
        disable_numparse=True,
    )
    return f"{stages}\n\n{networks}"


def _row(one: Measured, summary: ModelSummary | None) -> list[str]:
    ratios = ["", ""]
    if summary and summary.speedup and summary.memory_ratio:
        ratios = [f"{summary.speedup:.1f} x", f"1/{1 / summary.memory_ratio:.1f}"]
    cpu_s = sorted(timing.cpu_s for timing in one.timings)[len(one.timings) // 2]
    stages = (f"{one.seconds(stage):.3f}" for stage in STAGES)
    diameter = "" if one.diameter_s is None else f"{one.diameter_s:.3f}"
    return [one.label, *stages, f"{cpu_s:.3f}", f"{one.peak_mb:.0f}", *ratios, diameter]


def _network_row(one: Measured) -> list[str]:
    limit = one.limit_gmac_s or 0.0
    return [
        one.label,
        f"{one.gmac:.2f}",
        f"{one.computed_twice:.0%}",
        f"{one.gmac_s:.1f}",
        f"{limit:.1f}",
        f"{one.gmac_s / limit:.0%}" if limit else "",
    ]


def draw(measured: Sequence[Measured], path: Path) -> bool:
    """Seconds by stage and peak memory as a PNG; False if matplotlib is not installed."""
    try:
        from matplotlib.figure import Figure
    except ModuleNotFoundError:
        return False
    figure = Figure(figsize=(9, 1.5 + 0.5 * len(measured)), layout="constrained")
    times, memory = figure.subplots(1, 2, sharey=True, width_ratios=(2, 1))
    labels = [one.label for one in measured]
    left = [0.0] * len(measured)
    for stage in STAGES[:-1]:
        spent = [one.seconds(stage) for one in measured]
        times.barh(labels, spent, left=left, label=stage)
        left = [before + more for before, more in zip(left, spent, strict=True)]
    for label, end in zip(labels, left, strict=True):
        times.annotate(f" {end:.2f} s", (end, label), va="center")
    memory.barh(labels, [one.peak_mb for one in measured], color="0.6")
    times.set_xlabel("seconds per frame, median")
    times.set_xlim(0, 1.15 * max(left))
    memory.set_xlabel("peak memory, MB")
    times.invert_yaxis()
    times.legend(frameon=False, ncols=len(STAGES) - 1, loc="lower center", bbox_to_anchor=(0.5, 1))
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=150)
    return True
