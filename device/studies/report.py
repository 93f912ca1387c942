"""The report of a study: one HTML file that opens without network and prints well, and its parts as files."""

import re
from datetime import datetime
from pathlib import Path
from typing import Any

from markupsafe import Markup, escape

from device import __version__
from device.errors import StorageError
from device.machine.files import write_atomic
from device.store import Store
from device.studies.analysis import Analysis, Findings, analyse
from device.studies.comparing import require_statistics
from device.studies.drawn import NO_INTERVAL, drawn_csv, drawn_regions
from device.studies.methods import methods_text
from device.studies.notes import AGAIN, FLAGGED, UNREVIEWED
from device.studies.plots import agreement_figure, encode_figure, groups_figure
from device.studies.reviewing import ReviewResult, finished_reviews
from device.studies.tables import images_csv, prism_csv, subjects_csv
from device.studies.values import flag_words
from device.studies.words import (
    effect_sentence,
    number_text,
    overall_sentence,
    p_text,
    range_text,
)

TEMPLATES = Path(__file__).parent / "templates"
_SHOWN = 24
"""Names of a list that fit into a few lines of print."""
_FITS = 34
"""Letters in the line of a list in three columns."""


def report_html(store: Store, findings: Findings) -> str:
    """The report as one HTML file: pictures are within it, nothing is loaded.

    Args:
        store: with the results that the methods text is made of.
        findings: of `analyse`.
    """
    from jinja2 import Environment, FileSystemLoader

    reviews = finished_reviews(store, findings.study.name)
    environment = Environment(loader=FileSystemLoader(TEMPLATES), autoescape=True, trim_blocks=True)
    environment.filters |= {"number": number_text, "flags": flag_words, "breakable": breakable}
    environment.globals |= {"span": range_text, "p": p_text}
    return environment.get_template("report.html").render(
        findings=findings,
        study=findings.study,
        parts=[_part(findings, one) for one in findings.analyses],
        methods=methods_text(store, findings, reviews),
        made=datetime.now().astimezone().strftime("%Y-%m-%d %H:%M"),
        version=__version__,
        numbers=_numbers(findings),
        notes=[_note(heading, told) for heading, told in findings.notes.items()],
        reviews=[_review(found) for found in reviews],
        drawn=drawn_regions(store, findings.study.name),
        no_interval=NO_INTERVAL,
    )


def write_report(store: Store, name: str, out_dir: Path, *, density: bool = False) -> list[Path]:
    """Write report.html, figure (SVG and PNG) and tables into a folder.

    Returns:
        The files.

    Raises:
        NotFoundError: there is no such study.
        InputError: the libraries for the statistics are not installed.
        StorageError: the folder cannot be written.
    """
    require_statistics()
    findings = analyse(store, name, density=density)
    contents = report_files(store, findings)
    try:
        out_dir.mkdir(parents=True, exist_ok=True)
        for file_name, data in contents.items():
            write_atomic(out_dir / file_name, data)
    except OSError as error:
        raise StorageError(
            f"{out_dir} cannot be written ({error.strerror}); check the folder."
        ) from None
    return [out_dir / file_name for file_name in contents]


def report_files(store: Store, findings: Findings) -> dict[str, bytes]:
    """Every file of the report by name; regions have files of their own."""
    contents = {
        "report.html": report_html(store, findings).encode(),
        "images.csv": images_csv(findings.study.name, findings.lines).encode(),
        "subjects.csv": subjects_csv(findings).encode(),
    }
    drawn = drawn_csv(store, findings.study.name)
    if drawn is not None:
        contents["regions.csv"] = drawn.encode()
    for place, analysis in enumerate(findings.analyses, start=1):
        ending = f"-{place}" if len(findings.analyses) > 1 else ""
        figure = groups_figure(analysis, ranks=findings.study.tests == "ranks")
        contents[f"figure{ending}.svg"] = encode_figure(figure, "svg")
        contents[f"figure{ending}.png"] = encode_figure(figure, "png")
        contents[f"prism{ending}.csv"] = prism_csv(analysis).encode()
    return contents


def breakable(text: str) -> Markup:
    """A name that may go on in the next line behind its _ and -, instead of anywhere."""
    return Markup(re.sub(r"([_-])", r"\1<wbr>", str(escape(text))))


def inline_svg(data: bytes) -> Markup:
    """A drawing as it can stand within HTML: without the XML prologue. What people typed is escaped in it."""
    text = data.decode()
    return Markup(text[text.index("<svg") :])


def _part(findings: Findings, analysis: Analysis) -> dict[str, Any]:
    ranks = findings.study.tests == "ranks"
    figure = groups_figure(analysis, ranks=ranks)
    effects = analysis.comparison.effects
    return {
        "analysis": analysis,
        "overall": overall_sentence(analysis.comparison),
        "figure": inline_svg(encode_figure(figure, "svg")),
        "standardized": "Probability to be above" if ranks else "Hedges' g",
        "effects": [effect_sentence(effect, analysis.unit, ranks) for effect in effects],
        "shown": "median and quartiles" if ranks else "mean and standard deviation",
    }


def _note(heading: str, told: tuple[str, ...]) -> dict[str, Any]:
    """A long list that the table of all images repeats is shown in part."""
    shown = told[:_SHOWN] if heading in (FLAGGED, AGAIN, UNREVIEWED) else told
    return {
        "heading": heading,
        "number": len(told),
        "shown": shown,
        "more": len(told) - len(shown),
        "is_long": max(map(len, shown)) > _FITS,
    }


def _review(found: ReviewResult) -> dict[str, Any]:
    figures = [inline_svg(encode_figure(agreement_figure(pair), "svg")) for pair in found.pairs]
    return {"found": found, "pairs": list(zip(found.pairs, figures, strict=True))}


def _numbers(findings: Findings) -> list[tuple[str, str]]:
    lines = findings.lines
    counted = [line for line in lines if line.count is not None]
    return [
        ("Images", str(len(lines))),
        ("Counted", str(len(counted))),
        ("Reviewed by a person", str(sum(bool(line.reviewed_by) for line in counted))),
        ("Corrected by hand", str(sum(line.corrected for line in counted))),
        ("With warnings", str(sum(bool(line.flags) for line in counted))),
    ]
