"""Files to download, also such as are sent while they are made."""

import threading
from collections.abc import Iterable, Iterator
from contextlib import ExitStack

from flask import Response

from device.errors import BusyError


def download(content: str | Iterable[bytes], media: str, name: str) -> Response:
    """An answer that the browser keeps as a file.

    Args:
        content: the file, whole or in pieces.
        media: its type.
        name: in letters that a header can hold.
    """
    answer = Response(content, mimetype=media)
    answer.headers["Content-Disposition"] = f"attachment; filename={name}"
    return answer


def download_in_turn(
    parts: Iterable[bytes], media: str, name: str, places: threading.Semaphore, busy: str
) -> Response:
    """`download` of what keeps one of the server's threads busy, for minutes on a Pi.

    Args:
        parts: made while they are sent.
        media, name: as `download`.
        places: how many of them may be made at once.
        busy: the sentence where all places are taken.

    Raises:
        BusyError: all places are taken.
    """
    if not places.acquire(blocking=False):
        raise BusyError(busy)
    made = ExitStack()  # released once: when the last piece is sent or the reader is gone
    made.callback(places.release)
    answer = download(_until_sent(parts, made), media, name)
    answer.call_on_close(made.close)
    return answer


def _until_sent(parts: Iterable[bytes], made: ExitStack) -> Iterator[bytes]:
    with made:
        yield from parts
