"""What a study says, as one value: the report, the page and the tables read it."""

from collections.abc import Sequence

import msgspec
import numpy as np

from device.store import Store
from device.store.studies import Study
from device.studies.comparing import Comparison, Values, compare
from device.studies.uncertainty import carry
from device.studies.values import (
    ImageLine,
    Subject,
    image_lines,
    regions_of,
    repeated,
    subjects_of,
    values_by_group,
)

FAR_OUT = 3.5
"""An outlier is further from its group's median than this many robust standard deviations (Iglewicz and Hoaglin)."""
LEAST_FOR_OUTLIERS = 4


class SubjectValue(msgspec.Struct, frozen=True, kw_only=True):
    """A dot of the figure.

    Attributes:
        slices: how many images the value is made of. missing: how many more are not counted yet.
        uncertainty: standard deviation that the intervals of its counts give it.
    """

    group: str
    subject: str
    value: float
    slices: int
    missing: int
    uncertainty: float


class GroupSummary(msgspec.Struct, frozen=True, kw_only=True):
    """A group: number of subjects, mean and standard deviation, median and quartiles; None where there are none."""

    group: str
    subjects: int
    mean: float | None
    sd: float | None
    median: float | None
    quartiles: tuple[float, float] | None


class Analysis(msgspec.Struct, frozen=True, kw_only=True):
    """One region of a study in one measure.

    Attributes:
        region: empty where the study has none.
        unit: of the values, for people.
        comparison: test and effects; the effects' intervals hold the uncertainty of the counts.
    """

    region: str
    unit: str
    values: tuple[SubjectValue, ...]
    groups: tuple[GroupSummary, ...]
    comparison: Comparison


class Findings(msgspec.Struct, frozen=True, kw_only=True):
    """A study with everything that its report says about the images.

    Attributes:
        lines: every image.
        analyses: one a region.
        notes: what a reader must know, by heading: problems first.
    """

    study: Study
    lines: tuple[ImageLine, ...]
    analyses: tuple[Analysis, ...]
    notes: dict[str, tuple[str, ...]]


def analyse(store: Store, name: str, *, density: bool = False) -> Findings:
    """Everything about a study.

    Args:
        store: with the counts.
        name: of the study.
        density: cells per mm2 instead of cells.

    Raises:
        NotFoundError: there is no such study.
        InputError: the libraries for the statistics are not installed.
    """
    study = store.studies.get(name)
    lines = image_lines(store, name)
    subjects = subjects_of(lines)
    analyses = tuple(
        _analyse(study, [one for one in subjects if one.region == region], region, density)
        for region in regions_of(lines)
    )
    return Findings(
        study=study,
        lines=tuple(lines),
        analyses=analyses,
        notes=_notes(lines, subjects, analyses),
    )


def _analyse(study: Study, subjects: list[Subject], region: str, density: bool) -> Analysis:
    groups = values_by_group(study, subjects, density)
    values = {group: [value for _, value in own] for group, own in groups.items()}
    slices = None
    if study.per_subject == "mean" and not density:
        slices = {
            group: [[float(line.count or 0) for line in subject.lines] for subject, _ in own]
            for group, own in groups.items()
        }
    comparison = compare(values, study.tests, slices)
    if density and not any(values.values()):
        comparison = Comparison(
            reason="There are no densities: of no subject is the scale of every image known. Set the pixel size in the "
            "assay and count again."
        )
    spread = carry(study, groups, comparison, density)
    dots = tuple(
        SubjectValue(
            group=group,
            subject=subject.name,
            value=value,
            slices=subject.slices,
            missing=subject.missing,
            uncertainty=spread.subjects[group, subject.name],
        )
        for group, own in groups.items()
        for subject, value in own
    )
    return Analysis(
        region=region,
        unit=unit_of(study, density),
        values=dots,
        groups=tuple(_summary(group, own) for group, own in values.items()),
        comparison=msgspec.structs.replace(comparison, effects=spread.effects),
    )


def unit_of(study: Study, density: bool) -> str:
    """What a subject's value is, for the axis."""
    if density:
        return "cells per mm²"
    return "cells per slice (mean)" if study.per_subject == "mean" else "cells (sum of slices)"


