"""Cells added and removed by hand, as a log from which nothing is ever deleted."""

from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from device.counting.records import Cell, CountResult
from device.errors import ConflictError, InputError
from device.machine import clock
from device.store import rows
from device.store.protocols import Connection, ConstraintError, Database
from device.store.records import Action, Correction, CountRow, Mark


class Corrections:
    """Every count's corrections. Corrected count = automatic count + adds - removes.

    `key` is the sender's name for one correction: what is sent again under it, because no answer came, is made once.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def of(self, count_id: str) -> list[Correction]:
        """The log of one count, oldest first, undone ones included."""
        found = self._database.connection().execute(
            "SELECT * FROM corrections WHERE count_id = ? ORDER BY id", (count_id,)
        )
        return [msgspec.convert(dict(row), type=Correction) for row in found]

    def in_force(self, count_id: str) -> list[Correction]:
        """Those that were not undone."""
        return [known for known in self.of(count_id) if known.undone_s is None]

    def is_known(self, count_id: str, key: str | None) -> bool:
        """True if a correction of this count was made under this key."""
        found = self._database.connection().execute(
            "SELECT 1 FROM corrections WHERE count_id = ? AND once_key = ?", (count_id, key)
        )
        return key is not None and found.fetchone() is not None

    def add(
        self,
        count_id: str,
        result: CountResult,
        x: float,
        y: float,
        who: str,
        key: str | None = None,
    ) -> CountRow:
        """Add a cell at (x, y), in pixels of the original image.

        Raises:
            InputError: the point is outside the image.
        """
        require_inside(result, x, y)
        what = (x, y, self._next_id(count_id, result))
        return self._log(count_id, result, _Entry("add", what, who, key))

    def accept(
        self, count_id: str, result: CountResult, cell_id: int, who: str, key: str | None = None
    ) -> CountRow:
        """A doubtful object is a cell: one that was not counted is added with its outline, a counted one is confirmed.

        Raises:
            InputError: no cell and no doubtful object has this id.
            ConflictError: that is known already.
        """
        return self._judge(count_id, result, _entry(result, cell_id, ("confirm", "add"), who, key))

    def reject(
        self, count_id: str, result: CountResult, cell_id: int, who: str, key: str | None = None
    ) -> CountRow:
        """A doubtful object is no cell: a counted one is removed, one that was not counted is confirmed.

        Raises:
            InputError, ConflictError: as `accept`.
        """
        return self._judge(
            count_id, result, _entry(result, cell_id, ("remove", "confirm"), who, key)
        )

    def remove(
        self, count_id: str, result: CountResult, cell_id: int, who: str, key: str | None = None
    ) -> CountRow:
        """Remove a cell, or the addition of a cell that was added by hand.

        Raises:
            InputError: no counted or added cell has this id.
            ConflictError: it is already removed.
        """
        for known in self.in_force(count_id):
            if known.cell_id == cell_id and known.action == "add":
                return self.take_back(count_id, known.id, who)
        return self.reject(count_id, result, _counted_cell(result.cells, cell_id).id, who, key)

    def replace(
        self, count_id: str, result: CountResult, marks: Sequence[Mark], who: str
    ) -> CountRow:
        """Undo every correction in force and write these instead, all or nothing.

        Raises:
            ConflictError: the count was changed meanwhile.
        """
        with self._database.transaction() as connection:
            row = rows.get_own(self._database, count_id)
            if (row.count, row.threshold) != (result.count, result.threshold):
                raise ConflictError("This count has changed in the meantime; reload the page.")
            connection.execute(
                "UPDATE corrections SET undone_by = ?, undone_s = ? WHERE count_id = ? AND undone_s IS NULL",
                (who, clock.now_s(), count_id),
            )
            write_marks(connection, count_id, marks)
        return rows.get(self._database, count_id)

    def undo(self, count_id: str, who: str, correction_id: int | None = None) -> CountRow:
        """Undo a correction: the last one in force, or the given one, which may be undone already.

        Raises:
            ConflictError: there is none in force.
            InputError: this count has no such correction.
        """
        log = self.of(count_id)
        if correction_id is None:
            holding = [known.id for known in log if known.undone_s is None]
            if not holding:
                raise ConflictError("There is no correction to undo.")
            return self.take_back(count_id, holding[-1], who)
        known = next((one for one in log if one.id == correction_id), None)
        if known is None:
            raise InputError("This count has no such correction; reload the page.")
        if known.undone_s is not None:
            return rows.get(self._database, count_id)
        return self.take_back(count_id, correction_id, who)

    def take_back(self, count_id: str, correction_id: int, who: str) -> CountRow:
        """Undo one correction that is in force.

        Raises:
            ConflictError: it is not any more.
        """
        with self._database.transaction() as connection:
            rows.get_own(self._database, count_id)
            _undo(connection, correction_id, who)
            connection.execute(*_recount(count_id))
        return rows.get(self._database, count_id)

    def _next_id(self, count_id: str, result: CountResult) -> int:
        """One above every id of the result and of the added cells."""
        cells = [cell.id for cell in (*result.cells, *result.doubtful)]
        return 1 + max([*cells, *(known.cell_id for known in self.of(count_id))], default=0)

    def _judge(self, count_id: str, result: CountResult, entry: "_Entry") -> CountRow:
        """Log what somebody says about an object; what was said before about it no longer holds."""
        if self.is_known(count_id, entry.key):
            return rows.get(self._database, count_id)
        cell_id = entry.what[2]
        before = [known for known in self.in_force(count_id) if known.cell_id == cell_id]
        if any(known.action == entry.action for known in before):
            said = {"remove": "removed", "add": "accepted", "confirm": "confirmed"}[entry.action]
            raise ConflictError(f"Cell {cell_id} is already {said}; undo that first.")
        return self._log(count_id, result, entry, before)

    def _log(
        self,
        count_id: str,
        result: CountResult,
        entry: "_Entry",
        instead_of: Sequence[Correction] = (),
    ) -> CountRow:
        changed = ConflictError("This count has changed in the meantime; reload the page.")
        try:
            with self._database.transaction() as connection:
                row = rows.get_own(self._database, count_id)
                if (row.count, row.threshold) != (result.count, result.threshold):
                    raise changed  # labelled again: the ids now mean other cells
                for known in instead_of:
                    _undo(connection, known.id, entry.who)
                connection.execute(
                    "INSERT INTO corrections (count_id, action, x, y, cell_id, who, created_s, once_key) "
                    "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                    (count_id, entry.action, *entry.what, entry.who, clock.now_s(), entry.key),
                )
                connection.execute(*_recount(count_id))
        except ConstraintError:
            if self.is_known(count_id, entry.key):  # the same correction came twice at one moment
                return rows.get(self._database, count_id)
            raise changed from None
        return rows.get(self._database, count_id)


def write_marks(connection: Connection, count_id: str, marks: Sequence[Mark]) -> None:
    """Write several corrections within a transaction of the caller, and the corrected count."""
    connection.executemany(
        "INSERT INTO corrections (count_id, action, x, y, cell_id, who, created_s) VALUES (?, ?, ?, ?, ?, ?, ?)",
        [
            (count_id, mark.action, mark.x, mark.y, mark.cell_id, mark.who, clock.now_s())
            for mark in marks
        ],
    )
    connection.execute(*_recount(count_id))


def write_log(connection: Connection, count_id: str, log: Sequence[Correction]) -> None:
    """Write another instrument's log instead of what is there, and the corrected count."""
    connection.execute("DELETE FROM corrections WHERE count_id = ?", (count_id,))
    names = ("count_id", "action", "x", "y", "cell_id", "who", "created_s", "undone_by", "undone_s")
    connection.executemany(
        f"INSERT INTO corrections ({', '.join(names)}) VALUES ({', '.join('?' * len(names))})",
        [(count_id, *(getattr(known, name) for name in names[1:])) for known in log],
    )
    connection.execute(*_recount(count_id))


