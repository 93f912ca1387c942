"""What a study says, as one value: the report, the page and the tables read it."""

import msgspec
import numpy as np

from device.store import Store
from device.store.studies import Study
from device.studies.comparing import Comparison, compare
from device.studies.notes import notes_of
from device.studies.pairing import Groups, compare_paired, complete_subjects, shared_names
from device.studies.uncertainty import carry
from device.studies.values import (
    ImageLine,
    Subject,
    image_lines,
    regions_of,
    subjects_of,
    values_by_group,
)


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
        is_paired: the same subjects are in all groups.
    """

    region: str
    unit: str
    values: tuple[SubjectValue, ...]
    groups: tuple[GroupSummary, ...]
    comparison: Comparison
    is_paired: bool = False


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
        notes=notes_of(study, lines, subjects, analyses),
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
    comparison, compared = _compare(study, groups, slices)
    if density and not any(values.values()):
        comparison = Comparison(
            reason="There are no densities: of no subject is the scale of every image known. Set the pixel size in the "
            "assay and count again."
        )
    spread = carry(study, groups, Comparison(), density)
    effects = carry(study, compared, comparison, density).effects
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
        comparison=msgspec.structs.replace(comparison, effects=effects),
        is_paired=compared is not groups,
    )


def _compare(
    study: Study, groups: Groups, slices: dict[str, list[list[float]]] | None
) -> tuple[Comparison, Groups]:
    """The comparison that the design allows, and the subjects that are in it."""
    shared = shared_names(groups)
    if study.pairing == "paired":
        complete = complete_subjects(groups)
        values = {group: [value for _, value in own] for group, own in complete.items()}
        return compare_paired(values, study.tests), complete
    if shared and study.pairing == "unsaid":
        names = ", ".join(shared[:5]) + (" and others" if len(shared) > 5 else "")
        reason = (
            f"No test: the name of a subject is in more than one group ({names}). Say in the study whether it is the "
            "same subject in each (paired) or another one (independent)."
        )
        return Comparison(reason=reason), groups
    values = {group: [value for _, value in own] for group, own in groups.items()}
    return compare(values, study.tests, slices), groups


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
