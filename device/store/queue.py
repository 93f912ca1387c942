"""The queue of counts: one worker claims, reports and finishes; anybody may cancel."""

import secrets

import msgspec

from device.config import StorageSettings
from device.counting.records import CountResult
from device.errors import ConflictError
from device.machine import clock
from device.store import rows
from device.store.corrections import write_marks
from device.store.counts import NEXT_FIRST
from device.store.leases import Leases
from device.store.outcome import result_update, to_json
from device.store.protocols import Database
from device.store.records import NOTHING_CARRIED, Carried, CountRow, Relabel
from device.store.regions import write_regions

MAX_ATTEMPTS = 3
"""After so many ends of the process that counts it, or failed reads, an image counts as failed."""
MAX_CRASHES = 4
"""The same for ends of the whole program, which somebody may have killed; systemd starts a folder watch five times."""

_REVISIONS = 1_000_000
"""Servers that label the same count again at one moment must not write to one folder."""
_POISONOUS = (
    "The program stopped {times} times while it counted this image, most likely because memory ran "
    "out; try again, or use a smaller image."
)


class QueueState(msgspec.Struct, frozen=True, kw_only=True):
    """Length of the queue."""

    queued: int
    running: int
    limit: int


class JobQueue:
    """Status changes of counts. Only a process with the worker lock claims, reports and finishes.

    What changes a claimed count names its row as it was claimed: a count that another server took over meanwhile, with
    a higher revision, stays as it is.

    Attributes:
        leases: where several servers share the database, else None.
    """

    def __init__(
        self, database: Database, settings: StorageSettings, *, is_shared: bool = False
    ) -> None:
        self._database = database
        self._settings = settings
        poisonous = MAX_CRASHES, _POISONOUS.format(times=MAX_CRASHES)
        self.leases = Leases(database, poisonous) if is_shared else None

    def numbers(self) -> dict[str, int]:
        """How many counts there are of each status that there is."""
        found = self._database.connection().execute(
            "SELECT status, COUNT(*) FROM counts GROUP BY status"
        )
        return {row[0]: row[1] for row in found}

    def state(self) -> QueueState:
        """Numbers for the status page."""
        numbers = self.numbers()
        return QueueState(
            queued=numbers.get("queued", 0),
            running=numbers.get("running", 0),
            limit=self._settings.max_queue,
        )

    def requeue_interrupted(self) -> int:
        """Put counts that a dead worker left running back in the queue, or fail them after MAX_CRASHES.

        An attempt that a power cut or restart ended does not count. Where several servers share the database the leases
        do this, once the others had time to say that they live.

        Returns:
            How many are back in the queue.
        """
        if self.leases is not None:
            return 0
        with self._database.transaction() as connection:
            connection.execute(
                "UPDATE counts SET attempts = attempts - 1 "
                "WHERE status = 'running' AND (attempt_boot_id IS NULL OR attempt_boot_id != ?)",
                (clock.boot_id(),),
            )
            connection.execute(
                "UPDATE counts SET status = 'failed', finished_s = ?, error = ? "
                "WHERE status = 'running' AND attempts >= ?",
                (clock.now_s(), _POISONOUS.format(times=MAX_CRASHES), MAX_CRASHES),
            )
            return connection.execute(
                "UPDATE counts SET status = 'queued', progress = 0, remaining_s = NULL "
                "WHERE status = 'running'"
            ).rowcount

    def requeue_blameless(self, row: CountRow) -> None:
        """Put a running count back in the queue after a disk problem; this attempt does not count."""
        with self._database.transaction() as connection:
            connection.execute(
                "UPDATE counts SET status = 'queued', progress = 0, remaining_s = NULL, "
                "attempts = attempts - 1 WHERE status = 'running' AND id = ? AND revision = ?",
                (row.id, row.revision),
            )

    def requeue(self, row: CountRow) -> None:
        """A running count waits again, and this attempt counts."""
        with self._database.transaction() as connection:
            connection.execute(
                "UPDATE counts SET status = 'queued', progress = 0, remaining_s = NULL "
                "WHERE id = ? AND revision = ?",
                (row.id, row.revision),
            )

    def retry_or_fail(self, row: CountRow) -> None:
        """The process that counted it is gone: it waits again, or fails after MAX_ATTEMPTS."""
        if row.attempts < MAX_ATTEMPTS:
            self.requeue(row)
        else:
            self.fail(row, _POISONOUS.format(times=MAX_ATTEMPTS))

    def retry(self, count_id: str) -> CountRow:
        """Put a failed or cancelled count back in the queue.

        Raises:
            NotFoundError: there is none of that id.
            ConflictError: it has not failed.
        """
        with self._database.transaction() as connection:
            row = rows.get(self._database, count_id)
            if row.status not in ("failed", "cancelled"):
                raise ConflictError(
                    f"The count of {row.image} is {row.status}; only failed or cancelled counts "
                    "can be repeated."
                )
            connection.execute(
                "UPDATE counts SET status = 'queued', error = NULL, progress = 0, attempts = 0, "
                "cancel_asked = 0, finished_s = NULL WHERE id = ?",
                (count_id,),
            )
        return rows.get(self._database, count_id)

    def has_waiting(self) -> bool:
        """True if `claim` would find a count; takes no lock."""
        found = self._database.connection().execute(
            "SELECT 1 FROM counts WHERE status = 'queued' LIMIT 1"
        )
        return found.fetchone() is not None

    def claim(self) -> CountRow | None:
        """Mark the next waiting count as running and return it; None if there is none."""
        with self._database.transaction() as connection:
            found = connection.execute(
                f"SELECT id FROM counts WHERE status = 'queued' ORDER BY {NEXT_FIRST} LIMIT 1"
            ).fetchone()
            if found is None:
                return None
            connection.execute(
                "UPDATE counts SET status = 'running', started_s = ?, attempts = attempts + 1, "
                "attempt_boot_id = ? WHERE id = ?",
                (clock.now_s(), clock.boot_id(), found["id"]),
            )
            if self.leases is not None:
                self.leases.note(connection, found["id"])
            return rows.get(self._database, found["id"])

    def report(self, row: CountRow, progress: float, remaining_s: float | None) -> bool:
        """Store progress (0 to 1) of a claimed count; returns True if it was cancelled, deleted or taken over."""
        connection = self._database.hasty_connection()
        found = connection.execute(
            "UPDATE counts SET progress = ?, remaining_s = ? WHERE id = ? AND revision = ? RETURNING cancel_asked",
            (progress, remaining_s, row.id, row.revision),
        ).fetchone()
        return bool(found is None or found["cancel_asked"])

    def finish(
        self,
        count_id: str,
        revision: int,
        result: CountResult,
        conditions: dict[str, object] | None,
        carried: Carried = NOTHING_CARRIED,
    ) -> bool:
        """Mark a count as done; the products of `revision` must be on the disk.

        Returns:
            False if it was taken over or deleted: then nothing is changed.

        Args:
            count_id: which one.
            revision: of the products.
            result: its value.
            conditions: temperature and throttling.
            carried: corrections and regions that it has from the beginning.
        """
        with self._database.transaction() as connection:
            changed = connection.execute(
                "UPDATE counts SET status = 'done', progress = 1, remaining_s = 0, finished_s = "
                "?, conditions = ?, "
                "error = NULL WHERE id = ? AND revision < ?",
                (clock.now_s(), to_json(conditions), count_id, revision),
            ).rowcount
            if not changed:
                return False
            connection.execute(*result_update(count_id, revision, result))
            if carried.marks:
                write_marks(connection, count_id, carried.marks)
            write_regions(connection, count_id, carried.regions)
        return True

    def next_revision(self, row: CountRow) -> int:
        """A revision that no other process writes at this moment."""
        return row.revision + 1 + (0 if self.leases is None else secrets.randbelow(_REVISIONS))

    def finish_relabelling(
        self, before: CountRow, revision: int, result: CountResult, change: Relabel
    ) -> None:
        """Make a new revision, labelled with another threshold or size, the automatic result.

        Raises:
            ConflictError: the count is not done, was changed meanwhile or has corrections by hand.
            InputError: another instrument made it.
        """
        with self._database.transaction() as connection:
            row = rows.get_own(self._database, before.id)
            if row.status != "done" or row.revision != before.revision:
                raise ConflictError(
                    f"The count of {row.image} has changed in the meantime; reload the page."
                )
            held = connection.execute(
                "SELECT COUNT(*) FROM corrections WHERE count_id = ? AND undone_s IS NULL",
                (before.id,),
            ).fetchone()[0]
            if held:
                raise ConflictError(
                    f"The count of {row.image} has {held} corrections by hand, which belong to the "
                    "present cells; "
                    "undo them before you save another threshold or size."
                )
            connection.execute(*result_update(before.id, revision, result))
            connection.execute(
                "UPDATE counts SET relabels = ? WHERE id = ?",
                (to_json([*row.relabels, change]), before.id),
            )

    def fail(self, row: CountRow, sentence: str) -> None:
        """Mark a claimed count as failed, with the reason."""
        self._end(row, "failed", sentence)

    def mark_cancelled(self, row: CountRow) -> None:
        """Mark a claimed count as cancelled."""
        self._end(row, "cancelled", None)

    def cancel(self, count_id: str) -> CountRow:
        """Cancel a waiting count at once, a running one at its next tile.

        Raises:
            NotFoundError: there is none of that id.
            ConflictError: it has already ended.
        """
        with self._database.transaction() as connection:
            row = rows.get(self._database, count_id)
            if row.status not in ("queued", "running"):
                raise ConflictError(
                    f"The count of {row.image} is {row.status}; only waiting or running counts can be "
                    "cancelled."
                )
            connection.execute("UPDATE counts SET cancel_asked = 1 WHERE id = ?", (count_id,))
            connection.execute(
                "UPDATE counts SET status = 'cancelled', finished_s = ? WHERE id = ? AND status = "
                "'queued'",
                (clock.now_s(), count_id),
            )
        return rows.get(self._database, count_id)

    def _end(self, row: CountRow, status: str, sentence: str | None) -> None:
        with self._database.transaction() as connection:
            connection.execute(
                "UPDATE counts SET status = ?, error = ?, remaining_s = NULL, finished_s = ? "
                "WHERE id = ? AND revision = ?",
                (status, sentence, clock.now_s(), row.id, row.revision),
            )
