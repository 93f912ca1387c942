"""Counts: upload, list, show, edit, delete, cancel."""

from typing import Any

import msgspec
from apiflask import APIBlueprint
from flask import Response, g

from device.counting.reading import Reading
from device.counting.records import CountSettings
from device.errors import InputError
from device.jobs.intake import CountOptions
from device.jobs.recounting import Again
from device.store import Edit, Store
from device.web.access import sender, who
from device.web.api.answers import answers, json, ref
from device.web.current import service
from device.web.earlier import earlier_count
from device.web.inputs import (
    MAX_PAGE,
    ChangesQuery,
    CountEdit,
    CountForm,
    CountOrder,
    CountPage,
    KeyHeader,
    RecountForm,
)
from device.web.records import Accepted, ChangeList, CountList, Neighbours, RecountView, SampleList
from device.web.views import count_view, summary, to_filter

counts = APIBlueprint("counts", __name__, url_prefix="/api/v1")

_SETTINGS = set(CountSettings.__struct_fields__) - {"assay", "objective"}
_READING = Reading.__struct_fields__


def _store() -> Store:
    return service().require_store()


@counts.post("/counts")
@counts.input(CountForm, location="form_and_files", arg_name="form")
@counts.input(KeyHeader, location="headers", arg_name="headers")
@answers(counts, ref("Accepted"), 404, 409, 503, status=202, text="Accepted and saved")
def hand_in(form: dict[str, Any], headers: dict[str, Any]) -> Response:
    """Upload an image to be counted."""
    image = form.pop("image")
    options = options_of(form, headers.get("idempotency_key"))
    intake = service().require_accepting().intake
    row = intake.accept(image.read(), image.filename or "", "upload", options)
    earlier = earlier_count(_store(), row)
    g.told_counts = [] if earlier is None else [earlier.id]
    return json(Accepted.of(row, earlier), 202)


def options_of(form: dict[str, Any], key: str | None = None) -> CountOptions:
    """What the sender of a CountForm chose.

    Args:
        form: checked.
        key: the request's Idempotency-Key.
    """
    return CountOptions(
        sample=form.get("sample", ""),
        notes=form.get("notes", ""),
        model=form.get("model"),
        assay=form.get("assay"),
        objective=form.get("objective"),
        settings=CountSettings(
            **{name: form[name] for name in _SETTINGS if name in form},
            reading=Reading(**{name: form[name] for name in _READING if name in form}),
        ),
        once_key=f"client:{key}" if key else None,
        owner=sender(),
    )


@counts.get("/counts")
@counts.input(CountPage, location="query", arg_name="query", unknown="raise")
@answers(counts, ref("CountList"), 404)
def history(query: dict[str, Any]) -> Response:
    """List counts; 404 where the count after which a page begins was deleted and its place is unknown."""
    limit = query.pop("limit")
    which = to_filter(query)
    rows = _store().counts.search(which, limit + 1)
    more = len(rows) > limit
    return json(
        CountList(
            counts=tuple(summary(row) for row in rows[:limit]),
            next_before=rows[limit - 1].sequence if more else None,
            total=_store().counts.number(msgspec.structs.replace(which, before=None)),
        )
    )


@counts.get("/changes")
@counts.input(ChangesQuery, location="query", arg_name="query", unknown="raise")
@answers(counts, ref("ChangeList"))
def changes(query: dict[str, Any]) -> Response:
    """What was added, changed and deleted since the last question; pages ask every second."""
    found = _store().feed.since(query.get("since"), MAX_PAGE)
    g.told_counts = [row.id for row in found.rows]
    return json(
        ChangeList(
            latest=found.latest,
            counts=tuple(summary(row) for row in found.rows),
            deleted=found.deleted,
            reset=found.reset,
        )
    )


@counts.get("/samples")
@answers(counts, ref("SampleList"))
def samples() -> Response:
    """Sample names in use."""
    return json(SampleList(samples=tuple(_store().counts.samples())))


@counts.get("/counts/<count_id>")
@answers(
    counts,
    {"anyOf": [{"allOf": [ref("CountState"), ref("CountResult")]}, ref("CountState")]},
    404,
)
def look_at(count_id: str) -> Response:
    """One count: its state, and every field of the result when it is done."""
    return json(count_view(_store(), _store().counts.get(count_id)))


@counts.get("/counts/<count_id>/neighbours")
@counts.input(CountOrder, location="query", arg_name="query", unknown="raise")
@answers(counts, ref("Neighbours"), 404)
def neighbours(count_id: str, query: dict[str, Any]) -> Response:
    """The counts before and after this one, of those that match; for looking at one after the other."""
    which, found = to_filter(query), _store().counts
    before, after = found.neighbours(found.get(count_id), which)
    g.told_counts = [row.id for row in (before, after) if row is not None]
    return json(
        Neighbours(
            previous=None if before is None else summary(before),
            next=None if after is None else summary(after),
            total=found.number(which),
        )
    )


@counts.patch("/counts/<count_id>")
@counts.input(CountEdit, location="json", arg_name="changes")
@answers(counts, ref("CountSummary"), 404, 409)
def edit(count_id: str, changes: dict[str, Any]) -> Response:
    """Change sample name, notes, keep mark or the mark that somebody reviewed it."""
    version = changes.pop("version", None)
    name = who(changes.pop("who", None))
    if not changes:
        raise InputError(
            "Nothing to change: give at least one of sample name, notes, keep and reviewed."
        )
    reviewed = changes.pop("reviewed", None)
    by = None if reviewed is None else name if reviewed else ""
    wanted = Edit(reviewed_by=by, **changes)
    return json(summary(_store().counts.edit(count_id, wanted, version)))


@counts.delete("/counts/<count_id>")
@answers(counts, None, 404, 409, status=204, text="Deleted permanently")
def delete(count_id: str) -> Response:
    """Delete a count with its image and files."""
    _store().counts.delete(count_id)
    return Response(status=204)


@counts.post("/counts/<count_id>/cancel")
@answers(counts, ref("Accepted"), 404, 409)
def cancel(count_id: str) -> Response:
    """Cancel a waiting count, or a running one at its next tile."""
    row = _store().queue.cancel(count_id)
    return json(Accepted.of(row))


@counts.post("/recounts")
@counts.input(RecountForm, location="json", arg_name="form")
@answers(counts, ref("RecountView"), 404, 503, status=202, text="In the queue")
def count_again(form: dict[str, Any]) -> Response:
    """Count images again with another assay or diameter; the old counts stay."""
    counter = service().require_accepting()
    if ("ids" in form) == ("sample" in form):
        raise InputError("Name either counts or a sample to be counted again, not both.")
    if "ids" in form:
        chosen = [counter.store.counts.get(count_id) for count_id in dict.fromkeys(form["ids"])]
    else:
        chosen = counter.recounter.of_sample(form["sample"])
    again = Again(
        **{name: form[name] for name in ("assay", "objective", "cell_diameter_px") if name in form}
    )
    if again.assay is not None:
        counter.store.assays.get(again.assay)
    if again.objective is not None:
        counter.store.objectives.get(again.objective)
    done = counter.recounter.recount(chosen, again, sender())
    accepted = tuple(Accepted.of(row) for row in done.accepted)
    return json(RecountView(accepted=accepted, problems=done.problems), 202)


@counts.post("/counts/<count_id>/retry")
@answers(counts, ref("Accepted"), 404, 409, 503, status=202)
def retry(count_id: str) -> Response:
    """Count a failed or cancelled image again."""
    row = service().require_accepting().store.queue.retry(count_id)
    return json(Accepted.of(row), 202)
