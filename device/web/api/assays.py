"""Assays: list, show, save, go back to an earlier version."""

from typing import Any

import msgspec
from apiflask import APIBlueprint
from flask import Response, g

from device.assays.library import encode_assay
from device.counting.assay import DEFAULT, Assay
from device.errors import InputError, NotFoundError
from device.web.access import who
from device.web.api.answers import answers, json, ref
from device.web.current import service
from device.web.inputs import AssayForm, AssayQuery, RestoreForm, TeachForm
from device.web.records import AssayEntry, AssayList, AssayVersions, AssayVersionView
from device.web.views import iso

assays = APIBlueprint("assays", __name__, url_prefix="/api/v1")


@assays.get("/assays")
@answers(assays, ref("AssayList"))
def list_assays() -> Response:
    """All assays, each in its newest version."""
    newest = service().require_store().assays.newest()
    return json(AssayList(assays=tuple(_entry(assay) for assay in newest), default=DEFAULT))


@assays.get("/assays/<name>")
@assays.input(AssayQuery, location="query", arg_name="query", unknown="raise")
@answers(assays, ref("Assay"), 404, 409)
def look_at(name: str, query: dict[str, Any]) -> Response:
    """One assay as a file that can be imported elsewhere."""
    found = service().require_store().assays.get(name, query.get("version"))
    return Response(encode_assay(found), mimetype="application/json")


@assays.get("/assays/<name>/versions")
@answers(assays, ref("AssayVersions"), 404)
def versions(name: str) -> Response:
    """Who made which version, and when."""
    found = service().require_store().assays.versions(name)
    if not found:
        raise NotFoundError(f"There is no assay {name!r}.")
    return json(
        AssayVersions(
            name=name,
            versions=tuple(
                AssayVersionView(
                    version=one.version,
                    who=one.who,
                    when=iso(one.created_s),
                    taught_frames=one.taught_frames,
                )
                for one in found
            ),
        )
    )


@assays.post("/assays")
@assays.input(AssayForm, location="json", arg_name="form")
@answers(assays, ref("Assay"), 503)
def save(form: dict[str, Any]) -> Response:
    """Save an assay: a new one, or the newest version of its name; counts keep the version they were made with."""
    try:
        assay = msgspec.convert(form["assay"], Assay)
    except msgspec.ValidationError as error:
        raise InputError(
            f"This assay cannot be used ({str(error).rstrip('.')}); send it as it was exported."
        ) from None
    intake = service().require_counter().intake
    intake.require_model(assay.model)
    return json(service().require_store().assays.save(assay, who(form.get("who"))))


@assays.post("/assays/<name>/teach")
@assays.input(TeachForm, location="json", arg_name="form")
@answers(assays, ref("Lesson"), 404, 409, 503)
def teach(name: str, form: dict[str, Any]) -> Response:
    """What the assay would learn from corrected counts; nothing is saved. To accept, save the proposed assay."""
    lesson = service().require_counter().teacher.lesson(name, form.get("ids", ()))
    g.told_counts = [frame.count_id for frame in lesson.frames]
    return json(lesson)


@assays.post("/assays/<name>/restore")
@assays.input(RestoreForm, location="json", arg_name="form")
@answers(assays, ref("Assay"), 404, 409)
def restore(name: str, form: dict[str, Any]) -> Response:
    """Make an earlier version the newest again."""
    store = service().require_store()
    return json(store.assays.restore(name, form["version"], who(form.get("who"))))


def _entry(assay: Assay) -> AssayEntry:
    return AssayEntry(
        name=assay.name,
        version=assay.version,
        about=assay.about,
        model=assay.model,
        taught_frames=0 if assay.taught is None else assay.taught.frames,
    )
