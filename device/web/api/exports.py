"""Several counts as one file."""

from typing import Any

from apiflask import APIBlueprint
from flask import Response, send_file

from device.errors import ConflictError
from device.export.archive import write_archive
from device.store import Store
from device.store.records import CountRow, Filter
from device.web.api.answers import BINARY, answers
from device.web.api.counts import counts_csv
from device.web.current import service
from device.web.inputs import ExportForm

exports = APIBlueprint("exports", __name__, url_prefix="/api/v1")


@exports.post("/exports")
@exports.input(ExportForm, location="json", arg_name="wish")
@answers(exports, BINARY, 404, 409, media="*/*")
def export(wish: dict[str, Any]) -> Response:
    """A table (csv) of the counts, or a ZIP with the table and every count's files."""
    store = service().require_store()
    rows = _find_done(store, wish["ids"])
    if wish["format"] == "csv":
        return counts_csv(store, Filter(ids=tuple(row.id for row in rows)))
    archive = write_archive(store, rows)
    return send_file(
        archive, mimetype="application/zip", as_attachment=True, download_name="counts.zip"
    )


def _find_done(store: Store, ids: list[str]) -> list[CountRow]:
    """The rows, oldest first; a missing or unfinished count raises instead of being left out."""
    rows = {count_id: store.counts.get(count_id) for count_id in ids}
    for row in rows.values():
        if row.status != "done":
            raise ConflictError(
                f"The count of {row.image} is {row.status}; only finished counts can be exported."
            )
    return sorted(rows.values(), key=lambda row: row.sequence)
