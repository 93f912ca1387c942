"""Scripts, styles and icons are sent compressed; each is compressed once."""

import gzip
from functools import lru_cache

from flask import Response, request

_KINDS = ("text/", "application/javascript", "image/svg")
_LEAST_BYTES = 500
"""Below that the header costs more than is saved."""


def compress_static(answer: Response) -> Response:
    """The answer, compressed where it is a static text and the browser takes gzip."""
    if request.endpoint != "static" or answer.status_code != 200:
        return answer
    if not (answer.mimetype or "").startswith(_KINDS):
        return answer
    answer.vary.add("Accept-Encoding")
    if not request.accept_encodings["gzip"] or (answer.content_length or 0) < _LEAST_BYTES:
        return answer
    answer.direct_passthrough = False
    answer.set_data(_compress(answer.get_data()))
    answer.content_encoding = "gzip"
    return answer


@lru_cache(maxsize=256)
def _compress(data: bytes) -> bytes:
    return gzip.compress(data, mtime=0)
