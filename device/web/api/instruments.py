"""Several instruments, one page: who speaks to this one, and the finished counts that they send."""

from typing import Any

import msgspec
from apiflask import APIBlueprint
from flask import Response

from device.counting.records import DECODE_ERRORS
from device.errors import InputError
from device.store import Store
from device.store.forwarded import ORIGINAL, Instrument, Message
from device.store.results import PRODUCTS
from device.web.api.answers import answers, json, ref
from device.web.current import service
from device.web.inputs import ForwardForm, InstrumentForm, field_of
from device.web.records import InstrumentList

instruments = APIBlueprint("instruments", __name__, url_prefix="/api/v1")


def _store() -> Store:
    return service().require_accepting().store


@instruments.get("/instruments")
@answers(instruments, ref("InstrumentList"))
def list_all() -> Response:
    """Every instrument that sends its counts here, and when it spoke last."""
    heard = service().require_store().inbox.instruments()
    return json(InstrumentList(instruments=tuple(heard)))


@instruments.post("/instruments")
@instruments.input(InstrumentForm, location="json", arg_name="said")
@answers(instruments, ref("Hello"), 503)
def hear(said: dict[str, Any]) -> Response:
    """An instrument says that it is there."""
    return json(_store().inbox.hear(msgspec.convert(said, type=Instrument)))


@instruments.post("/forwarded")
@instruments.input(ForwardForm, location="form_and_files", arg_name="form")
@answers(instruments, ref("Receipt"), 503)
def receive(form: dict[str, Any]) -> Response:
    """A finished count of another instrument; sent twice, it is kept once."""
    try:
        message = msgspec.json.decode(form.pop("about").read(), type=Message)
    except DECODE_ERRORS as error:
        raise InputError(
            f"This is no count of a fluocount that this one knows ({error}); upgrade both."
        ) from None
    names = {field_of(name): name for name in (*PRODUCTS, ORIGINAL)}
    files = {names[field]: file.read() for field, file in form.items()}
    return json(_store().inbox.receive(message.instrument, message.count, files))
