"""The log of a blinded review: lines are only added, and each holds the hash of the one before.

    hash of line n = SHA-256 of (hash of line n-1, a line break, the content of line n)

Line 0 is chained to the hash of the review itself: its images, observers and seed. The review knows the number of lines
and the last hash, so that a changed, missing, added or cut line shows.
"""

import hashlib
from collections.abc import Sequence
from typing import Any

import msgspec

from device.machine import clock
from device.store.protocols import Connection


class LogLine(msgspec.Struct, frozen=True, kw_only=True):
    """Who did what when.

    Attributes:
        number: from 0.
        when_s: seconds since 1970.
        who: the observer, or who worked at the page.
        what: created, started, paused, marked, done, finished, agreed, opened.
        detail: the key of the image, the digest of the marks, what was opened.
    """

    number: int
    when_s: float
    who: str
    what: str
    detail: dict[str, Any] = {}


def chain(before: str, content: str) -> str:
    """The hash of a line with that content."""
    return hashlib.sha256(f"{before}\n{content}".encode()).hexdigest()


def points_digest(points: Sequence[Sequence[float]]) -> str:
    """Digest of marks as the log holds it."""
    return hashlib.sha256(msgspec.json.encode(points)).hexdigest()


def append(connection: Connection, review: str, who: str, what: str, **detail: Any) -> None:
    """Add a line within a transaction of the caller."""
    head, number = connection.execute(
        "SELECT head, lines FROM reviews WHERE id = ?", (review,)
    ).fetchone()
    line = LogLine(number=number, when_s=round(clock.now_s(), 3), who=who, what=what, detail=detail)
    content = msgspec.json.encode(line, order="deterministic").decode()
    link = chain(head, content)
    connection.execute(
        "INSERT INTO review_log VALUES (?, ?, ?, ?)", (review, number, content, link)
    )
    connection.execute(
        "UPDATE reviews SET head = ?, lines = ? WHERE id = ?", (link, number + 1, review)
    )


def find_faults(
    start: str, lines: Sequence[tuple[int, str, str]], head: str, number: int
) -> list[str]:
    """Sentences about what is wrong with a log; empty where it holds.

    Args:
        start: hash of the review itself.
        lines: (number, content, hash) in order.
        head: last hash as the review knows it.
        number: of lines as the review knows it.
    """
    before = start
    for place, (own, content, link) in enumerate(lines):
        if own != place:
            return [f"Line {place} of the log is missing."]
        if chain(before, content) != link:
            return [f"Line {place} of the log was changed, or a line before it."]
        before = link
    if len(lines) != number or before != head:
        return [
            f"The log should have {number} lines and has {len(lines)}; its end was cut or added."
        ]
    return []
