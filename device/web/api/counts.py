"""Counts: upload, list, show, edit, delete, cancel."""

from typing import Any

from apiflask import APIBlueprint
from flask import Response

from device.counting.reading import Reading
from device.counting.records import CountSettings
from device.errors import InputError
from device.export.stored import counts_lines
from device.export.tables import counts_header, csv_lines
from device.jobs.intake import Wishes
from device.jobs.recounting import Again
from device.store import Store
from device.store.records import Filter
from device.web.api.answers import BINARY, answers, json, ref
from device.web.current import service
from device.web.inputs import CountEdit, CountFilter, CountForm, CountPage, KeyHeader, RecountForm
from device.web.records import Accepted, CountList, RecountView, SampleList
from device.web.views import count_view, summary, to_filter

counts = APIBlueprint("counts", __name__, url_prefix="/api/v1")

_SETTINGS = set(CountSettings.__struct_fields__) - {"assay"}
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
    key = headers.get("idempotency_key")
    wishes = Wishes(
        sample=form.get("sample", ""),
        notes=form.get("notes", ""),
        model=form.get("model"),
        assay=form.get("assay"),
        settings=CountSettings(
            **{name: form[name] for name in _SETTINGS if name in form},
            reading=Reading(**{name: form[name] for name in _READING if name in form}),
        ),
        once_key=f"client:{key}" if key else None,
    )
    intake = service().require_accepting().intake
    row = intake.accept(image.read(), image.filename or "", "upload", wishes)
    return json(Accepted.of(row), 202)


@counts.get("/counts")
@counts.input(CountPage, location="query", arg_name="query", unknown="raise")
@answers(counts, ref("CountList"))
def history(query: dict[str, Any]) -> Response:
    """List counts, newest first."""
    limit = query.pop("limit")
    rows = _store().counts.search(to_filter(query), limit + 1)
    more = len(rows) > limit
    return json(
        CountList(
            counts=tuple(summary(row) for row in rows[:limit]),
            next_before=rows[limit - 1].sequence if more else None,
        )
    )


@counts.get("/counts.csv")
@counts.input(CountFilter, location="query", arg_name="query", unknown="raise")
@answers(counts, BINARY, media="text/csv")
def history_csv(query: dict[str, Any]) -> Response:
    """Every done count that matches, as a table, oldest first."""
    return counts_csv(_store(), to_filter(query))


def counts_csv(store: Store, which: Filter) -> Response:
    """counts.csv of the done counts that match."""
    rows = [row for row in reversed(store.counts.search(which)) if row.status == "done"]
    table = csv_lines([counts_header(), *counts_lines(store, rows)])
    answer = Response(table, mimetype="text/csv")
    answer.headers["Content-Disposition"] = "attachment; filename=counts.csv"
    return answer


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


@counts.patch("/counts/<count_id>")
@counts.input(CountEdit, location="json", arg_name="changes")
@answers(counts, ref("CountSummary"), 404)
def edit(count_id: str, changes: dict[str, Any]) -> Response:
    """Change sample name, notes or keep mark."""
    if not changes:
        raise InputError("Nothing to change: give at least one of sample name, notes and keep.")
    return json(summary(_store().counts.edit(count_id, **changes)))


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
@counts.input(RecountForm, location="json", arg_name="wish")
@answers(counts, ref("RecountView"), 404, 503, status=202, text="In the queue")
def count_again(wish: dict[str, Any]) -> Response:
    """Count images again with another assay or diameter; the old counts stay."""
    counter = service().require_accepting()
    if ("ids" in wish) == ("sample" in wish):
        raise InputError("Name either counts or a sample to be counted again, not both.")
    if "ids" in wish:
        chosen = [counter.store.counts.get(count_id) for count_id in dict.fromkeys(wish["ids"])]
    else:
        chosen = counter.recounter.of_sample(wish["sample"])
    again = Again(assay=wish.get("assay"), cell_diameter_px=wish.get("cell_diameter_px"))
    if again.assay is not None:
        counter.store.assays.get(again.assay)
    done = counter.recounter.recount(chosen, again)
    accepted = tuple(Accepted.of(row) for row in done.accepted)
    return json(RecountView(accepted=accepted, problems=done.problems), 202)


@counts.post("/counts/<count_id>/retry")
@answers(counts, ref("Accepted"), 404, 409, 503, status=202)
def retry(count_id: str) -> Response:
    """Count a failed or cancelled image again."""
    row = service().require_accepting().store.queue.retry(count_id)
    return json(Accepted.of(row), 202)
