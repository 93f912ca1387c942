"""The one thread that counts."""

import logging
import sqlite3
import threading
import time
from collections.abc import Callable
from typing import Literal

import msgspec

from device.errors import FluocountError, StorageError
from device.jobs.run import Cancelled, Report, run_count
from device.jobs.segmenters import Segmenters
from device.store import CountRow, Store
from device.store.lock import WORKER_LOCK, FileLock

_log = logging.getLogger(__name__)

_POLL_S = 0.5
"""How soon a count that another process accepted is seen."""
_LOCK_POLL_S = 1.0
_STORAGE_PAUSE_S = 10.0
_CLOCK_CHECK_S = 60.0


class WorkerState(msgspec.Struct, frozen=True, kw_only=True):
    """What the worker does now.

    Attributes:
        doing: `elsewhere` when another process holds the lock, `paused` when results cannot be
            written, `stopped` before start and after stop or a crash of the thread.
        count_id: the count that is running here, or None.
        problem: why it is paused, one sentence, or None.
        silent_s: seconds since the last sign of progress.
    """

    doing: Literal["idle", "counting", "elsewhere", "paused", "stopped"]
    count_id: str | None
    problem: str | None
    silent_s: float


class Worker:
    """Counts what is queued, one at a time, while it holds the lock.

    Args:
        store: the queue and the folders.
        segmenters: models by name.
        conditions: temperature and throttling, stored with each count.
    """

    def __init__(
        self,
        store: Store,
        segmenters: Segmenters,
        *,
        conditions: Callable[[], dict[str, object]] = dict,
    ) -> None:
        self._store = store
        self._segmenters = segmenters
        self._conditions = conditions
        self._stop = threading.Event()
        self._wake = threading.Event()
        self._thread = threading.Thread(target=self._run, name="worker", daemon=True)
        self._doing: Literal["idle", "counting", "elsewhere", "paused"] = "elsewhere"
        self._count_id: str | None = None
        self._problem: str | None = None
        self._alive_s = time.monotonic()
        self._clock_checked_s = 0.0

    def start(self) -> None:
        """Begin; what a dead worker left is counted first."""
        self._store.counts.on_accept = self._wake.set
        self._thread.start()

    def stop(self, timeout_s: float = 30.0) -> None:
        """Stop after the present tile; an unfinished count waits for the next worker."""
        self._stop.set()
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join(timeout_s)

    @property
    def state(self) -> WorkerState:
        """What it does now, for the status page and the watchdog."""
        return WorkerState(
            doing=self._doing if self._thread.is_alive() else "stopped",
            count_id=self._count_id,
            problem=self._problem,
            silent_s=time.monotonic() - self._alive_s,
        )

    def _run(self) -> None:
        lock = FileLock(self._store.data_dir / WORKER_LOCK)
        try:
            while not self._stop.is_set() and not lock.try_acquire():
                self._sign_of_life()
                self._stop.wait(_LOCK_POLL_S)
            if not self._stop.is_set():
                self._work()
        finally:
            lock.release()
            self._store.close()

    def _work(self) -> None:
        self._guarded(self._take_over)
        while not self._stop.is_set():
            self._sign_of_life()
            self._guarded(self._next)

    def _take_over(self) -> None:
        waiting = self._store.queue.requeue_interrupted()
        if waiting:
            _log.warning("%d interrupted count(s) start again", waiting)
        self._store.sweep()

    def _next(self) -> None:
        self._watch_clock()
        row = self._store.queue.claim() if self._store.queue.has_waiting() else None
        if row is None:
            self._doing = "idle"
            self._wake.wait(_POLL_S)
            self._wake.clear()
            return
        self._doing, self._count_id = "counting", row.id
        try:
            self._count(row)
        finally:
            self._count_id = None

    def _count(self, row: CountRow) -> None:
        queue = self._store.queue
        try:
            segmenter = self._segmenters.get(row.model)
            report = Report(self._store, row.id, self._continue)
            revision, result = run_count(self._store, row, segmenter, report)
        except Cancelled:
            queue.cancelled(row.id)
        except _Stopped:
            queue.requeue_blameless()
        except StorageError:
            raise
        except FluocountError as error:
            queue.fail(row.id, str(error))
        except Exception as error:  # noqa: BLE001 - a bug fails one image, not the appliance
            _log.exception("counting %s failed", row.id)
            queue.fail(
                row.id,
                f"Counting failed because of an unexpected error ({type(error).__name__}: {error}). "
                "Details are in the log; please report it.",
            )
        else:
            queue.finish(row.id, revision, result, self._conditions())
            self._store.folders.drop_revisions(row.id, revision)

    def _guarded(self, step: Callable[[], None]) -> None:
        """A full disk or a locked database pauses the worker; nothing accepted is given up."""
        try:
            step()
        except (StorageError, sqlite3.Error, OSError) as error:
            _log.error("worker paused: %s", error)
            self._doing, self._problem = "paused", str(error)
            self._pause()
        else:
            self._problem = None

    def _pause(self) -> None:
        until_s = time.monotonic() + _STORAGE_PAUSE_S
        while time.monotonic() < until_s and not self._stop.is_set():
            self._sign_of_life()
            self._stop.wait(_POLL_S)
        try:
            self._store.queue.requeue_blameless()
        except (StorageError, sqlite3.Error) as error:
            _log.error("still paused: %s", error)

    def _watch_clock(self) -> None:
        if time.monotonic() - self._clock_checked_s > _CLOCK_CHECK_S:
            self._clock_checked_s = time.monotonic()
            marked = self._store.counts.mark_clock_steps()
            if marked:
                _log.warning(
                    "the clock was set; the dates of %d earlier count(s) are corrected", marked
                )

    def _sign_of_life(self) -> None:
        """Called between counts and after each tile, never from another thread."""
        self._alive_s = time.monotonic()

    def _continue(self) -> None:
        """Called after each tile.

        Raises:
            _Stopped: the service is stopping; the count is taken up again at the next start.
        """
        self._sign_of_life()
        if self._stop.is_set():
            raise _Stopped


class _Stopped(Exception):  # noqa: N818 - not an error: the service is being stopped
    """The worker was asked to stop in the middle of a count."""
