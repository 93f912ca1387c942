"""Deletes old counts, only if `keep_days` is set in `[storage]`."""

import logging
import threading
import time
from collections.abc import Callable

from device.errors import ConflictError, NotFoundError, StorageError
from device.machine import system
from device.store import Filter, Store
from device.store.records import WAITING

_log = logging.getLogger(__name__)
_DAY_S = 86_400
_EVERY_S = 3600.0


Spare = Callable[[str], bool]
"""Whether the count of that id must stay for now."""


def delete_old(store: Store, keep_days: int, now_s: float, spare: Spare | None = None) -> int:
    """Delete counts older than `keep_days` that are finished and not marked to be kept.

    Args:
        store: with the counts.
        keep_days: age in days from which a count is deleted.
        now_s: the present time, seconds since 1970.
        spare: keeps what a central page has not got yet.

    Returns:
        How many were deleted.
    """
    deleted = 0
    for row in store.counts.oldest_first(Filter(until_s=now_s - keep_days * _DAY_S, kept=False)):
        if row.status in WAITING or (spare is not None and spare(row.id)):
            continue
        try:
            store.counts.delete(row.id)
            deleted += 1
        except (ConflictError, NotFoundError):
            continue  # somebody marked or deleted it at this moment
    return deleted


class Retention:
    """Deletes old counts every hour.

    Nothing is deleted before the network has set the clock: a wrong year would delete everything.

    Args:
        store: with the counts.
        keep_days: see delete_old.
        clock_is_right: whether the clock is right now; None asks systemd.
        spare: see delete_old.
    """

    def __init__(
        self,
        store: Store,
        keep_days: int,
        clock_is_right: Callable[[], bool | None] | None = None,
        *,
        spare: Spare | None = None,
    ) -> None:
        self._store = store
        self._keep_days = keep_days
        self._clock_is_right = clock_is_right or system.clock_synchronised
        self._spare = spare
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="retention", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """Stop; waits for a running deletion."""
        self._stop.set()
        self._thread.join()

    def tidy(self) -> int:
        """Delete the counts that are due; returns how many."""
        if self._clock_is_right() is not True:
            _log.info("old counts are not deleted because the network has not set the clock")
            return 0
        deleted = delete_old(self._store, self._keep_days, time.time(), self._spare)
        if deleted:
            _log.info("deleted %d count(s) older than %d days", deleted, self._keep_days)
        return deleted

    def _run(self) -> None:
        try:
            while True:
                try:
                    self.tidy()
                except (StorageError, OSError) as error:
                    _log.error("old counts could not be deleted: %s", error)
                if self._stop.wait(_EVERY_S):
                    return
        finally:
            self._store.close()
