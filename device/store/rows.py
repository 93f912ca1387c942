"""Converts database rows to records."""

from typing import Any

import msgspec

from device.errors import InputError, NotFoundError
from device.store.protocols import Connection, Database, Row
from device.store.records import CountRow

JSON_COLUMNS = ("settings", "capture", "flags", "conditions", "relabels", "needs", "regions")


def to_row(row: Row) -> CountRow:
    """A record from a row of `counts`."""
    values: dict[str, Any] = dict(row)
    for name in JSON_COLUMNS:
        if values[name] is not None:
            values[name] = msgspec.json.decode(values[name])
    return msgspec.convert(values, type=CountRow, strict=False)


def encode_json(values: dict[str, Any]) -> None:
    """Turn what `to_row` decodes back into text, where `values` have it."""
    for name in JSON_COLUMNS:
        if values.get(name) is not None:
            values[name] = msgspec.json.encode(values[name]).decode()


def find(connection: Connection, column: str, value: object) -> CountRow | None:
    """The row whose unique `column` has that value."""
    row = connection.execute(f"SELECT * FROM counts WHERE {column} = ?", (value,)).fetchone()
    return None if row is None else to_row(row)


def get(database: Database, count_id: str) -> CountRow:
    """The row of that id.

    Raises:
        NotFoundError: there is none.
    """
    row = find(database.connection(), "id", count_id)
    if row is None:
        raise NotFoundError(f"There is no count {count_id}; it may have been deleted.")
    return row


def family(connection: Connection, first_id: str) -> list[CountRow]:
    """The first count of an image and those made by counting it again, oldest first."""
    found = connection.execute(
        "SELECT * FROM counts WHERE id = ? OR version_of = ? ORDER BY sequence",
        (first_id, first_id),
    )
    return [to_row(row) for row in found]


def hand_on(connection: Connection, first_id: str) -> None:
    """Before the first count of an image is deleted, the next of those made by counting it again becomes the first."""
    heirs = [row.id for row in family(connection, first_id) if row.id != first_id]
    if heirs:
        sql = "UPDATE counts SET version_of = ? WHERE version_of = ?"
        connection.execute(sql, (heirs[0], first_id))
        connection.execute("UPDATE counts SET version_of = NULL WHERE id = ?", (heirs[0],))


def get_own(database: Database, count_id: str) -> CountRow:
    """The row of a count that was made here, to be changed.

    Raises:
        NotFoundError: there is none.
        InputError: it came from another instrument, whose next message would undo the change.
    """
    row = get(database, count_id)
    if row.instrument is not None:
        raise InputError(
            f"This count was made by {row.instrument}; change it there, and the change comes here."
        )
    return row
