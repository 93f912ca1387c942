"""The parts of the OpenAPI document that are common to all calls."""

import re
from typing import Any

import msgspec
from apiflask import APIFlask

from device import __version__
from device.web.admin_records import ADMIN_RECORDS
from device.web.records import DOCUMENTED
from device.web.study_records import STUDY_RECORDS

_EVERYWHERE = {
    "400": "The request cannot be used as it is",
    "401": "Not logged in and no valid API token",
    "403": "Refused: foreign Host or Origin, or the CSRF token is missing",
    "500": "An unexpected error; details are in the log",
    "507": "The data folder or the database cannot be used, or the disk is full",
}
_ERROR = {"$ref": "#/components/schemas/Error"}


def configure(app: APIFlask) -> None:
    """Title, error schema, security, and the records as components."""
    app.config.update(
        INFO={"description": "Counts of stained cells; errors carry one sentence under `error`."},
        AUTO_SERVERS=False,
        AUTO_404_RESPONSE=False,
        AUTO_OPERATION_ID=True,
        VALIDATION_ERROR_STATUS_CODE=400,
        VALIDATION_ERROR_DESCRIPTION="The request cannot be used as it is",
        VALIDATION_ERROR_SCHEMA=_ERROR_SCHEMA,
        HTTP_ERROR_SCHEMA=_ERROR_SCHEMA,
        SECURITY_SCHEMES={
            "token": {"type": "http", "scheme": "bearer"},
            "session": {"type": "apiKey", "in": "cookie", "name": "fluocount"},
        },
    )
    app.spec_processor(_complete)


_ERROR_SCHEMA = {
    "type": "object",
    "properties": {"error": {"type": "string"}},
    "required": ["error"],
}


def _simplify(schema: Any) -> Any:
    r"""The schema as every tool reads it.

    Without patterns of letters, since JSON Schema's \w is ASCII only and names may have any letter; and with the items
    of a tuple told once where they are alike, since tools for older drafts do not know `prefixItems`.
    """
    if isinstance(schema, list):
        return [_simplify(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    items = schema.get("prefixItems")
    if items and all(one == items[0] for one in items):
        schema = {key: value for key, value in schema.items() if key != "prefixItems"}
        schema["items"] = items[0]
    return {
        key: _simplify(value)
        for key, value in schema.items()
        if not (key == "pattern" and isinstance(value, str) and r"\w" in value)
    }


def _complete(document: Any) -> Any:
    document["info"]["version"] = __version__
    schemas = document.setdefault("components", {}).setdefault("schemas", {})
    _, records = msgspec.json.schema_components(
        (*DOCUMENTED, *STUDY_RECORDS, *ADMIN_RECORDS), ref_template="#/components/schemas/{name}"
    )
    schemas.update(_simplify(records))
    for name in ("HTTPError", "ValidationError"):
        schemas.pop(name, None)
    document["security"] = [{"token": []}, {"session": []}, {}]
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            _complete_operation(path, method, operation)
    return document


def _complete_operation(path: str, method: str, operation: dict[str, Any]) -> None:
    answers = operation["responses"]
    if path != "/healthz":
        for code, text in _EVERYWHERE.items():
            answers.setdefault(code, {"description": text})
    if method in ("post", "patch") and "requestBody" in operation:
        answers.setdefault("413", {"description": "Larger than the upload limit"})
        answers.setdefault("415", {"description": "Wrong content type"})
    for code, answer in answers.items():
        if re.match("[45]", code):
            answer["content"] = {"application/json": {"schema": _ERROR}}
