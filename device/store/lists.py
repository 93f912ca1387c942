"""Finding counts: by filter, by neighbourhood, by image."""

from collections.abc import Iterator

import msgspec

from device.store import rows
from device.store.order import behind, order_by
from device.store.protocols import Database
from device.store.records import CountRow, Filter

EVERYTHING = Filter()
_NEWEST = (
    "NOT EXISTS (SELECT 1 FROM counts AS later WHERE later.status = 'done' AND later.sequence > counts.sequence "
    "AND later.version_of = COALESCE(counts.version_of, counts.id))"
)


class CountLists:
    """Reads the table of counts."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def search(self, which: Filter = EVERYTHING, limit: int | None = None) -> list[CountRow]:
        """Counts that match, in the order of the filter.

        Raises:
            NotFoundError: `which.before` was deleted (only in an order that needs it).
        """
        connection = self._database.connection()
        where, values = _where(which)
        if which.before is not None:
            after, places = behind(connection, which)
            where, values = f"{where} AND {after}", (*values, *places)
        sql = f"SELECT * FROM counts WHERE {where} ORDER BY {order_by(which.order)}"
        if limit is not None:
            sql, values = f"{sql} LIMIT ?", (*values, limit)
        found = connection.execute(sql, values)
        return [rows.to_row(row) for row in found]

    def versions(self, first_id: str) -> list[CountRow]:
        """The first count of an image and those made by counting it again, oldest first."""
        return rows.family(self._database.connection(), first_id)

    def number(self, which: Filter = EVERYTHING) -> int:
        """How many match."""
        where, values = _where(which)
        sql = f"SELECT COUNT(*) FROM counts WHERE {where}"
        return int(self._database.connection().execute(sql, values).fetchone()[0])

    def oldest_first(self, which: Filter = EVERYTHING, at_once: int = 200) -> Iterator[CountRow]:
        """Counts that match, read some at a time, so that thousands need no memory."""
        where, values = _where(which)
        sql = f"SELECT * FROM counts WHERE {where} AND sequence > ? ORDER BY sequence LIMIT ?"
        last = 0
        while (
            found := self._database.connection().execute(sql, (*values, last, at_once)).fetchall()
        ):
            yield from map(rows.to_row, found)
            last = found[-1]["sequence"]

    def neighbours(self, row: CountRow, which: Filter) -> tuple[CountRow | None, CountRow | None]:
        """The counts just before and just after this one in the list of those that match.

        Of the usual list, newest first, they are the ones accepted before and after it, as slices are looked through.
        """
        connection = self._database.connection()
        where, values = _where(which)
        order = "oldest" if which.order == "newest" else which.order
        here = msgspec.structs.replace(which, before=row.sequence, order=order)
        found = []
        for back in (True, False):
            beside, places = behind(connection, here, back=back)
            sql = f"SELECT * FROM counts WHERE {where} AND {beside} ORDER BY {order_by(order, back=back)} LIMIT 1"
            one = connection.execute(sql, (*values, *places)).fetchone()
            found.append(None if one is None else rows.to_row(one))
        return found[0], found[1]

    def same_image(self, row: CountRow) -> CountRow | None:
        """The newest other count of the same bytes that waits, runs or is done."""
        found = (
            self._database.connection()
            .execute(
                "SELECT * FROM counts WHERE image_sha256 = ? AND sequence < ? "
                "AND status IN ('queued', 'running', 'done') ORDER BY sequence DESC LIMIT 1",
                (row.image_sha256, row.sequence),
            )
            .fetchone()
        )
        return None if found is None else rows.to_row(found)

    def samples(self) -> list[str]:
        """Every sample name in use, sorted."""
        found = self._database.connection().execute(
            "SELECT DISTINCT sample FROM counts WHERE sample != '' ORDER BY sample"
        )
        return [row[0] for row in found]


_STATES = {
    "reviewed": "reviewed_s IS NOT NULL",
    "flagged": "flags != '[]'",
    "doubtful": "COALESCE(doubtful, 1) > 0",
    "corrected": "EXISTS (SELECT 1 FROM corrections WHERE count_id = counts.id AND undone_s IS NULL "
    "AND action != 'confirm')",
}


def _where(which: Filter) -> tuple[str, tuple[object, ...]]:
    conditions = {
        "sample = ?": which.sample,
        "created_s + COALESCE(clock_correction_s, 0) >= ?": which.since_s,
        "created_s + COALESCE(clock_correction_s, 0) < ?": which.until_s,
        "status = ?": which.status,
        "keep = ?": which.kept,
        "origin = ?": which.origin,
        "COALESCE(instrument, '') = ?": which.instrument,
        "owner = ?": which.owner,
    }
    used = {text: value for text, value in conditions.items() if value is not None}
    texts, values = list(used), list(used.values())
    if which.newest:
        texts.append(_NEWEST)
    for name, text in _STATES.items():
        wanted = getattr(which, name)
        if wanted is not None:
            texts.append(
                f"status = 'done' AND {text}" if wanted else f"status = 'done' AND NOT ({text})"
            )
    if which.search is not None:
        part = which.search.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
        texts.append("(sample LIKE ? ESCAPE '\\' OR image LIKE ? ESCAPE '\\')")
        values += [f"%{part}%"] * 2
    if which.ids is not None:
        texts.append(f"id IN ({', '.join('?' * len(which.ids))})" if which.ids else "1 = 0")
        values.extend(which.ids)
    return " AND ".join(texts) or "1 = 1", tuple(values)
