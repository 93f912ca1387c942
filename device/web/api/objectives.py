"""The objectives of the microscope: list, add, measure again, rename, remove."""

from typing import Any

from apiflask import APIBlueprint
from flask import Response

from device.counting.assay import Assay, Objective
from device.store.objectives import usable_name
from device.web.access import who
from device.web.admin_records import ObjectiveList
from device.web.api.answers import answers, json, ref
from device.web.current import service
from device.web.objective_inputs import ObjectiveForm, ObjectiveName, ObjectiveRename

objectives = APIBlueprint("objectives", __name__, url_prefix="/api/v1")


@objectives.get("/objectives")
@answers(objectives, ref("ObjectiveList"), 409)
def list_objectives() -> Response:
    """Every objective with the size of a pixel, and the assays that name it."""
    return _list()


@objectives.post("/objectives")
@objectives.input(ObjectiveForm, location="json", arg_name="form")
@answers(objectives, ref("ObjectiveList"), 409)
def save(form: dict[str, Any]) -> Response:
    """Add an objective, or measure it again: assays that name it get a new version; answers the list."""
    objective = Objective(name=usable_name(form["name"]), pixel_size_um=form["pixel_size_um"])
    store = service().require_store()
    return _list(store.objectives.save(objective, who(form.get("who")), new=form["new"]))


@objectives.post("/objectives/rename")
@objectives.input(ObjectiveRename, location="json", arg_name="form")
@answers(objectives, ref("ObjectiveList"), 404, 409)
def rename(form: dict[str, Any]) -> Response:
    """Give an objective another name: assays that name it get a new version; answers the list."""
    store = service().require_store()
    new_name = usable_name(form["new_name"])
    return _list(store.objectives.rename(form["name"], new_name, who(form.get("who"))))


@objectives.post("/objectives/remove")
@objectives.input(ObjectiveName, location="json", arg_name="form")
@answers(objectives, ref("ObjectiveList"), 404, 409)
def remove(form: dict[str, Any]) -> Response:
    """Remove an objective that no assay names; results keep what they were made with; answers the list."""
    service().require_store().objectives.remove(form["name"])
    return _list()


def _list(changed: list[Assay] | None = None) -> Response:
    found = tuple(service().require_store().objectives.all())
    followed = tuple(assay.name for assay in changed or ())
    return json(ObjectiveList(objectives=found, changed=followed))
