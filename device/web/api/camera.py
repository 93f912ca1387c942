"""The camera: state, controls, preview, captures."""

from typing import Any

from apiflask import APIBlueprint
from flask import Response, current_app

from device.errors import InputError
from device.jobs.intake import CountOptions
from device.studies.loading import capture as capture_into_study
from device.web.api.answers import BINARY, answers, json, ref
from device.web.current import service
from device.web.inputs import CameraForm, CaptureForm
from device.web.records import Accepted

_WAIT_S = 2.0
"""How long a few viewers may wait for the first picture; the others must ask again."""

camera = APIBlueprint("camera", __name__, url_prefix="/api/v1")


@camera.get("/camera")
@answers(camera, ref("CameraStatus"))
def state() -> Response:
    """State, controls and their ranges, saturation and focus of the last picture."""
    return json(service().camera.status)


@camera.patch("/camera")
@camera.input(CameraForm, location="json", arg_name="form")
@answers(camera, ref("CameraStatus"), 503)
def change(form: dict[str, Any]) -> Response:
    """Change exposure, gain, colour gains or averaging from the next frame on."""
    if not form:
        raise InputError(
            "Nothing to change: give at least one of exposure, gain, red gain, blue gain and the number of "
            "frames to average."
        )
    return json(service().camera.change(**form))


@camera.get("/camera/preview.jpg")
@answers(camera, BINARY, 409, 503, media="image/jpeg")
def preview() -> Response:
    """The latest small picture; asking for it keeps the preview running."""
    may_wait = current_app.extensions["preview_waiters"].acquire(blocking=False)
    try:
        picture = service().camera.preview_jpeg(wait_s=_WAIT_S if may_wait else 0.0)
    finally:
        if may_wait:
            current_app.extensions["preview_waiters"].release()
    return Response(picture, mimetype="image/jpeg")


@camera.post("/captures")
@camera.input(CaptureForm, location="json", arg_name="form")
@answers(camera, ref("Accepted"), 404, 409, 503, status=202, text="Captured and saved")
def capture(form: dict[str, Any]) -> Response:
    """Take a picture and count it; answers when the picture is on the disk."""
    options = CountOptions(
        sample=form.get("sample", ""),
        notes=form.get("notes", ""),
        assay=form.get("assay"),
        objective=form.get("objective"),
    )
    counter = service().require_accepting()
    row = capture_into_study(counter.store, counter.capturer, options)
    return json(Accepted.of(row), 202)
