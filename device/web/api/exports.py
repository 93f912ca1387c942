"""Several counts as one file, sent while it is made."""

import codecs
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Any

import msgspec
from apiflask import APIBlueprint
from flask import Response

from device.errors import ConflictError
from device.export.archive import archive_parts
from device.export.regions import REGIONS_COLUMNS
from device.export.stored import counts_lines, regions_lines
from device.export.tables import counts_header, csv_lines
from device.export.training import select_training, training_parts
from device.store import Store
from device.store.records import CountRow, Filter
from device.web.api.answers import BINARY, answers
from device.web.api.downloads import download
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


@exports.get("/regions.csv")
@exports.input(TableQuery, location="query", arg_name="query", unknown="raise")
@answers(exports, BINARY, media="text/csv")
def regions(query: dict[str, Any]) -> Response:
    """The regions that were drawn on every done count that matches, as a table, oldest first."""
    return _regions(service().require_store(), _matching(query), query)


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
    """A table of the counts (csv) or of their regions, or a ZIP with the tables and every count's files."""
    store = service().require_store()
    which = Filter(ids=tuple(dict.fromkeys(form["ids"])))
    _require_done(store, which)
    if form["format"] == "zip":
        return _archive(store, which)
    return (_table if form["format"] == "csv" else _regions)(store, which, form)


@exports.get("/assays/<name>/training.zip")
@answers(exports, BINARY, 404, 409, media="application/zip")
def training(name: str) -> Response:
    """The corrected and reviewed frames of an assay as one file for `fluocount-train adapt`."""
    store = service().require_store()
    return download(
        training_parts(store, select_training(store, name)), "application/zip", "training.zip"
    )


def _matching(query: dict[str, Any]) -> Filter:
    """The filter of a query; only done counts have anything to export."""
    which = to_filter(query)
    return which if which.status else msgspec.structs.replace(which, status="done")


def _require_done(store: Store, which: Filter) -> None:
    """A missing or unfinished count raises instead of being left out."""
    if which.ids is None:
        return
    done = {row.id for row in _done(store, which)}
    for count_id in which.ids:
        if count_id not in done and (row := store.counts.get(count_id)).status != "done":
            raise ConflictError(
                f"The count of {row.image} is {row.status}; only finished counts can be exported."
            )


def _done(store: Store, which: Filter) -> Iterator[CountRow]:
    return (row for row in store.counts.oldest_first(which) if row.status == "done")


def _table(store: Store, which: Filter, form: dict[str, Any]) -> Response:
    lines = chain([counts_header()], counts_lines(store, _done(store, which)))
    return download(_csv(lines, form), "text/csv", "counts.csv")


def _regions(store: Store, which: Filter, form: dict[str, Any]) -> Response:
    lines = chain([list(REGIONS_COLUMNS)], regions_lines(store, _done(store, which)))
    return download(_csv(lines, form), "text/csv", "regions.csv")


def _csv(lines: Iterable[list[str]], form: dict[str, Any]) -> Iterator[bytes]:
    """A table in pieces, with the separator and the mark that the form asks for."""
    yield codecs.BOM_UTF8 if form["bom"] else b""
    for line in lines:
        yield csv_lines([line], SEPARATORS[form["separator"]]).encode()


def _archive(store: Store, which: Filter) -> Response:
    return download(archive_parts(store, _done(store, which)), "application/zip", "counts.zip")
