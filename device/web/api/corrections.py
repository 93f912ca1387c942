"""Other thresholds and sizes, and corrections by hand."""

from typing import Any

from apiflask import APIBlueprint
from flask import Response

from device.drawing.overlay import outline_png
from device.errors import ConflictError, InputError
from device.export.stored import stored_labels
from device.imageio.points import read_points
from device.jobs.correcting import add_cell
from device.jobs.marking import marks_of_points
from device.jobs.relabelling import Change
from device.store import Store
from device.web.access import who
from device.web.api.answers import answers, json, ref
from device.web.current import service
from device.web.inputs import CorrectionForm, KeyHeader, PointsForm, RelabelQuery
from device.web.views import corrections_view, count_view

corrections = APIBlueprint("corrections", __name__, url_prefix="/api/v1")


@corrections.get("/counts/<count_id>/relabel")
@corrections.input(RelabelQuery, location="query", arg_name="query", unknown="raise")
@answers(corrections, ref("CountResult"), 404, 409, 503)
def preview(count_id: str, query: dict[str, Any]) -> Response:
    """The count with another threshold or size; saves nothing."""
    return json(service().require_counter().relabeller.preview(count_id, Change(**query)).result)


@corrections.post("/counts/<count_id>/relabel")
@corrections.input(RelabelQuery, location="json", arg_name="form")
@answers(
    corrections,
    {"allOf": [ref("CountState"), ref("CountResult")]},
    404,
    409,
    503,
)
def store(count_id: str, form: dict[str, Any]) -> Response:
    """Save the count with another threshold or size as the automatic result."""
    row = service().require_counter().relabeller.store(count_id, Change(**form))
    return json(count_view(service().require_store(), row))


@corrections.post("/counts/<count_id>/corrections")
@corrections.input(CorrectionForm, location="json", arg_name="form")
@corrections.input(KeyHeader, location="headers", arg_name="headers")
@answers(corrections, ref("CorrectionsView"), 404, 409)
def correct(count_id: str, form: dict[str, Any], headers: dict[str, Any]) -> Response:
    """Add or remove a cell, accept or reject a doubtful object, or undo; the same key makes it once."""
    found = service().require_store()
    log, name, key = found.corrections, who(form.get("who")), headers.get("idempotency_key")
    _require_revision(found, count_id, form)
    if form["action"] == "undo":
        row = log.undo(count_id, name, form.get("correction_id"))
    elif form["action"] == "add":
        x, y = _need(form, "x", "y")
        row = add_cell(found, count_id, (x, y), name, key)
    else:
        (cell_id,) = _need(form, "cell_id")
        judge = {"remove": log.remove, "accept": log.accept, "reject": log.reject}[form["action"]]
        row = judge(count_id, found.result(count_id), cell_id, name, key)
    return json(corrections_view(found, row))


@corrections.post("/counts/<count_id>/points")
@corrections.input(PointsForm, location="form_and_files", arg_name="form")
@answers(corrections, ref("CorrectionsView"), 404, 409)
def take_points(count_id: str, form: dict[str, Any]) -> Response:
    """Read points made in another program as the cells of this image; earlier corrections are undone."""
    found, name = service().require_store(), who(form.get("who"))
    result, sent = found.result(count_id), form["points"]
    points = read_points(sent.read(), sent.filename or "The file")
    marked = marks_of_points(points, result, stored_labels(found, count_id), name)
    row = found.corrections.replace(count_id, result, marked.marks, name)
    return json(corrections_view(found, row))


def preview_outlines(count_id: str, query: dict[str, Any]) -> Response:
    """The outlines of a preview."""
    counted = service().require_counter().relabeller.preview(count_id, Change(**query))
    return Response(outline_png(counted.labels), mimetype="image/png")


def _require_revision(store: Store, count_id: str, form: dict[str, Any]) -> None:
    """A click that comes late, from a page that was offline, must not mean another cell."""
    if "revision" in form and form["revision"] != store.counts.get(count_id).revision:
        raise ConflictError(
            "The cells have other numbers since another threshold or size was saved, so nobody knows which one was "
            "meant; reload the page and click again."
        )


def _need(form: dict[str, Any], *names: str) -> list[Any]:
    missing = [name for name in names if name not in form]
    if missing:
        raise InputError(f"The action {form['action']} needs {' and '.join(missing)} as well.")
    return [form[name] for name in names]
