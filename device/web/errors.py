"""Errors as answers: the same sentences as on the command line, with the right status."""

import logging
import traceback
from http import HTTPStatus
from typing import Any

from apiflask import APIFlask, HTTPError
from flask import Response, jsonify, render_template, request
from flask.typing import ResponseReturnValue
from werkzeug.exceptions import HTTPException

from device.errors import (
    BusyError,
    CameraBusyError,
    CameraError,
    ConflictError,
    DamagedError,
    FluocountError,
    ForbiddenError,
    InputError,
    ModelError,
    NotFoundError,
    QueueFullError,
    SettingsError,
    StorageError,
    UnavailableError,
)
from device.web.current import service
from device.web.words import complaint

_log = logging.getLogger(__name__)

STATUS_OF: dict[type[FluocountError], int] = {
    FluocountError: 400,
    InputError: 400,
    BusyError: 503,
    CameraBusyError: 409,
    ForbiddenError: 403,
    NotFoundError: 404,
    ConflictError: 409,
    DamagedError: 409,
    CameraError: 503,
    ModelError: 503,
    QueueFullError: 503,
    SettingsError: 503,
    StorageError: 507,
    UnavailableError: 503,
}

UPLOAD_ENDPOINT = "counts.hand_in"
FORWARD_ENDPOINT = "instruments.receive"
UPLOAD_ENDPOINTS = frozenset(
    {UPLOAD_ENDPOINT, FORWARD_ENDPOINT, "looks.look", "models.install", "upkeep.check_update"}
)
"""The calls that take a large file."""
MAX_TEXT_BYTES = 200_000
"""Ten times the longest notes; 1000 ids of an export have 20 kB."""
MAX_FORM_PARTS = 20

_SENTENCES = {
    404: "There is nothing at this address; the Status page links to the description of all addresses.",
    405: "This address does not accept that method; see the Allow header.",
    415: "The content type is wrong; the Status page links to the description of what each address accepts.",
    500: "This failed because of an unexpected error. Details are in the log; please report it.",
}


def install(app: APIFlask) -> None:
    """Register the handlers."""
    app.register_error_handler(FluocountError, _deliberate)
    app.register_error_handler(Exception, _answer_unforeseen)
    app.error_processor(_http)
    app.before_request(_limit_body)


def _limit_body() -> None:
    """Only an upload may be large."""
    if request.endpoint not in UPLOAD_ENDPOINTS:
        request.max_content_length = MAX_TEXT_BYTES


def _deliberate(error: FluocountError) -> ResponseReturnValue:
    kinds = (kind for kind in type(error).__mro__ if kind in STATUS_OF)
    return sentence(STATUS_OF[next(kinds)], str(error))


def _answer_unforeseen(error: Exception) -> ResponseReturnValue:
    if _comes_from_json(error):
        return sentence(
            400, "The JSON of the request cannot be read; send less nested, shorter values."
        )
    return _bug(error)


def _comes_from_json(error: Exception) -> bool:
    """True for what Python's decoder raises besides its own error: too deep, or a number of too many digits."""
    frames = (frame for frame, _ in traceback.walk_tb(error.__traceback__))
    return any(frame.f_globals.get("__name__") == "json.decoder" for frame in frames)


def _bug(error: Exception) -> ResponseReturnValue:
    _log.exception("%s %s failed", request.method, request.path, exc_info=error)
    return sentence(500, _SENTENCES[500])


def _http(error: HTTPError) -> Response:
    """Everything that Flask, Werkzeug and marshmallow refuse."""
    status = error.status_code
    detail = _flatten(error.detail)
    text = f"{detail[:1].upper()}{detail[1:]}." if detail else _SENTENCES.get(status)
    if status == 413:
        text = too_large(request.content_length or 0)
    answer = sentence(status, text or f"{error.message}.".replace("..", "."))
    for name, value in dict(error.headers or {}).items():
        if name.lower() not in ("content-type", "content-length"):
            answer.headers[name] = value
    return answer


def too_large(length: int) -> str:
    """Name the limit that a body of `length` bytes passed: of the file, of the texts beside it, or of a call."""
    if request.endpoint not in UPLOAD_ENDPOINTS:
        return f"The request is too large; at most {MAX_TEXT_BYTES // 1000} kB are accepted here."
    if length > (request.max_content_length or 0):
        limit_mb = service().settings.web.max_upload_mb
        return f"The file is too large; at most {limit_mb} MB are accepted."
    return (
        f"The texts beside the image are too large; at most {MAX_TEXT_BYTES // 1000} kB in {MAX_FORM_PARTS} fields are "
        "accepted."
    )


def sentence(status: int, text: str) -> Response:
    """An error answer."""
    if _for_people():
        answer = Response(render_template("trouble.html", status=status, text=text), status)
    else:
        answer = jsonify(error=text)
        answer.status_code = status
    if status == HTTPStatus.SERVICE_UNAVAILABLE:
        answer.headers["Retry-After"] = "10"
    return answer


def _for_people() -> bool:
    """True for a page that somebody opened, False for a call or a picture."""
    called = request.path.startswith(("/api/", "/healthz", "/static/"))
    # `best` would be Chrome's signed exchange: Werkzeug puts types with parameters first.
    accepted = request.accept_mimetypes
    return not called and accepted["text/html"] > accepted["application/json"]


def _flatten(detail: Any, name: str = "") -> str:
    """marshmallow's nested messages as one text: "threshold must be above 0 and below 1"."""
    if isinstance(detail, dict):
        parts = (
            _flatten(value, name if key in _LOCATIONS else str(key))
            for key, value in detail.items()
        )
        return "; ".join(part for part in parts if part)
    if isinstance(detail, list):
        return "; ".join(_flatten(value, name) for value in detail)
    return complaint(name, str(detail), _came(name))


def _came(name: str) -> Any:
    """What the request said there, None if that cannot be known: no error may come out of the answer to one."""
    try:
        body = request.get_json(silent=True) if request.is_json else None
        said = body if isinstance(body, dict) else {}
        return said.get(name, request.values.get(name))
    except (
        FluocountError,
        HTTPException,
        RecursionError,
    ):  # a damaged or too deep body where none was expected
        return None


_LOCATIONS = frozenset({"json", "query", "form", "files", "form_and_files", "headers"})
