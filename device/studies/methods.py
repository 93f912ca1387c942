"""The text for the methods section of a paper: what was done, with versions, from the stored results alone."""

from collections import Counter

import msgspec

from device import __version__
from device.counting.records import CountResult
from device.errors import FluocountError
from device.store import Store
from device.studies.analysis import Findings
from device.studies.uncertainty import DRAWS


def methods_text(store: Store, findings: Findings) -> list[str]:
    """Paragraphs: images and counting, checking, statistics."""
    return [
        _counting(store, findings),
        _checking(findings),
        _statistics(findings),
    ]


def _counting(store: Store, findings: Findings) -> str:
    lines = [line for line in findings.lines if line.count is not None]
    results = [found for line in lines if (found := _result(store, line.count_id)) is not None]
    subjects = {(line.place.group, line.place.subject) for line in lines if line.place.is_complete}
    text = f"{len(lines)} images of {len(subjects)} subjects were counted with fluocount {_versions(results)}. "
    models = Counter((one.model.name, one.model.version, one.model.sha256[:12]) for one in results)
    for (name, version, sha256), number in models.most_common():
        text += (
            f"The model {name} (version {version}, SHA-256 {sha256}…), a convolutional network of the c-ResUNet family "
            f"(Morelli et al. 2021) quantised to 8 bits, segmented {number} of them. "
        )
    text += _settings(results)
    return text


def _settings(results: list[CountResult]) -> str:
    assays = sorted(
        {f"{one.assay.name} (version {one.assay.version})" for one in results if one.assay}
    )
    diameters = [one.cell_diameter_px for one in results]
    thresholds = sorted({f"{one.threshold:.3g}" for one in results})
    text = ""
    if assays:
        text += f"Assay: {', '.join(assays)}. "
    if diameters:
        sources = sorted({one.cell_diameter_from for one in results})
        words = {
            "set": "set",
            "estimated": "estimated in each image",
            "usual": "the model's usual one",
        }
        text += (
            f"The cell diameter was {_range(diameters)} pixels "
            f"({', '.join(words[one] for one in sources)}), the threshold on the probability map "
            f"{', '.join(thresholds)}. "
        )
    edges = {one.exclude_border for one in results}
    if edges == {True}:
        text += "Cells that touch the edge of an image were left out. "
    sizes = sorted({f"{one.pixel_size_um:.4g} µm" for one in results if one.pixel_size_um})
    if sizes:
        text += f"Pixel size: {', '.join(sizes)}. "
    return text.strip()


def _checking(findings: Findings) -> str:
    lines = [line for line in findings.lines if line.count is not None]
    reviewed = [line for line in lines if line.reviewed_by]
    corrected = [line for line in lines if line.corrected]
    flagged = [line for line in lines if line.flags]
    people = sorted({line.reviewed_by for line in reviewed if line.reviewed_by})
    by = f" by {', '.join(people)}" if people else ""
    return (
        f"{len(reviewed)} of {len(lines)} images were looked through{by}; counts of {len(corrected)} images were "
        f"corrected by hand. {len(flagged)} images carried a warning. Every other count has a calibrated 90 % interval."
    )


def _statistics(findings: Findings) -> str:
    study = findings.study
    analysis = findings.analyses[0]
    made = "sum" if study.per_subject == "sum" else "mean"
    is_density = "mm²" in analysis.unit
    value = "all cells per counted area" if is_density else f"the {made} of its slices"
    text = f"The unit of analysis is the subject: its value is {value}; slices were not treated as independent. "
    tests = sorted({one.comparison.test for one in findings.analyses if one.comparison.test})
    if not tests:
        return text + "No test was made."
    text += f"Groups were compared by {', '.join(tests)}; the kind of test was chosen when the study was set up. "
    if any(len(one.comparison.effects) > 1 for one in findings.analyses):
        text += "Pairs of groups: p values after Holm, 95 % intervals after Bonferroni. "
    text += (
        f"The uncertainty of the counts was carried into the intervals of the differences by drawing every count "
        f"{DRAWS} times from its 90 % interval and adding the variance that results (Rubin's rule). "
        f"Computed with {_libraries()}."
    )
    return text


def _range(values: list[float]) -> str:
    """From the smallest to the largest, or the one value."""
    low, high = f"{min(values):.3g}", f"{max(values):.3g}"
    return low if low == high else f"{low} to {high}"


def _libraries() -> str:
    import scipy
    import statsmodels

    return f"SciPy {scipy.__version__} and statsmodels {statsmodels.__version__}"


def _versions(results: list[CountResult]) -> str:
    return ", ".join(sorted({one.software for one in results if one.software})) or __version__


def _result(store: Store, count_id: str) -> CountResult | None:
    """The result without its cells, which would fill the memory; None where it cannot be read."""
    try:
        return msgspec.structs.replace(store.result(count_id), count=0, cells=(), doubtful=())
    except FluocountError:
        return None
