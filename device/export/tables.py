"""Tables: a line per image (counts.csv), a line per cell (cells.csv). Units are in the headers."""

import csv
import io
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from device.counting.records import Cell, CountResult
from device.export.corrected import (
    NO_CORRECTIONS,
    Corrections,
    added_ids,
    corrected_count,
    remaining_cells,
)
from device.export.measurements import measurement_names, measurements
from device.machine.clock import utc_text
from device.machine.files import display_name

if TYPE_CHECKING:  # counting files needs no database
    from device.store.region import Region
    from device.store.studies import Place

COUNTS_COLUMNS = (
    "image",
    "sample",
    "count",
    "corrected_count",
    "interval_low",
    "interval_high",
    "flags",
    "doubtful",
    "cells_per_mm2",
    "width_px",
    "height_px",
    "pixel_size_um",
    "cell_diameter_px",
    "threshold",
    "min_area_px",
    "exclude_border",
    "model",
    "model_version",
    "seconds",
    "counted_at",
    "id",
    "image_sha256",
    "model_sha256",
    "software",
    "assay",
    "assay_version",
    "channel",
    "plane",
    "exposure_s",
    "gain",
    "reviewed_by",
    "notes",
    "study",
    "group",
    "subject",
    "slice",
    "counted_utc",
    "objective",
)
ERRORS_COLUMNS = ("image", "reason", "image_sha256", "noticed_at")
_PLACE = ("group", "subject", "slice")
_FORMULA_STARTS = "=+-@\u2212"
_UNSEEN = ("Zs", "Zl", "Zp", "Cc", "Cf")
"""Unicode's categories of spaces, separators, control and invisible characters."""
_CONTROL = re.compile(r"[\x00-\x1f\x7f\x85\u2028\u2029]")


@dataclass(frozen=True, slots=True)
class Kept:
    """What is known of a count beside its result.

    Attributes:
        sample, notes: by a person.
        counted_at: time of counting, ISO 8601.
        result_id: id in the store, empty if the result is not stored.
        exposure_s, gain: of the camera, None for files that do not say.
        reviewed_by: who looked at the result.
        places: where it belongs, by the name of the study.
    """

    sample: str = ""
    notes: str = ""
    counted_at: str = ""
    result_id: str = ""
    exposure_s: float | None = None
    gain: float | None = None
    reviewed_by: str = ""
    places: Mapping[str, "Place"] = field(default_factory=dict)


NOTHING_KEPT = Kept()


def counts_header() -> list[str]:
    """Column names of counts.csv."""
    return list(COUNTS_COLUMNS)


def counts_row(
    result: CountResult,
    *,
    corrections: Corrections = NO_CORRECTIONS,
    image: str | None = None,
    kept: Kept = NOTHING_KEPT,
) -> list[str]:
    """One line of counts.csv.

    Args:
        result: the automatic result.
        corrections: by hand; they give corrected_count.
        image: name of the image, e.g. its path in a watched folder; None: the name in the result.
        kept: what is known beside the result.
    """
    corrected = corrected_count(result, corrections)
    return [
        csv_text(image if image is not None else result.image),
        csv_text(kept.sample),
        str(result.count),
        str(corrected),
        *("" if bound is None else str(bound) for bound in result.interval),
        " ".join(flag.code for flag in result.flags),
        str(len(result.doubtful)),
        _number(_density_per_mm2(result, corrected)),
        *_frame_and_settings(result),
        csv_text(result.model.name),
        csv_text(result.model.version),
        f"{result.seconds.total:.3f}",
        kept.counted_at,
        kept.result_id,
        result.image_sha256,
        result.model.sha256,
        result.software,
        *_assay(result),
        *_list_taken(result, kept),
    ]


def _list_taken(result: CountResult, kept: Kept) -> list[str]:
    exposure_s = result.taken.exposure_s if kept.exposure_s is None else kept.exposure_s
    return [
        csv_text(result.taken.channel),
        csv_text(result.taken.plane),
        _round(exposure_s),
        _round(kept.gain),
        csv_text(kept.reviewed_by),
        csv_text(kept.notes),
        *place_texts(kept.places),
        utc_text(kept.counted_at),
        _objective(result),
    ]


def place_texts(places: Mapping[str, "Place"]) -> list[str]:
    """Study, group, subject and slice; of an image in several studies each in the same order, with semicolons."""
    columns = (
        places,
        *([getattr(place, name) for place in places.values()] for name in _PLACE),
    )
    return [csv_text("; ".join(texts)) for texts in columns]


def _assay(result: CountResult) -> list[str]:
    assay = result.assay
    return ["", ""] if assay is None else [csv_text(assay.name), str(assay.version)]


def _objective(result: CountResult) -> str:
    """The one that was chosen for the count, else that of its assay."""
    if result.objective is not None:
        return csv_text(result.objective.name)
    return "" if result.assay is None else csv_text(result.assay.objective)