def _summary(group: str, values: list[float]) -> GroupSummary:
    if not values:
        return GroupSummary(
            group=group, subjects=0, mean=None, sd=None, median=None, quartiles=None
        )
    low, middle, high = (float(part) for part in np.percentile(values, (25, 50, 75)))
    sd = float(np.std(values, ddof=1)) if len(values) > 1 else None
    return GroupSummary(
        group=group,
        subjects=len(values),
        mean=float(np.mean(values)),
        sd=sd,
        median=middle,
        quartiles=(low, high),
    )


def outliers(values: Values) -> list[tuple[str, int]]:
    """(group, position) of values far from their group's median."""
    from scipy.stats import median_abs_deviation

    found = []
    for group, own in values.items():
        if len(own) < LEAST_FOR_OUTLIERS:
            continue
        scatter = float(median_abs_deviation(own, scale="normal"))
        distance = np.abs(np.asarray(own) - np.median(own))
        found += [
            (group, int(at)) for at in np.flatnonzero(distance > FAR_OUT * scatter) if scatter
        ]
    return found


def _notes(
    lines: Sequence[ImageLine], subjects: Sequence[Subject], analyses: Sequence[Analysis]
) -> dict[str, tuple[str, ...]]:
    """What stands beside the figure; a heading without lines is left out."""
    counted = [line for line in lines if line.count is not None]
    found: dict[str, list[str]] = {
        "Not counted": [f"{line.image}: {line.problem}" for line in lines if line.count is None],
        "Without group or subject, not in the figure": [
            line.image for line in lines if not line.place.is_complete
        ],
        "Counted twice": repeated(lines),
        "Subjects with slices missing": [
            f"{one.name} ({one.group}): {one.missing} not counted"
            for one in subjects
            if one.missing
        ],
        "Unequal": _unequal(counted, subjects),
        "Outliers": _outlier_notes(subjects, analyses),
        "Flagged": [f"{line.image}: {', '.join(line.flags)}" for line in counted if line.flags],
        "Counted again": [
            f"{one.image}: {one.versions} counts" for one in lines if one.versions > 1
        ],
        "Not reviewed by a person": [line.image for line in counted if not line.reviewed_by],
    }
    return {heading: tuple(told) for heading, told in found.items() if told}


def _outlier_notes(subjects: Sequence[Subject], analyses: Sequence[Analysis]) -> list[str]:
    told = []
    for analysis in analyses:
        by_group: dict[str, list[SubjectValue]] = {}
        for one in analysis.values:
            by_group.setdefault(one.group, []).append(one)
        numbers = {group: [one.value for one in own] for group, own in by_group.items()}
        for group, at in outliers(numbers):
            one = by_group[group][at]
            told.append(f"subject {one.subject} ({group}): {one.value:.4g} {analysis.unit}")
    for subject in subjects:
        counts = {subject.name: [float(line.count or 0) for line in subject.lines]}
        for _, at in outliers(counts):
            line = subject.lines[at]
            told.append(f"{line.image}: {line.count} cells, unlike the others of {subject.name}")
    return told


def _unequal(lines: Sequence[ImageLine], subjects: Sequence[Subject]) -> list[str]:
    """Differences between images that would look like a difference between groups."""
    told = []
    numbers = {one.slices for one in subjects if one.slices}
    if len(numbers) > 1:
        told.append(f"The subjects have between {min(numbers)} and {max(numbers)} slices.")
    for what in ("model", "assay"):
        used = sorted({getattr(line, what) or "none" for line in lines})
        if len(used) > 1:
            told.append(f"Images were counted with more than one {what}: {', '.join(used)}.")
    groups_of: dict[str, set[str]] = {}
    for one in subjects:
        groups_of.setdefault(one.name, set()).add(one.group)
    told += [
        f"{name} is in more than one group ({', '.join(sorted(groups))}) and counts as a different subject in each."
        for name, groups in groups_of.items()
        if len(groups) > 1
    ]
    scales = {line.area_mm2 is None for line in lines}
    if len(scales) > 1:
        told.append(
            "The scale is known for some images only; densities are given where it is known."
        )
    return told
