"""A whole study as one ZIP for other laboratories and programs, sent while it is made."""

import threading
from collections.abc import Iterator
from typing import Any

from apiflask import APIBlueprint
from flask import Response

from device.errors import InputError
from device.store import Store
from device.studies.analysis import analyse
from device.studies.bundle import Part, zip_parts
from device.studies.coco import coco_parts, qupath_parts
from device.studies.comparing import require_statistics
from device.studies.crate import NO_LICENCE, crate_parts
from device.studies.report import report_files
from device.web.api.answers import BINARY, answers
from device.web.api.downloads import download_in_turn
from device.web.current import service
from device.web.study_inputs import BundleQuery

study_files = APIBlueprint("study_files", __name__, url_prefix="/api/v1")

_PLACES = threading.BoundedSemaphore(2)


@study_files.get("/studies/<name>/<kind>.zip")
@study_files.input(BundleQuery, location="query", arg_name="query", unknown="raise")
@answers(study_files, BINARY, 404, 409, 503, media="application/zip")
def bundle(name: str, kind: str, query: dict[str, Any]) -> Response:
    """`crate` (RO-Crate, with its `licence`), `coco`, `qupath` or `report` (with its tables and figures)."""
    parts = _parts(service().require_store(), name, kind, query)
    folder = f"{_plain(name)}-{kind}"
    busy = "Two exports of studies are being made already; try again when one of them is done."
    pieces = zip_parts(parts, folder)
    return download_in_turn(pieces, "application/zip", f"{folder}.zip", _PLACES, busy)


def _parts(store: Store, name: str, kind: str, query: dict[str, Any]) -> Iterator[Part]:
    if kind == "crate":
        return crate_parts(store, name, query.get("licence") or NO_LICENCE)
    if kind == "coco":
        return coco_parts(store, name, [])
    if kind == "qupath":
        return qupath_parts(store, name, [])
    if kind == "report":
        store.studies.get(name)
        require_statistics()
        found = analyse(store, name, density=query.get("density", False))
        return iter(report_files(store, found).items())
    raise InputError("A study is exported as crate, coco, qupath or report.")


def _plain(name: str) -> str:
    """A name that a header can hold and every file system takes."""
    plain = "".join(
        one if one.isascii() and (one.isalnum() or one in "._-") else "_" for one in name
    )
    return plain.strip("._") or "study"