def _frame_and_settings(result: CountResult) -> list[str]:
    return [
        str(result.width),
        str(result.height),
        _round(result.pixel_size_um),
        _round(result.cell_diameter_px),
        _round(result.threshold),
        _round(result.min_area_px),
        "yes" if result.exclude_border else "no",
    ]


def cells_csv(
    result: CountResult,
    *,
    corrections: Corrections = NO_CORRECTIONS,
    regions: Sequence["Region"] = (),
) -> str:
    """The table of cells with header: as many lines as the corrected count.

    Removed cells are left out. Doubtful objects that a person accepted have `origin` "accepted". Added cells have a
    position and `origin` "added", and no measurements. Columns in micrometres need a known pixel size. `regions` are
    those that a person drew on the image.
    """
    columns = _cell_columns(result)
    rows: list[dict[str, str]] = [
        _cell_row(cell, result) for cell in remaining_cells(result, corrections)
    ]
    rows += [
        _added_row(cell_id, position, result)
        for cell_id, position in zip(added_ids(result, corrections), corrections.added, strict=True)
    ]
    for row in rows:
        x, y = float(row["x_px"]), float(row["y_px"])
        row["regions"] = csv_text("; ".join(one.name for one in regions if one.contains(x, y)))
    return csv_lines([columns, *([row.get(column, "") for column in columns] for row in rows)])


def csv_lines(rows: Iterable[Sequence[str]], separator: str = ",") -> str:
    """Rows as CSV text (RFC 4180: quotes where needed, CR LF)."""
    stream = io.StringIO()
    csv.writer(stream, delimiter=separator).writerows(rows)
    return stream.getvalue()


def csv_text(text: str) -> str:
    """Free text for one field.

    Control characters become spaces, so that a record is always one line. What a spreadsheet would run as a formula
    gets an apostrophe before it: a = + - @, their full-width and small forms, after spaces and invisible characters
    too, and also behind a semicolon, which parts cells where the comma is the decimal sign.
    """
    plain = _CONTROL.sub(" ", display_name(text))
    return ";".join(f"'{part}" if _is_formula(part) else part for part in plain.split(";"))


def _is_formula(text: str) -> bool:
    """As lenient as the most helpful spreadsheet: NFKC turns the other widths into the plain sign."""
    for letter in unicodedata.normalize("NFKC", text):
        if unicodedata.category(letter) not in _UNSEEN:
            return letter in _FORMULA_STARTS
    return False


def _number(value: float | None) -> str:
    """Shortest text that reads back as the same number; empty for None."""
    return "" if value is None else repr(float(value))


def counted_area_mm2(result: CountResult) -> float | None:
    """The area that was counted; None where the scale is unknown or nothing was counted."""
    if result.pixel_size_um is None:
        return None
    counted_px = result.width * result.height - result.taken.ignored_px
    # The pixel size is that of the square pixel of the same area, whatever the shape of the pixels.
    area_mm2 = counted_px * result.pixel_size_um**2 / 1e6
    return area_mm2 if area_mm2 > 0 else None


def _round(value: float | None) -> str:
    """For people: six significant digits, more than any microscope measures; empty for None."""
    return "" if value is None else repr(float(f"{value:.6g}"))


def _density_per_mm2(result: CountResult, corrected: int) -> float | None:
    area_mm2 = counted_area_mm2(result)
    return None if area_mm2 is None else round(corrected / area_mm2, 3)


def _cell_columns(result: CountResult) -> list[str]:
    sized = ["x_um", "y_um"] if result.pixel_size_um is not None else []
    boxed = ["bbox_x0_px", "bbox_y0_px", "bbox_x1_px", "bbox_y1_px"]
    first = ["image", "id", "origin", "x_px", "y_px", *sized, *boxed]
    return [*first, *measurement_names(result), "regions"]


def _cell_row(cell: Cell, result: CountResult) -> dict[str, str]:
    x0, y0, x1, y1 = cell.bbox
    return {
        **_position(cell.x, cell.y, result),
        "id": str(cell.id),
        "origin": "automatic" if cell.id <= result.count else "accepted",
        "bbox_x0_px": str(x0),
        "bbox_y0_px": str(y0),
        "bbox_x1_px": str(x1),
        "bbox_y1_px": str(y1),
        **{name: repr(value) for name, value in measurements(cell, result).items()},
    }


def _added_row(cell_id: int, position: tuple[float, float], result: CountResult) -> dict[str, str]:
    return _position(*position, result) | {"id": str(cell_id), "origin": "added"}


def _position(x: float, y: float, result: CountResult) -> dict[str, str]:
    row = {"image": csv_text(result.image), "x_px": _number(x), "y_px": _number(y)}
    if result.pixel_size_um is not None:
        row["x_um"] = _number(x * result.pixel_size_um)
        row["y_um"] = _number(y * result.pixel_size_um)
    return row
