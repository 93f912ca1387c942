"""The text for the methods section of a paper: what was done, with versions, from the stored results alone."""

from collections import Counter
from collections.abc import Sequence

import msgspec

from device import __version__
from device.counting.card import ModelCard, ModelRef
from device.counting.records import CountResult
from device.errors import FluocountError
from device.models.card import find_model, load_card
from device.store import Store
from device.store.studies import Study, Tests
from device.studies.analysis import Analysis, Findings
from device.studies.pairing import HOTELLING
from device.studies.reviewing import AUTOMATIC, ReviewResult
from device.studies.uncertainty import DRAWS
from device.studies.values import ImageLine, flag_words
from device.studies.words import join_words, number_text

_PAIRWISE: dict[tuple[Tests, bool], str] = {
    ("means", False): "Welch's t test",
    ("means", True): "paired t test",
    ("ranks", False): "Mann-Whitney U test",
    ("ranks", True): "Wilcoxon signed-rank test",
}
"""Which test each pair gets, by kind and whether the same subjects are in the groups."""


def methods_text(
    store: Store, findings: Findings, reviews: Sequence[ReviewResult] = ()
) -> list[str]:
    """Paragraphs: images and counting, checking, each blinded review, statistics.

    Args:
        store: with the results.
        findings: of `analyse`.
        reviews: the finished ones.
    """
    return [
        _counting(store, findings),
        _checking(findings),
        *(_review(one) for one in reviews),
        _statistics(findings),
    ]


def _counting(store: Store, findings: Findings) -> str:
    lines = [line for line in findings.lines if line.count is not None]
    results = [found for line in lines if (found := _result(store, line.count_id)) is not None]
    images = "1 image" if len(lines) == 1 else f"{len(lines)} images"
    were = "was" if len(lines) == 1 else "were"
    text = f"{images}{_subjects(lines, findings.study)} {were} counted with fluocount {_versions(results)}. "
    models = Counter((one.model.name, one.model.version, one.model.sha256) for one in results)
    first = {one.model.sha256: one.model for one in results}
    for (_, _, sha256), number in models.most_common():
        text += _model(first[sha256], number, len(results))
    return text + _settings(results)


def _subjects(lines: Sequence[ImageLine], study: Study) -> str:
    """Of how many subjects of which groups, e.g. ` of 18 subjects (control 6, torpor 12)`."""
    subjects = {(line.place.group, line.place.subject) for line in lines if line.place.is_complete}
    groups = Counter(group for group, _ in subjects)
    if not groups:
        return ""
    names = [name for name in study.groups if name in groups] or sorted(groups)
    each = ", ".join(f"{name} {groups[name]}" for name in names)
    number = len({name for _, name in subjects} if study.pairing == "paired" else subjects)
    return f" of {number} {'subject' if number == 1 else 'subjects'} ({each})"


def _model(ref: ModelRef, number: int, total: int) -> str:
    """What the model is; of one that is not installed here no more than its name and digest is known."""
    card = _card(ref)
    kind = ""
    if card is not None:
        seen = ", ".join(source.name for source in card.training_data)
        kind = (
            f", a convolutional network ({card.architecture}; Morelli et al. 2021) quantised to 8 bits and trained on "
            f"{seen},"
        )
    share = "all of them" if number == total else f"{number} of them"
    named = f"{ref.name} (version {ref.version}, SHA-256 {ref.sha256[:12]}…)"
    text = f"The model {named}{kind} segmented {share}. "
    if card is not None and card.metrics:
        tested = card.metrics[-1]
        text += (
            f"In its test ({tested.on}; {tested.frames} images with {tested.cells} cells) it reached an F1 of the "
            f"cells of {tested.f1:.2f} and a mean absolute error of {tested.mae:.1f} cells an image. "
        )
    return text


def _card(ref: ModelRef) -> ModelCard | None:
    try:
        card = load_card(find_model(ref.name))
    except FluocountError:
        return None
    return card if card.sha256 == ref.sha256 else None


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
    people = sorted({line.reviewed_by for line in reviewed if line.reviewed_by})
    by = f" by {', '.join(people)}" if people else " by a person"
    flagged = Counter(word for line in lines for word in flag_words(line).split(", ") if word)
    kinds = ", ".join(f"{word}: {number}" for word, number in flagged.most_common())
    carried = sum(bool(line.flags) for line in lines)
    text = f"{_of(len(reviewed), len(lines))} looked through{by}. "
    corrected = sum(line.corrected for line in lines)
    counts = f"The counts of {corrected} images were" if corrected else "No count was"
    text += f"{counts} corrected by hand. "
    text += f"{_of(carried, len(lines))} counted with a warning{f' ({kinds})' if kinds else ''}. "
    if len(reviewed) < len(lines):
        text += "Each count without a review has the 90 % interval that the model gives it. "
    return text.strip()


def _review(found: ReviewResult) -> str:
    """A blinded review, with how those who counted agree."""
    who = join_words(found.observers)
    own = "in an own random order each" if len(found.observers) > 1 else "in random order"
    text = (
        f"In a blinded review {who} marked cells {own}, without names, groups or counts. {found.sampling} "
        f"{found.sentence} "
    )
    agreed = "; ".join(
        f"{pair.first} and {f'the {AUTOMATIC}' if pair.second == AUTOMATIC else pair.second} "
        f"{number_text(pair.icc.value)} and {number_text(pair.f1)}"
        for pair in found.pairs
    )
    return (
        f"{text}Intraclass correlation (two-way, absolute agreement, single measurement) and F1 of the cells: "
        f"{agreed}. Marks nearer than half a cell diameter were taken for the same cell."
    )


def _statistics(findings: Findings) -> str:
    study = findings.study
    made = "sum" if study.per_subject == "sum" else "mean"
    is_density = "mm²" in findings.analyses[0].unit
    value = "all its cells per counted area" if is_density else f"the {made} of its slices"
    text = f"The unit of analysis is the subject: its value is {value}; slices were not treated as independent. "
    tests = sorted({one.comparison.test for one in findings.analyses if one.comparison.test})
    if not tests and not any(one.comparison.effects for one in findings.analyses):
        return text + "No test was made."
    return text + _tests(findings.analyses, tests, study.tests) + f"Computed with {_libraries()}."


def _tests(analyses: Sequence[Analysis], tests: list[str], kind: Tests) -> str:
    text = f"Groups were compared by {', '.join(tests)}. " if tests else ""
    if any(one.is_paired for one in analyses):
        text += "The same subjects were in all groups; those that lack a group were left out of the test. "
    if HOTELLING in tests:
        text += "That test does not assume that the differences between groups scatter alike (no sphericity needed). "
    pairs = [one for one in analyses if one.comparison.effects]
    if any(len(one.comparison.effects) > 1 or not one.comparison.test for one in pairs):
        names = sorted({_PAIRWISE[kind, one.is_paired] for one in pairs})
        text += (
            f"Pairs of groups were compared by {', '.join(names)}: p values after Holm, 95 % intervals after "
            "Bonferroni. "
        )
    return text + (
        f"The uncertainty of the counts was carried into the intervals of the differences by drawing every count "
        f"{DRAWS} times from its 90 % interval and adding the variance that results (Rubin's rule). "
    )


def _of(number: int, total: int) -> str:
    """No image was, All 12 images were, 3 of 12 images were."""
    if number == 0:
        return "No image was"
    if number == 1 and total > 1:
        return f"1 of {total} images was"
    return f"All {total} images were" if number == total else f"{number} of {total} images were"


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
