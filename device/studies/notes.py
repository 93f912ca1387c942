"""What a reader must know beside the figure: outliers, warnings, what is missing, unequal or not looked at."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from device.store.studies import Study
from device.studies.comparing import Values
from device.studies.values import ImageLine, Subject, find_repeated, flag_words
from device.studies.words import number_text

if TYPE_CHECKING:
    from device.studies.analysis import Analysis, SubjectValue

FAR_OUT = 3.5
"""An outlier is further from its group's median than this many robust standard deviations (Iglewicz and Hoaglin)."""
LEAST_FOR_OUTLIERS = 4
FLAGGED, AGAIN, UNREVIEWED = "With warnings", "Counted again", "Not reviewed by a person"
"""Headings of what the table of all images says, too."""


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


def notes_of(
    study: Study,
    lines: Sequence[ImageLine],
    subjects: Sequence[Subject],
    analyses: Sequence["Analysis"],
) -> dict[str, tuple[str, ...]]:
    """What stands beside the figure; a heading without lines is left out."""
    counted = [line for line in lines if line.count is not None]
    found: dict[str, list[str]] = {
        "Not counted": [f"{line.image}: {line.problem}" for line in lines if line.count is None],
        "Without group or subject, not in the figure": [
            line.image for line in lines if not line.place.is_complete
        ],
        "Counted twice": find_repeated(lines),
        "Without a value, not in the figure": _valueless(subjects, analyses),
        "Subjects with slices missing": [
            f"{one.name} ({one.group}): {one.missing} not counted"
            for one in subjects
            if one.missing
        ],
        "Unequal": [*_unequal(counted, subjects), *_note_shared(study, subjects)],
        "Outliers": _outlier_notes(subjects, analyses),
        FLAGGED: [f"{line.image}: {flag_words(line)}" for line in counted if line.flags],
        AGAIN: [f"{one.image}: {one.versions} counts" for one in lines if one.versions > 1],
        UNREVIEWED: [line.image for line in counted if not line.reviewed_by],
    }
    return {heading: tuple(told) for heading, told in found.items() if told}


def _valueless(subjects: Sequence[Subject], analyses: Sequence["Analysis"]) -> list[str]:
    """Subjects whose images give no value: none is counted, a sum lacks one, or an area is unknown."""
    shown = {
        (one.group, one.subject, analysis.region)
        for analysis in analyses
        for one in analysis.values
    }
    told = []
    for one in subjects:
        if (one.group, one.name, one.region) in shown:
            continue
        where = ", ".join(part for part in (one.group, one.region) if part)
        if not one.slices:
            why = "no image is counted"
        elif any("mm²" in analysis.unit for analysis in analyses):
            why = "the scale of one of its images is unknown, so that it has no density"
        else:
            why = f"{one.missing} of its images not counted, so that it has no sum"
        told.append(f"{one.name} ({where}): {why}")
    return told


def _outlier_notes(subjects: Sequence[Subject], analyses: Sequence["Analysis"]) -> list[str]:
    told = []
    for analysis in analyses:
        by_group: dict[str, list[SubjectValue]] = {}
        for one in analysis.values:
            by_group.setdefault(one.group, []).append(one)
        numbers = {group: [one.value for one in own] for group, own in by_group.items()}
        for group, at in outliers(numbers):
            one = by_group[group][at]
            told.append(
                f"subject {one.subject} ({group}): {number_text(one.value, 4)} {analysis.unit}"
            )
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
    scales = {line.area_mm2 is None for line in lines}
    if len(scales) > 1:
        told.append(
            "The scale is known for some images only; densities are given where it is known."
        )
    return told


def _note_shared(study: Study, subjects: Sequence[Subject]) -> list[str]:
    """Subjects whose name is in several groups, or, where they should be, is not in all."""
    groups_of: dict[str, set[str]] = {}
    for one in subjects:
        groups_of.setdefault(one.name, set()).add(one.group)
    used = set().union(*groups_of.values())
    told = []
    for name, groups in groups_of.items():
        where = ", ".join(sorted(groups))
        if study.pairing == "independent" and len(groups) > 1:
            told.append(f"{name} is in more than one group ({where}): a different subject in each.")
        if study.pairing == "paired" and groups != used:
            told.append(f"{name} is only in {where}: it is in the figure, but not in the test.")
    return told
