"""The two calls of a central fluocount, with Python's own HTTP client: nothing to install on a Pi."""

import http.client
import secrets
import ssl
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from device import __version__
from device.config import ForwardSettings
from device.counting.records import DECODE_ERRORS
from device.machine.files import sha256_of
from device.store.forwarded import Hello, Instrument, Message, Receipt
from device.store.outbox import Parcel

_TIMEOUT_S = 60.0
"""Without a byte from the other side; longer than it syncs a large image to a busy disk."""
_BLOCK_BYTES = 1 << 16
_LONGEST_ANSWER_BYTES = 1 << 20
_PASSING = frozenset({401, 403, 404, 405, 407, 408, 411, 421, 425, 429})
"""Refusals that say nothing about this result: a token that was revoked, another address, too many calls."""

Answer = TypeVar("Answer", Hello, Receipt)


class UnreachableError(Exception):
    """The central cannot be spoken to now; the text says why in one sentence."""


class RefusedError(Exception):
    """The central does not take this one result; the text is its sentence."""


class _Trouble(msgspec.Struct):
    error: str


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A redirected POST would become a GET, and its answer a receipt for nothing."""

    def redirect_request(self, *_: Any) -> None:
        return None


def say_hello(settings: ForwardSettings, central: str, instrument: Instrument) -> Hello:
    """Tell the central that this instrument is there.

    Raises:
        UnreachableError: it does not answer as a fluocount.
    """
    body = msgspec.json.encode(instrument)
    request = urllib.request.Request(f"{central}/api/v1/instruments", data=body, method="POST")
    request.add_header("Content-Type", "application/json")
    try:
        hello = _call(settings, request, Hello)
    except RefusedError as error:
        raise UnreachableError(str(error)) from None
    if hello.instrument != instrument.id:
        raise _no_fluocount(central)
    return hello


def deliver(
    settings: ForwardSettings, central: str, instrument: Instrument, parcel: Parcel
) -> None:
    """Send a result; its files only if the central has not got them. When this returns, it is kept there.

    Raises:
        RefusedError: the central does not take this one.
        UnreachableError: it does not answer as a fluocount.
        OSError: a file cannot be read.
    """
    digests = {name: sha256_of(path) for name, path in parcel.files.items()}
    about = msgspec.structs.replace(parcel.about, files=digests)
    message = msgspec.json.encode(Message(instrument=instrument, count=about))
    for files in ({}, parcel.files):
        form = _Form(message, files)
        request = urllib.request.Request(
            f"{central}/api/v1/forwarded", data=iter(form), method="POST"
        )
        request.add_header("Content-Type", form.content_type)
        request.add_header("Content-Length", str(form.length))
        receipt = _call(settings, request, Receipt)
        if (receipt.id, receipt.stamp) != (about.id, about.stamp):
            raise _no_fluocount(central)
        if receipt.status != "send files":
            return
    raise UnreachableError(f"{central} asks for files again and again; upgrade both fluocounts.")


def _call(
    settings: ForwardSettings, request: urllib.request.Request, expected: type[Answer]
) -> Answer:
    request.add_header("User-Agent", f"fluocount/{__version__}")
    request.add_header("Accept", "application/json")
    if settings.token is not None:
        request.add_header("Authorization", f"Bearer {settings.token}")
    opener = urllib.request.build_opener(_NoRedirect, _trust(settings))
    try:
        with opener.open(request, timeout=_TIMEOUT_S) as answer:
            body = answer.read(_LONGEST_ANSWER_BYTES)
    except urllib.error.HTTPError as error:
        raise _explain(error) from None
    except urllib.error.URLError as error:
        if isinstance(error.reason, FileNotFoundError):
            raise error.reason from None  # of the result, deleted while it was sent
        raise UnreachableError(f"it cannot be reached ({error.reason}).") from None
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise UnreachableError(f"the connection broke ({type(error).__name__}: {error}).") from None
    try:
        return msgspec.json.decode(body, type=expected)
    except DECODE_ERRORS:
        raise _no_fluocount(request.full_url) from None


def _trust(settings: ForwardSettings) -> urllib.request.HTTPSHandler:
    try:
        context = ssl.create_default_context(cafile=settings.ca_file)
    except OSError as error:
        raise UnreachableError(
            f"the certificate {settings.ca_file} cannot be read ({error.strerror or error}); "
            "check ca_file in the settings."
        ) from None
    return urllib.request.HTTPSHandler(context=context)


def _explain(error: urllib.error.HTTPError) -> Exception:
    """A sentence of a fluocount about this result, or anything else."""
    try:
        sentence = msgspec.json.decode(error.read(_LONGEST_ANSWER_BYTES), type=_Trouble).error
    except (OSError, *DECODE_ERRORS):
        sentence = ""
    text = sentence or f"it answers with error {error.code} ({error.reason})."
    mine = 400 <= error.code < 500 and error.code not in _PASSING
    return RefusedError(text) if mine else UnreachableError(text)


def _no_fluocount(address: str) -> UnreachableError:
    return UnreachableError(
        f"what answers at {address} is no fluocount that this one knows; check the address."
    )


class _Form:
    """A multipart form that is read from the disk while it is sent: an image of 200 MB needs no memory."""

    def __init__(self, message: bytes, files: Mapping[str, Path]) -> None:
        self._boundary = secrets.token_hex(16)
        self.content_type = f"multipart/form-data; boundary={self._boundary}"
        self._parts: list[tuple[bytes, bytes | Path]] = [(self._head("about"), message)]
        self._parts += [(self._head(name), path) for name, path in files.items()]
        self._end = f"--{self._boundary}--\r\n".encode()
        sizes = [
            len(part) if isinstance(part, bytes) else part.stat().st_size for _, part in self._parts
        ]
        self.length = sum(sizes) + sum(len(head) + 2 for head, _ in self._parts) + len(self._end)

    def __iter__(self) -> Iterator[bytes]:
        for head, part in self._parts:
            yield head
            if isinstance(part, bytes):
                yield part
            else:
                with part.open("rb") as stream:
                    while block := stream.read(_BLOCK_BYTES):
                        yield block
            yield b"\r\n"
        yield self._end

    def _head(self, name: str) -> bytes:
        return (
            f"--{self._boundary}\r\nContent-Disposition: form-data; "
            f'name="{name}"; filename="{name}"\r\nContent-Type: application/octet-stream\r\n\r\n'
        ).encode()
