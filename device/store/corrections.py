"""Cells added and removed by hand, as a log from which nothing is ever deleted."""

import sqlite3
from collections.abc import Sequence

import msgspec

from device.counting.records import Cell, CountResult
from device.errors import ConflictError, InputError
from device.machine import clock
from device.store import rows
from device.store.database import Database
from device.store.records import Correction, CountRow, Mark


class Corrections:
    """Every count's corrections. Corrected count = automatic count + adds - removes."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def of(self, count_id: str) -> list[Correction]:
        """The log of one count, oldest first, undone ones included."""
        found = self._database.connection().execute(
            "SELECT * FROM corrections WHERE count_id = ? ORDER BY id", (count_id,)
        )
        return [msgspec.convert(dict(row), type=Correction) for row in found]

    def add(self, count_id: str, result: CountResult, x: float, y: float, who: str) -> CountRow:
        """Add a cell at (x, y), in pixels of the original image.

        Raises:
            InputError: the point is outside the image.
        """
        if not (0 <= x < result.width and 0 <= y < result.height):
            raise InputError(
                f"A cell must lie inside the image ({result.width} x "
                f"{result.height} pixels), "
                f"not at ({x:g}, {y:g})."
            )
        return self._log(count_id, result, "add", (x, y, self._next_id(count_id, result)), who)

    def remove(self, count_id: str, result: CountResult, cell_id: int, who: str) -> CountRow:
        """Remove a cell, or the addition of a cell that was added by hand.

        Raises:
            InputError: no counted or added cell has this id.
            ConflictError: it is already removed.
        """
        for known in self.of(count_id):
            if known.cell_id == cell_id and known.undone_s is None:
                if known.action == "add":
                    return self._take_back(count_id, known.id, who)
                raise ConflictError(f"Cell {cell_id} is already removed; undo that first.")
        cell = _find_counted(result.cells, cell_id)
        return self._log(count_id, result, "remove", (cell.x, cell.y, cell_id), who)

    def replace(
        self, count_id: str, result: CountResult, marks: Sequence[Mark], who: str
    ) -> CountRow:
        """Undo every correction in force and write these instead, all or nothing.

        Raises:
            ConflictError: the count was changed meanwhile.
        """
        with self._database.transaction() as connection:
            row = rows.get(self._database, count_id)
            if (row.count, row.threshold) != (result.count, result.threshold):
                raise ConflictError("This count has changed in the meantime; reload the page.")
            connection.execute(
                "UPDATE corrections SET undone_by = ?, undone_s = ? WHERE count_id = ? AND undone_s IS NULL",
                (who, clock.now_s(), count_id),
            )
            write_marks(connection, count_id, marks)
        return rows.get(self._database, count_id)

    def undo(self, count_id: str, who: str) -> CountRow:
        """Undo the last correction in force.

        Raises:
            ConflictError: there is none.
        """
        holding = [known.id for known in self.of(count_id) if known.undone_s is None]
        if not holding:
            raise ConflictError("There is no correction to undo.")
        return self._take_back(count_id, holding[-1], who)

    def _next_id(self, count_id: str, result: CountResult) -> int:
        """One above every id of the result and of the added cells."""
        cells = [cell.id for cell in (*result.cells, *result.doubtful)]
        return 1 + max([*cells, *(known.cell_id for known in self.of(count_id))], default=0)

    def _take_back(self, count_id: str, correction_id: int, who: str) -> CountRow:
        with self._database.transaction() as connection:
            changed = connection.execute(
                "UPDATE corrections SET undone_by = ?, undone_s = ? "
                "WHERE id = ? AND undone_s IS NULL",
                (who, clock.now_s(), correction_id),
            ).rowcount
            if not changed:
                raise ConflictError("This count has changed in the meantime; reload the page.")
            connection.execute(*_recount(count_id))
        return rows.get(self._database, count_id)

    def _log(
        self,
        count_id: str,
        result: CountResult,
        action: str,
        what: tuple[float, float, int],
        who: str,
    ) -> CountRow:
        changed = ConflictError("This count has changed in the meantime; reload the page.")
        try:
            with self._database.transaction() as connection:
                row = rows.get(self._database, count_id)
                if (row.count, row.threshold) != (result.count, result.threshold):
                    raise changed  # labelled again: the ids now mean other cells
                connection.execute(
                    "INSERT INTO corrections (count_id, action, x, y, cell_id, who, created_s) "
                    "VALUES (?, ?, ?, ?, ?, ?, ?)",
                    (count_id, action, *what, who, clock.now_s()),
                )
                connection.execute(*_recount(count_id))
        except sqlite3.IntegrityError:
            raise changed from None
        return rows.get(self._database, count_id)


def write_marks(connection: sqlite3.Connection, count_id: str, marks: Sequence[Mark]) -> None:
    """Write several corrections within a transaction of the caller, and the corrected count."""
    connection.executemany(
        "INSERT INTO corrections (count_id, action, x, y, cell_id, who, created_s) VALUES (?, ?, ?, ?, ?, ?, ?)",
        [
            (count_id, mark.action, mark.x, mark.y, mark.cell_id, mark.who, clock.now_s())
            for mark in marks
        ],
    )
    connection.execute(*_recount(count_id))


def _find_counted(cells: Sequence[Cell], cell_id: int) -> Cell:
    for cell in cells:
        if cell.id == cell_id:
            return cell
    raise InputError(f"There is no cell {cell_id}; the count has the cells 1 to {len(cells)}.")


def _recount(count_id: str) -> tuple[str, tuple[object, ...]]:
    return (
        "UPDATE counts SET corrected_count = count + (SELECT COALESCE(SUM(CASE action WHEN 'add' "
        "THEN 1 ELSE -1 END), 0) "
        "FROM corrections WHERE count_id = ? AND undone_s IS NULL) WHERE id = ?",
        (count_id, count_id),
    )
