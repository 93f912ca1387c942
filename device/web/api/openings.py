"""Who opened counts while a blinded review of them is going on stands in its log."""

import logging

from apiflask import APIFlask
from flask import Response, g, request

from device.errors import StorageError
from device.web.access import who
from device.web.current import service

_log = logging.getLogger(__name__)

LISTS = frozenset(
    {"counts.history", "study_files.bundle", "upkeep.backup"}
    | {f"exports.{name}" for name in ("table", "archive", "export", "regions", "training")}
    | {f"studies.{name}" for name in ("look_at", "results", "report", "figure", "table")}
    | {
        f"reviews.{name}" for name in ("results", "agreement", "list_marks")
    }  # of another review, with the same images
)
"""Calls without the id of a count that tell counts."""

_TELLING = frozenset({200, 201, 202, 206, 304})
"""What is unchanged (304) stands on the screen again; who is sent to the login saw nothing."""


def watch_openings(app: APIFlask) -> None:
    """Whoever opens a count or a list of counts while a review is blinded stands in its log."""
    app.after_request(_note_opening)


def _note_opening(answer: Response) -> Response:
    store = service().store
    opened = _opened()
    if answer.status_code in _TELLING and store is not None and opened:
        try:
            for count_id in opened:
                store.reviews.note_opening(who(None), count_id)
        except StorageError as error:  # a full disk keeps nobody from looking at results
            _log.warning("an opened count could not be noted: %s", error)
    return answer


def _opened() -> list[str | None]:
    """The counts that this request told; None stands for a list of them."""
    count_id = (request.view_args or {}).get("count_id")
    told = [*([count_id] if count_id else []), *g.get("told_counts", ())]
    return [None] if request.endpoint in LISTS and not count_id else told
