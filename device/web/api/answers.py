"""Answers and their description in the OpenAPI document."""

from collections.abc import Callable
from typing import Any, TypeVar

import msgspec
from apiflask import APIBlueprint
from flask import Response

View = TypeVar("View", bound=Callable[..., Any])

_TEXTS = {
    400: "The request cannot be used as it is",
    404: "There is no such count, or it has no such file",
    409: "Not possible in the present state",
    413: "Larger than the upload limit",
    415: "Wrong content type",
    429: "Too many wrong attempts; `Retry-After` says when to try again",
    503: "Not possible at the moment: queue full, or camera or model not usable",
}


def json(value: object, status: int = 200) -> Response:
    """A record or a dict as a JSON answer."""
    return Response(msgspec.json.encode(value), status=status, mimetype="application/json")


def ref(name: str) -> dict[str, Any]:
    """Points to one of the documented records."""
    return {"$ref": f"#/components/schemas/{name}"}


def answers(
    blueprint: APIBlueprint,
    schema: dict[str, Any] | None,
    *errors: int,
    status: int = 200,
    media: str = "application/json",
    text: str = "OK",
) -> Callable[[View], View]:
    """Describe what a view answers: the good answer and its errors.

    The errors that every call can give (access, storage) are added in device.web.api.document.
    """
    content = {} if schema is None else {"content": {media: {"schema": schema}}}
    good = {str(status): {"description": text, **content}}
    bad = {str(code): {"description": _TEXTS[code]} for code in errors}
    responses: Any = good | bad
    described: Callable[[View], View] = blueprint.doc(responses=responses)
    return described


BINARY: dict[str, Any] = {"type": "string", "format": "binary"}
