"""In which order counts are listed, page after page.

A page begins after a count (`Filter.before`), so that counts which are added or deleted meanwhile shift nothing.
"""

import re
import sqlite3

from device.errors import NotFoundError
from device.store.protocols import Connection
from device.store.records import Filter, Order

_SHOWN = "COALESCE(corrected_count, count)"
# Of equals the newer one comes first. What is not known (a count that waits) comes last in either direction.
_KEYS: dict[str, tuple[str, str]] = {
    "name": ("natural_key(sample || ' ' || image)", "ASC"),
    "count": (f"COALESCE({_SHOWN}, 9e9)", "ASC"),
    "count_down": (f"COALESCE({_SHOWN}, -1)", "DESC"),
    "doubtful": ("COALESCE(doubtful, -1)", "DESC"),
}
_LONGEST_NUMBER = 20


def natural_key(text: str) -> str:
    """Sorts as people do: without capitals, and "slice 2" before "slice 10"."""
    return re.sub(r"\d+", lambda found: found[0].zfill(_LONGEST_NUMBER), text.casefold())


def teach_natural_key(connection: sqlite3.Connection) -> None:
    """Make `natural_key` known to SQL."""
    connection.create_function("natural_key", 1, natural_key, deterministic=True)


def order_by(order: Order, *, back: bool = False) -> str:
    """The ORDER BY of an order; `back` for the opposite one."""
    if order in ("newest", "oldest"):
        return f"sequence {'DESC' if (order == 'newest') != back else 'ASC'}"
    key, direction = _KEYS[order]
    turned = {"ASC": "DESC", "DESC": "ASC"}[direction]
    return f"{key} {turned}, sequence ASC" if back else f"{key} {direction}, sequence DESC"


def behind(
    connection: Connection, which: Filter, *, back: bool = False
) -> tuple[str, tuple[object, ...]]:
    """The condition for what comes after `which.before` in its order (`back`: before it).

    Raises:
        NotFoundError: that count was deleted, so its place in the order is not known any more.
    """
    if which.order in ("newest", "oldest"):
        return f"sequence {'<' if (which.order == 'newest') != back else '>'} ?", (which.before,)
    key, direction = _KEYS[which.order]
    row = connection.execute(
        f"SELECT {key} FROM counts WHERE sequence = ?", (which.before,)
    ).fetchone()
    if row is None:
        raise NotFoundError(
            "The count after which this list goes on was deleted; load the list again."
        )
    side = ">" if (direction == "ASC") != back else "<"
    newer = ">" if back else "<"
    return f"({key} {side} ? OR ({key} = ? AND sequence {newer} ?))", (
        row[0],
        row[0],
        which.before,
    )
