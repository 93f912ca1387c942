"""The report of a study: one HTML file that opens without network and prints well, and its parts as files."""

from datetime import datetime
from pathlib import Path
from typing import Any

from markupsafe import Markup

from device import __version__
from device.errors import StorageError
from device.machine.files import write_atomic
from device.store import Store
from device.store.reviews import Review
from device.studies.analysis import Analysis, Findings, analyse
from device.studies.comparing import Effect, require_statistics
from device.studies.methods import methods_text
from device.studies.plots import agreement_figure, encode_figure, groups_figure
from device.studies.reviewing import review_result
from device.studies.tables import images_csv, prism_csv, subjects_csv

TEMPLATES = Path(__file__).parent / "templates"


def report_html(store: Store, findings: Findings) -> str:
    """The report as one HTML file: pictures are within it, nothing is loaded.

    Args:
        store: with the results that the methods text is made of.
        findings: of `analyse`.
    """
    from jinja2 import Environment, FileSystemLoader

    environment = Environment(loader=FileSystemLoader(TEMPLATES), autoescape=True, trim_blocks=True)
    environment.filters |= {"p": p_text, "number": number_text}
    return environment.get_template("report.html").render(
        findings=findings,
        study=findings.study,
        parts=[_part(findings, one) for one in findings.analyses],
        methods=methods_text(store, findings),
        made=datetime.now().astimezone().strftime("%Y-%m-%d %H:%M"),
        version=__version__,
        numbers=_numbers(findings),
        reviews=[_review(store, one.id) for one in _finished(store, findings.study.name)],
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
    for place, analysis in enumerate(findings.analyses, start=1):
        ending = f"-{place}" if len(findings.analyses) > 1 else ""
        figure = groups_figure(analysis, ranks=findings.study.tests == "ranks")
        contents[f"figure{ending}.svg"] = encode_figure(figure, "svg")
        contents[f"figure{ending}.png"] = encode_figure(figure, "png")
        contents[f"prism{ending}.csv"] = prism_csv(analysis).encode()
    return contents


def inline_svg(data: bytes) -> Markup:
    """A drawing as it can stand within HTML: without the XML prologue. What people typed is escaped in it."""
    text = data.decode()
    return Markup(text[text.index("<svg") :])


def p_text(p: float | None) -> str:
    """A p value for people, never 0."""
    if p is None:
        return ""
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}"


def number_text(value: float | None, digits: int = 3) -> str:
    """A number with so many significant digits, whole where it is large."""
    if value is None or value != value:  # NaN
        return "–"
    return f"{value:.0f}" if abs(value) >= 10**digits else f"{value:.{digits}g}"


def effect_sentence(effect: Effect, unit: str, ranks: bool) -> str:
    """One pair of groups in words."""
    direction = "more" if effect.difference >= 0 else "fewer"
    sign = 1 if effect.difference >= 0 else -1
    low, high = sorted((sign * effect.low, sign * effect.high))
    text = (
        f"{effect.second} has {number_text(abs(effect.difference))} {direction} {unit} than {effect.first} "
        f"(95 % interval {number_text(low)} to {number_text(high)}; {p_text(effect.p)})."
    )
    between = f"({number_text(effect.standardized_low)} to {number_text(effect.standardized_high)})"
    if effect.standardized != effect.standardized:  # NaN: no scatter at all
        return text
    if ranks:
        return (
            f"{text} Probability that a subject of {effect.second} is above one of {effect.first}: "
            + (f"{number_text(effect.standardized)} {between}.")
        )
    return f"{text} Hedges' g = {number_text(effect.standardized)} {between}."


def _part(findings: Findings, analysis: Analysis) -> dict[str, Any]:
    ranks = findings.study.tests == "ranks"
    figure = groups_figure(analysis, ranks=ranks)
    effects = analysis.comparison.effects
    return {
        "analysis": analysis,
        "comparison": analysis.comparison,
        "figure": inline_svg(encode_figure(figure, "svg")),
        "effects": [effect_sentence(effect, analysis.unit, ranks) for effect in effects],
        "shown": "median and quartiles" if ranks else "mean and standard deviation",
    }


def _finished(store: Store, study: str) -> list[Review]:
    return [one for one in store.reviews.of_study(study) if store.reviews.is_finished(one.id)]


def _review(store: Store, review_id: str) -> dict[str, Any]:
    found = review_result(store, review_id)
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
        ("Flagged", str(sum(bool(line.flags) for line in counted))),
    ]
