"""Converts stored counts to answers of the API."""

from datetime import UTC, datetime
from typing import Any

import msgspec

from device.counting.records import CountInterval, CountResult
from device.errors import InputError
from device.export.regions import read_regions
from device.export.stored import in_force
from device.store import CountRow, Filter, Store
from device.store.records import Correction
from device.web.access import sender
from device.web.records import (
    CorrectionsView,
    CorrectionView,
    CountState,
    CountSummary,
    CountVersion,
)
from device.web.region_records import RegionList, RegionView


def iso(time_s: float) -> str:
    """Seconds since 1970 as ISO 8601 in UTC, to the millisecond."""
    return datetime.fromtimestamp(time_s, UTC).isoformat(timespec="milliseconds")


def parse_time(text: str) -> float:
    """ISO 8601 date or time as seconds since 1970; without a zone it is UTC.

    Raises:
        InputError: something else.
    """
    try:
        moment = datetime.fromisoformat(text)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        raise InputError(
            f"A time must be ISO 8601, such as 2026-05-01 or 2026-05-01T14:30:00+02:00, not {text!r}."
        ) from None


def to_filter(query: dict[str, Any]) -> Filter:
    """A store filter from the checked query."""
    return Filter(
        sample=query.get("sample"),
        since_s=parse_time(query["since"]) if "since" in query else None,
        until_s=parse_time(query["until"]) if "until" in query else None,
        status=query.get("status"),
        kept=query.get("kept"),
        origin=query.get("origin"),
        before=query.get("before"),
        order=query.get("order", "newest"),
        owner=sender() if query.get("mine") else query.get("owner"),
        newest=True if query.get("versions", "newest") == "newest" else None,
        **{name: query.get(name) for name in _SEARCHED},
    )


_SEARCHED = ("search", "instrument", "reviewed", "flagged", "doubtful", "corrected")


def summary(row: CountRow) -> CountSummary:
    """One line of the history."""
    return CountSummary(
        count=row.count,
        corrected_count=row.corrected_count,
        interval=_interval(row),
        flags=row.flags,
        doubtful_count=row.doubtful,
        width=row.width,
        height=row.height,
        assay=None if row.settings.assay is None else row.settings.assay.name,
        **_common(row),
    )


def count_view(store: Store, row: CountRow) -> dict[str, Any]:
    """Everything about one count: its state, and the CountResult's fields when done."""
    log = store.corrections.of(row.id)
    found = store.result(row.id) if row.status == "done" else None
    state = CountState(
        remaining_s=row.remaining_s,
        needs=row.needs,
        model_asked=row.model,
        revision=row.revision,
        corrected_count=row.corrected_count,
        corrections=_log(log),
        regions=() if found is None else _region_views(row, found, log),
        capture=row.capture,
        recounts=_recounts(store, row),
        conditions=row.conditions,
        **_common(row),
    )
    result = {} if found is None else msgspec.to_builtins(found)
    return {**result, **msgspec.to_builtins(state)}


def _recounts(store: Store, row: CountRow) -> tuple[CountVersion, ...]:
    """All counts of the image that belong together, if it was counted again."""
    family = store.counts.versions(row.version_of or row.id)
    if len(family) == 1:
        return ()
    return tuple(
        CountVersion(
            id=one.id,
            status=one.status,
            corrected_count=one.corrected_count,
            assay=None if one.settings.assay is None else one.settings.assay.name,
            cell_diameter_px=one.settings.cell_diameter_px,
            created=iso(one.created_s + (one.clock_correction_s or 0)),
        )
        for one in family
    )


def corrections_view(store: Store, row: CountRow) -> CorrectionsView:
    """The corrected count and the log."""
    return CorrectionsView(
        corrected_count=row.corrected_count or 0,
        corrections=_log(store.corrections.of(row.id)),
    )


def regions_view(store: Store, row: CountRow) -> RegionList:
    """The regions of a done count with what they hold."""
    log, result = store.corrections.of(row.id), store.result(row.id)
    return RegionList(regions=_region_views(row, result, log))


def _region_views(
    row: CountRow, result: CountResult, log: list[Correction]
) -> tuple[RegionView, ...]:
    return tuple(
        RegionView(
            id=reading.region.id,
            name=reading.region.name,
            points=reading.region.points,
            who=reading.region.who,
            when=iso(reading.region.created_s),
            count=reading.count,
            area_px=reading.region.area_px,
            area_mm2=reading.area_mm2,
            cells_per_mm2=reading.per_mm2,
            cells_per_million_px=reading.per_million_px,
        )
        for reading in read_regions(row.regions, result, in_force(log, result))
    )


def _common(row: CountRow) -> dict[str, Any]:
    return {
        "id": row.id,
        "sequence": row.sequence,
        "status": row.status,
        "progress": row.progress,
        "error": row.error,
        "origin": row.origin,
        "image": row.image,
        "sample": row.sample,
        "notes": row.notes,
        "keep": row.keep,
        "created": iso(row.created_s + (row.clock_correction_s or 0)),
        "clock_corrected": row.clock_correction_s is not None,
        "version": row.version,
        "instrument": row.instrument,
        "owner": row.owner,
        "reviewed_by": row.reviewed_by,
        "reviewed": None if row.reviewed_s is None else iso(row.reviewed_s),
    }


def _interval(row: CountRow) -> CountInterval | None:
    return None if row.interval_low is None else (row.interval_low, row.interval_high)


def _log(corrections: list[Correction]) -> tuple[CorrectionView, ...]:
    return tuple(
        CorrectionView(
            id=known.id,
            action=known.action,
            x=known.x,
            y=known.y,
            cell_id=known.cell_id,
            who=known.who,
            when=iso(known.created_s),
            undone=known.undone_s is not None,
            undone_by=known.undone_by,
            undone_when=None if known.undone_s is None else iso(known.undone_s),
        )
        for known in corrections
    )
