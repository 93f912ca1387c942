"""Is the confidence honest? Calibration, coverage and flags of a run in tables and one picture."""

from pathlib import Path

import numpy as np
from tabulate import tabulate

from device.assays.evidence import Evidence
from device.assays.fitting import Interval, interval_of
from device.counting.card import Confidence
from device.counting.confidence.features import FEATURES
from device.counting.confidence.probabilities import (
    COVERAGE,
    cell_probabilities,
)
from trainer.confidence.flagrates import FULL_WIDTH_PX, Rate
from trainer.scores.evaluate import CROWDED_CELLS, SPARSE_CELLS

Unseen = list[tuple[Evidence, Confidence]]
"""Frames with a confidence section fitted without their fold."""

_BINS = np.linspace(0, 1, 11)


def bins(unseen: Unseen) -> list[tuple[float, float, int]]:
    """(mean probability, share that are cells, number) of the objects in tenths of probability."""
    chances = np.concatenate(
        [cell_probabilities(f.features, c) for f, c in unseen] or [np.zeros(0)]
    )
    is_cell = np.concatenate([f.is_cell for f, _ in unseen] or [np.zeros(0, dtype=bool)])
    place = np.clip(np.digitize(chances, _BINS) - 1, 0, len(_BINS) - 2)
    return [
        (float(chances[own].mean()), float(is_cell[own].mean()), int(own.sum()))
        for number in range(len(_BINS) - 1)
        if (own := place == number).any()
    ]


def calibration_error(unseen: Unseen) -> float:
    """Mean distance between probability and share over the objects."""
    rows = bins(unseen)
    return sum(abs(chance - share) * number for chance, share, number in rows) / max(
        1, sum(number for _, _, number in rows)
    )


def intervals(unseen: Unseen) -> list[Interval]:
    """Every frame's count and interval."""
    return [interval_of(frame, own) for frame, own in unseen]


def coverage_table(unseen: Unseen) -> str:
    """Markdown: how often the interval contains the true count, and how wide it is."""
    rows = intervals(unseen)
    groups = {
        "all": rows,
        "empty": [row for row in rows if row.frame.targets == 0],
        "sparse": [row for row in rows if 0 < row.frame.targets <= SPARSE_CELLS],
        "medium": [row for row in rows if SPARSE_CELLS < row.frame.targets < CROWDED_CELLS],
        "crowded": [row for row in rows if row.frame.targets >= CROWDED_CELLS],
        "full size": [row for row in rows if row.frame.width >= FULL_WIDTH_PX],
    }
    lines = []
    for name, some in groups.items():
        if not some:
            continue
        inside = sum(row.inside for row in some)
        alone = sum(row.count == row.frame.targets for row in some)
        widths = [row.high - row.low for row in some]
        lines.append(
            [
                name,
                len(some),
                f"{inside} ({inside / len(some):.0%})",
                f"{alone / len(some):.0%}",
                f"{np.median(widths):.0f}",
                f"{np.mean(widths):.1f}",
            ]
        )
    head = ["frames", "number", "true count inside", "count exact", "median width", "mean width"]
    return tabulate(lines, head, tablefmt="github", disable_numparse=True)


def doubtful_sentence(unseen: Unseen) -> str:
    """How much of what is wrong in the count a person finds among the doubtful objects."""
    missed = wrong = missed_shown = wrong_shown = shown = out_of_reach = 0
    for frame, own in unseen:
        judged = frame.judge(own)
        counted, near = judged.counted, judged.doubtful
        missed += int((frame.is_cell & ~counted).sum())
        missed_shown += int((frame.is_cell & ~counted & near).sum())
        wrong += int((~frame.is_cell & counted).sum())
        wrong_shown += int((~frame.is_cell & counted & near).sum())
        out_of_reach += frame.targets - int(frame.is_cell.sum())
        shown += int(near.sum())
    return (
        f"{shown / max(1, len(unseen)):.1f} objects per frame are doubtful. Among them are {missed_shown} of the "
        f"{missed} cells that the threshold missed ({out_of_reach} more are no object of their own) and "
        f"{wrong_shown} of the {wrong} objects that are counted but are not cells."
    )


def flag_table(rates: dict[str, Rate]) -> str:
    """Markdown of flag rates."""
    rows = [
        [
            name,
            f"{rate.flagged} of {rate.frames}",
            f"{rate.flagged / max(1, rate.frames):.0%}",
            ", ".join(f"{code} {number}" for code, number in rate.codes.items()),
        ]
        for name, rate in rates.items()
    ]
    head = ["frames", "flagged", "share", "codes raised"]
    return tabulate(rows, head, tablefmt="github", disable_numparse=True)


def write_confidence_report(
    title: str,
    unseen: Unseen,
    confidence: Confidence,
    normal: dict[str, Rate],
    spoilt: dict[str, Rate],
    folder: Path,
) -> str:
    """confidence.md and confidence.png; returns the text."""
    draw(unseen, folder / "confidence.png")
    curve = [[f"{chance:.2f}", f"{share:.2f}", number] for chance, share, number in bins(unseen)]
    head = ["mean probability", "share that are cells", "objects"]
    terms = ", ".join(f"{name} {getattr(confidence, name).coefficient:+.2f}" for name in FEATURES)
    sections = [
        f"# {title}",
        f"Fitted on {confidence.fitted_on}. Every figure below leaves out the frame's own fold.",
        "## Probabilities",
        f"Log odds per standard deviation: {terms}; mean calibration error {calibration_error(unseen):.3f}. "
        f"Counted from a probability of {confidence.least_probability:g} on.",
        tabulate(curve, head, tablefmt="github", disable_numparse=True),
        f"## Intervals (meant to hold {COVERAGE:.0%})",
        f"Spread between frames {confidence.frame_sd:.2f} in log odds.",
        coverage_table(unseen),
        doubtful_sentence(unseen),
        "## Flags on normal frames (false)",
        flag_table(normal),
        "## Flags on spoilt frames (true: the one expected)",
        flag_table(spoilt),
        "![Calibration and intervals](confidence.png)",
    ]
    text = "\n\n".join(sections) + "\n"
    (folder / "confidence.md").write_text(text, encoding="utf-8")
    return text


def draw(unseen: Unseen, path: Path) -> None:
    """Calibration curve, and every frame's interval around its true count."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 4.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    chance, share, number = (np.array(column) for column in zip(*bins(unseen), strict=True))
    error = np.sqrt(share * (1 - share) / number)
    left.plot([0, 1], [0, 1], color="grey", linestyle=":")
    left.errorbar(chance, share, error, marker="o", capsize=3)
    for x, y, n in zip(chance, share, number, strict=True):
        left.annotate(str(n), (x, y), textcoords="offset points", xytext=(6, -10), fontsize=7)
    left.set(xlabel="probability", ylabel="share that are cells", xlim=(0, 1), ylim=(0, 1))
    rows = sorted(intervals(unseen), key=lambda row: (row.frame.targets, row.frame.name))
    for place, row in enumerate(rows):
        colour = "tab:blue" if row.inside else "tab:red"
        right.plot([place, place], [row.low, row.high], color=colour, lw=3)
    places = range(len(rows))
    right.plot(places, [row.frame.targets for row in rows], "k_", ms=5, label="true count")
    right.plot(places, [row.count for row in rows], ".", color="orange", ms=4, label="count")
    right.set(xlabel="frame, by true count", ylabel="cells and 90 % interval")
    right.legend()
    figure.savefig(path, dpi=100)
