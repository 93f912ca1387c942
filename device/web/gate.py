"""What can be said of a request from its headers: whether it may come in, and whether its body can be taken."""

import logging
from io import BytesIO

from apiflask import APIFlask
from flask import Response, request
from flask.typing import ResponseReturnValue
from werkzeug.exceptions import HTTPException

from device.errors import FluocountError
from device.web import access, errors
from device.web.connections import Environ, Gate, Refused
from device.web.current import service

_PENDING_UPLOADS = 4
"""Bodies that may lie on the disk at once, in units of the largest upload."""
_BUSY_S = 0.25
"""The gate answers within the loop that serves all connections: it waits no longer for a held database."""
_log = logging.getLogger(__name__)


def make_gate(app: APIFlask) -> Gate:
    """The gate of an app; called from the server's own thread for every request that has a body."""

    def gate(environ: Environ) -> Refused | None:
        given = {
            **environ,
            "wsgi.input": BytesIO(),
            "fluocount.length": environ.get("CONTENT_LENGTH"),
        }
        given.pop("CONTENT_LENGTH", None)
        with app.request_context(given):
            try:
                answer = _refusal(given)
            except (FluocountError, HTTPException) as error:
                answer = app.handle_user_exception(error)
            except Exception as error:  # noqa: BLE001 - the loop must go on for the others
                answer = app.handle_user_exception(error)
            if answer is None:
                return None
            made: Response = app.process_response(app.make_response(answer))
            return Refused(made.status_code, made.headers.items(), made.get_data())

    return gate


def _refusal(environ: Environ) -> ResponseReturnValue | None:
    store = service().store
    if store is not None:
        store.database.be_patient(_BUSY_S)
    refused = access.refuse_outsiders()
    if refused is not None or request.routing_exception is not None:
        return refused
    upload = request.endpoint in errors.UPLOAD_ENDPOINTS
    if environ["fluocount.chunked"] and not upload:
        return errors.sentence(411, "Send the length of the body (Content-Length).")
    length = int(environ["fluocount.length"] or 0)
    limit = request.max_content_length if upload else errors.MAX_TEXT_BYTES
    if limit is not None and length > limit:
        return errors.sentence(413, errors.too_large(length))
    return _refuse_upload(length, environ["fluocount.pending_bytes"]) if upload else None


def _refuse_upload(length: int, pending_bytes: int) -> ResponseReturnValue | None:
    """Before the body is taken: can it be kept, and are there not too many on their way?"""
    found = service()
    key = request.headers.get("Idempotency-Key")
    if key and found.require_store().counts.find_once(f"client:{key}") is not None:
        return None  # sent again: it gets its first answer, however full the queue is now
    store = found.require_accepting().store
    if request.endpoint == errors.FORWARD_ENDPOINT:
        store.inbox.require_room(length)
    else:
        store.counts.require_room(length)
    if pending_bytes > _PENDING_UPLOADS * found.settings.web.max_upload_mb * 1_000_000:
        return errors.sentence(503, "Too many uploads at once; send this one again in a minute.")
    return None
