"""The study as tables: tidy (one line an image), one line a subject, and as GraphPad Prism takes it."""

from itertools import zip_longest

from device.export.tables import csv_lines, csv_text
from device.studies.analysis import Analysis, Findings
from device.studies.values import ImageLine

_IMAGE_COLUMNS = (
    "study", "group", "subject", "slice", "region", "image", "count", "automatic_count", "interval_low",
    "interval_high", "cells_per_mm2", "area_mm2", "flags", "reviewed_by", "corrected", "times_counted", "model",
    "assay", "status", "problem", "id", "image_sha256",
)  # fmt: skip


def images_csv(study: str, lines: tuple[ImageLine, ...] | list[ImageLine]) -> str:
    """One line an image, finished or not."""
    return csv_lines([_IMAGE_COLUMNS, *(_image_row(study, line) for line in lines)])


def subjects_csv(findings: Findings) -> str:
    """One line a subject: what the tests compare."""
    header = (
        "region",
        "group",
        "subject",
        "value",
        "unit",
        "slices",
        "not_counted",
        "uncertainty_sd",
    )
    rows = [
        [
            csv_text(analysis.region),
            csv_text(one.group),
            csv_text(one.subject),
            _number(one.value),
            analysis.unit,
            str(one.slices),
            str(one.missing),
            _number(one.uncertainty),
        ]
        for analysis in findings.analyses
        for one in analysis.values
    ]
    return csv_lines([header, *rows])


def prism_csv(analysis: Analysis) -> str:
    """A column table of GraphPad Prism: one column a group, one row a subject, no other text."""
    columns = [
        [_number(one.value) for one in analysis.values if one.group == summary.group]
        for summary in analysis.groups
    ]
    header = [csv_text(summary.group) for summary in analysis.groups]
    return csv_lines([header, *(list(row) for row in zip_longest(*columns, fillvalue=""))])


def _image_row(study: str, line: ImageLine) -> list[str]:
    low, high = ("" if end is None else str(end) for end in line.interval or (None, None))
    place = line.place
    return [
        *map(csv_text, (study, place.group, place.subject, place.slice, place.region, line.image)),
        "" if line.count is None else str(line.count),
        "" if line.automatic is None else str(line.automatic),
        low,
        high,
        _number(line.density),
        _number(line.area_mm2),
        " ".join(line.flags),
        csv_text(line.reviewed_by or ""),
        "yes" if line.corrected else "no",
        str(line.versions),
        csv_text(line.model),
        csv_text(line.assay),
        line.status,
        csv_text(line.problem),
        line.count_id,
        line.image_sha256,
    ]


def _number(value: float | None) -> str:
    """Shortest text that reads back as the same number; empty for None."""
    return "" if value is None else repr(float(value))
