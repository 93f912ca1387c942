"""Multipart forms through the library `multipart`.

Werkzeug's own parser (3.1.9) adds a carriage return to a file whose closing boundary is cut by the end of a 64 KiB read
just before its last hyphen: one upload in 65,536 lengths is stored with other bytes than were sent.
"""

from collections.abc import Iterator
from itertools import chain
from typing import IO, Any

from flask import Request, request
from multipart import MultipartError, MultipartSegment, ParserLimitReached, PushMultipartParser
from werkzeug.datastructures import FileStorage, Headers, MultiDict
from werkzeug.exceptions import RequestEntityTooLarge
from werkzeug.formparser import FormDataParser

from device.errors import InputError
from device.web.words import label

_READ_BYTES = 64 * 1024

Form = MultiDict[str, Any]


class FormParser(FormDataParser):
    """What Flask asks for the fields and files of a request."""

    def parse(
        self,
        stream: IO[bytes],
        mimetype: str,
        content_length: int | None,
        options: dict[str, str] | None = None,
    ) -> tuple[IO[bytes], Form, Form]:
        """Fields and files of a form; other content types as Werkzeug reads them.

        Raises:
            InputError: the form is damaged or ends too early.
            RequestEntityTooLarge: too many parts, or too much text.
        """
        if mimetype != "multipart/form-data":
            return super().parse(stream, mimetype, content_length, options)
        form: list[tuple[str, str]] = []
        files: list[tuple[str, FileStorage]] = []
        try:
            for part in self._parts(stream, (options or {}).get("boundary", ""), content_length):
                if isinstance(part, FileStorage):
                    files.append((part.name or "", part))
                else:
                    form.append(part)
        except ParserLimitReached:
            raise RequestEntityTooLarge from None
        except MultipartError as error:
            raise InputError(
                f"The upload is damaged or incomplete ({error}); send it again."
            ) from None
        return stream, self.cls(form), self.cls(files)

    def _parts(self, stream: IO[bytes], boundary: str, content_length: int | None) -> Iterator[Any]:
        """Every part that is whole: (name, text), or a file at its beginning."""
        limit = float("inf") if self.max_form_parts is None else self.max_form_parts
        parser = PushMultipartParser(boundary, max_segment_count=limit)
        left = float("inf") if self.max_form_memory_size is None else self.max_form_memory_size
        with parser:
            for event in parser.parse_blocking(stream.read, _READ_BYTES):
                if isinstance(event, MultipartSegment):
                    segment, text = event, bytearray()
                    file = self._file(segment, content_length)
                elif event is None:
                    yield _whole(segment, text, file)
                elif file is not None:
                    file.write(event)
                else:
                    left -= len(event)
                    if left < 0:
                        raise RequestEntityTooLarge
                    text += event

    def _file(self, segment: MultipartSegment, content_length: int | None) -> IO[bytes] | None:
        """Where a file's bytes go; None for a field."""
        if segment.filename is None:
            return None
        return self.stream_factory(content_length, segment.content_type, segment.filename)


def _whole(
    segment: MultipartSegment, text: bytearray, file: IO[bytes] | None
) -> tuple[str, str] | FileStorage:
    if file is None:
        return segment.name or "", text.decode(errors="replace")
    file.seek(0)
    headers = Headers(segment.headerlist)
    return FileStorage(file, segment.filename, segment.name, headers=headers)


def refuse_repeated() -> None:
    """One value of two that were sent would be used, and one image of two be lost, without a word.

    Raises:
        InputError: a parameter, field or file came more than once.
    """
    if request.endpoint is None or not request.path.startswith("/api/"):
        return
    arrived: tuple[Form, ...] = (request.args, request.form, request.files)
    lists = chain.from_iterable(sent.lists() for sent in arrived)
    for name, values in lists:
        if len(values) > 1:
            raise InputError(
                f"This request has {label(name)} {len(values)} times, of which only one would be used; send each in a "
                "request of its own."
            )


class FormRequest(Request):
    """A request whose forms arrive as they were sent."""

    form_data_parser_class = FormParser
