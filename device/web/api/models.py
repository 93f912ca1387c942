"""The networks of this instrument: list, install, remove."""

from typing import Any

from apiflask import APIBlueprint
from flask import Response

from device.jobs.models import ModelList, installed_folder, list_models, remove_model
from device.models.installing import install as install_model
from device.models.package import unpack_model
from device.web.api.answers import answers, json, ref
from device.web.current import service
from device.web.inputs import ModelForm

models = APIBlueprint("models", __name__, url_prefix="/api/v1")


@models.get("/models")
@answers(models, ref("ModelList"), 503)
def show_models() -> Response:
    """Every model: those that come with fluocount, and those that were installed with what needs them."""
    return _list()


@models.post("/models")
@models.input(ModelForm, location="files", arg_name="form")
@answers(models, ref("ModelList"), 409, status=201, text="Installed")
def install(form: dict[str, Any]) -> Response:
    """Install a model after its hash, its card and what it counts here were checked; answers the list."""
    file = form["model"]
    package = unpack_model(file.read(), file.filename or "the file")
    install_model(package, installed_folder(service().settings))
    return _list(201)


@models.delete("/models/<name>")
@answers(models, ref("ModelList"), 404, 409)
def remove(name: str) -> Response:
    """Remove an installed model that nothing needs; answers the list."""
    remove_model(name, service().require_store(), service().settings)
    return _list()


def _list(status: int = 200) -> Response:
    found = list_models(service().require_store(), service().settings)
    return json(ModelList(models=found), status)