def require_inside(result: CountResult, x: float, y: float) -> None:
    """Raise if a place is outside the image.

    Raises:
        InputError: it is.
    """
    if not (0 <= x < result.width and 0 <= y < result.height):
        raise InputError(
            f"A cell must lie inside the image ({result.width} x {result.height} pixels), not at ({x:g}, {y:g})."
        )


class _Entry(NamedTuple):
    """A line of the log that is about to be written; `what` is x, y and the id of the cell."""

    action: Action
    what: tuple[float, float, int]
    who: str
    key: str | None


def _undo(connection: Connection, correction_id: int, who: str) -> None:
    changed = connection.execute(
        "UPDATE corrections SET undone_by = ?, undone_s = ? WHERE id = ? AND undone_s IS NULL",
        (who, clock.now_s(), correction_id),
    ).rowcount
    if not changed:
        raise ConflictError("This count has changed in the meantime; reload the page.")


def _entry(
    result: CountResult, cell_id: int, actions: tuple[Action, Action], who: str, key: str | None
) -> _Entry:
    """The line about a counted cell or a doubtful object; the first action is for what is counted."""
    cell = _cell(result, cell_id)
    action = actions[0] if cell_id <= result.count else actions[1]
    return _Entry(action, (cell.x, cell.y, cell.id), who, key)


def _cell(result: CountResult, cell_id: int) -> Cell:
    """A counted cell or a doubtful object."""
    for cell in (*result.cells, *result.doubtful):
        if cell.id == cell_id:
            return cell
    raise InputError(f"There is no cell and no doubtful object {cell_id}; reload the page.")


def _counted_cell(cells: Sequence[Cell], cell_id: int) -> Cell:
    for cell in cells:
        if cell.id == cell_id:
            return cell
    raise InputError(f"There is no cell {cell_id}; the count has the cells 1 to {len(cells)}.")


def _recount(count_id: str) -> tuple[str, tuple[object, ...]]:
    return (
        "UPDATE counts SET corrected_count = count + (SELECT COALESCE(SUM(CASE action WHEN 'add' "
        "THEN 1 WHEN 'remove' THEN -1 ELSE 0 END), 0) "
        "FROM corrections WHERE count_id = ? AND undone_s IS NULL) WHERE id = ?",
        (count_id, count_id),
    )
