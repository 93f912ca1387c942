"""Look at an image before it is counted."""

from typing import Any

from apiflask import APIBlueprint
from flask import Response

from device.jobs.looking import look_at
from device.web.api.answers import answers, json, ref
from device.web.api.counts import options_of
from device.web.current import service
from device.web.inputs import CountForm

looks = APIBlueprint("looks", __name__, url_prefix="/api/v1")


@looks.post("/looks")
@looks.input(CountForm, location="form_and_files", arg_name="form")
@answers(looks, ref("Look"), 404, 409, 503)
def look(form: dict[str, Any]) -> Response:
    """What an image would be counted as, with its picture and the size of its cells; nothing is kept or counted."""
    image = form.pop("image")
    intake = service().require_accepting().intake
    return json(look_at(image.read(), image.filename or "The image", options_of(form), intake))
