"""Several counts as one file, sent while it is made."""

import codecs
from collections.abc import Iterable, Iterator
from typing import Any

import msgspec
from apiflask import APIBlueprint
from flask import Response

from device.errors import ConflictError
from device.export.archive import archive_parts
from device.export.stored import counts_lines
from device.export.tables import counts_header, csv_lines
from device.export.training import select_training, training_parts
from device.store import Store
from device.store.records import CountRow, Filter
from device.web.api.answers import BINARY, answers
from device.web.current import service
from device.web.inputs import SEPARATORS, CountFilter, ExportForm, TableQuery
from device.web.views import to_filter

exports = APIBlueprint("exports", __name__, url_prefix="/api/v1")


@exports.get("/counts.csv")
@exports.input(TableQuery, location="query", arg_name="query", unknown="raise")
@answers(exports, BINARY, media="text/csv")
def table(query: dict[str, Any]) -> Response:
    """Every done count that matches, as a table, oldest first."""
    return _table(service().require_store(), _matching(query), query)


@exports.get("/counts.zip")
@exports.input(CountFilter, location="query", arg_name="query", unknown="raise")
@answers(exports, BINARY, media="application/zip")
def archive(query: dict[str, Any]) -> Response:
    """Every done count that matches, as a ZIP with the table and every count's files."""
    return _archive(service().require_store(), _matching(query))


@exports.post("/exports")
@exports.input(ExportForm, location="json", arg_name="form")
@answers(exports, BINARY, 404, 409, media="*/*")
def export(form: dict[str, Any]) -> Response:
    """A table (csv) of the counts, or a ZIP with the table and every count's files."""
    store = service().require_store()
    which = Filter(ids=tuple(dict.fromkeys(form["ids"])))
    _require_done(store, which)
    return _table(store, which, form) if form["format"] == "csv" else _archive(store, which)


@exports.get("/assays/<name>/training.zip")
@answers(exports, BINARY, 404, 409, media="application/zip")
def training(name: str) -> Response:
    """The corrected and reviewed frames of an assay as one file for `fluocount-train adapt`."""
    store = service().require_store()
    return _sent(
        training_parts(store, select_training(store, name)), "application/zip", "training.zip"
    )


def _matching(query: dict[str, Any]) -> Filter:
    """The filter of a query; only done counts have anything to export."""
    which = to_filter(query)
    return which if which.status else msgspec.structs.replace(which, status="done")


def _require_done(store: Store, which: Filter) -> None:
    """A missing or unfinished count raises instead of being left out."""
    rows = {row.id: row for row in store.counts.search(which)}
    for count_id in which.ids or ():
        row = rows.get(count_id) or store.counts.get(count_id)
        if row.status != "done":
            raise ConflictError(
                f"The count of {row.image} is {row.status}; only finished counts can be exported."
            )


def _done(store: Store, which: Filter) -> Iterator[CountRow]:
    return (row for row in store.counts.oldest_first(which) if row.status == "done")


def _table(store: Store, which: Filter, form: dict[str, Any]) -> Response:
    def parts() -> Iterator[bytes]:
        separator = SEPARATORS[form["separator"]]
        yield codecs.BOM_UTF8 if form["bom"] else b""
        yield csv_lines([counts_header()], separator).encode()
        for line in counts_lines(store, _done(store, which)):
            yield csv_lines([line], separator).encode()

    return _sent(parts(), "text/csv", "counts.csv")


def _archive(store: Store, which: Filter) -> Response:
    return _sent(archive_parts(store, _done(store, which)), "application/zip", "counts.zip")


def _sent(parts: Iterable[bytes], media: str, name: str) -> Response:
    answer = Response(parts, mimetype=media)
    answer.headers["Content-Disposition"] = f"attachment; filename={name}"
    return answer
