"""The one thread that counts."""

import logging
import threading
import time
from collections.abc import Callable
from typing import Literal

from device import sandbox
from device.counting.records import CountResult
from device.errors import BusyError, FluocountError, StorageError
from device.jobs.recounting import carry_over
from device.jobs.run import Cancelled, Report, run_count
from device.jobs.segmenters import Segmenters
from device.jobs.state import WorkerState
from device.machine.faults import is_of_the_machine
from device.machine.processes import WorkerDied
from device.store import CountRow, Store
from device.store.leases import Leases
from device.store.lock import FileLock
from device.store.queue import MAX_ATTEMPTS
from device.store.sweep import Sweep

_log = logging.getLogger(__name__)

_POLL_S = 0.5
"""How often to look for counts that another process accepted."""
_LOCK_POLL_S = 1.0
STORAGE_PAUSE_S = 10.0
READ_PAUSE_S = 2.0
"""A sick disk or a network drive that went away for a moment is often back after this."""
_CLOCK_CHECK_S = 60.0
_TIDY_EVERY_S = 300.0
"""How often leftovers are looked for and the database is read over: some 50 ms at 10,000 counts."""


Count = Callable[[CountRow, Callable[[], None]], tuple[int, CountResult]]
"""Counts a claimed row; calls its second argument now and then, which raises to end the count. Returns the new
revision, whose products are on the disk, and the result."""


class Worker:
    """Counts what is queued, one at a time, while it holds the lock.

    Args:
        store: the queue and the folders.
        segmenters: models by name.
        conditions: temperature and throttling, stored with each count.
        count: does the work; None counts in this thread.
        after: the worker that holds the lock and keeps the house; None is the one.
    """

    def __init__(
        self,
        store: Store,
        segmenters: Segmenters,
        *,
        conditions: Callable[[], dict[str, object]] = dict,
        count: Count | None = None,
        after: "Worker | None" = None,
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
        self._sweep = Sweep(store)
        self._tidied_s = float("-inf")
        self._claimed: CountRow | None = None
        self._count_row = count or self._count_here
        self._after = after
        self.ready = threading.Event()
        """Set while this worker holds the lock, after the counts of a dead one were taken over."""

    def start(self) -> None:
        """Start; counts that a dead worker left unfinished come first."""
        self._store.counts.on_accept = self.wake
        self._thread.start()

    def wake(self) -> None:
        """Look for waiting counts now."""
        self._wake.set()

    def stop(self, timeout_s: float = 30.0) -> None:
        """Stop after the present tile; an unfinished count waits for the next worker."""
        self._stop.set()
        self.wake()
        if self._thread.is_alive():
            self._thread.join(timeout_s)

    @property
    def state(self) -> WorkerState:
        """Present state, for the Status page and the watchdog."""
        return WorkerState(
            doing=self._doing if self._thread.is_alive() else "stopped",
            count_id=self._count_id,
            problem=self._problem,
            silent_s=time.monotonic() - self._alive_s,
        )

    def _run(self) -> None:
        if self._after is None:
            self._lead()
        else:
            self._follow(self._after)

    def _follow(self, leader: "Worker") -> None:
        try:
            while not self._stop.is_set() and not leader.ready.wait(_LOCK_POLL_S):
                self._sign_of_life()
            self._work()
        finally:
            self._store.close()

    def _lead(self) -> None:
        lock = self._store.worker_lock()
        try:
            while not self._stop.is_set() and not self._acquire(lock):
                self._sign_of_life()
                self._stop.wait(_LOCK_POLL_S)
            while not self._stop.is_set() and not self._guard(self._take_over):
                pass
            self.ready.set()
            self._work()
        finally:
            self.ready.clear()
            lock.release()
            self._store.close()

    def _acquire(self, lock: FileLock | Leases) -> bool:
        try:
            held = lock.try_acquire()
        except StorageError as error:
            self._problem = str(error)
            return False
        except OSError as error:
            self._problem = (
                f"The lock of the data folder cannot be taken ({error}); check the disk."
            )
            return False
        self._problem = None
        return held

    def _work(self) -> None:
        while not self._stop.is_set():
            self._sign_of_life()
            self._guard(self._next)

    def _take_over(self) -> None:
        waiting = self._store.queue.requeue_interrupted()
        if waiting:
            _log.warning("%d interrupted count(s) start again", waiting)

    def _tidy(self) -> None:
        if time.monotonic() - self._tidied_s > _TIDY_EVERY_S:
            self._tidied_s = time.monotonic()
            self._store.database.look_over()
            self._sweep.run()

    def _next(self) -> None:
        if self._claimed is not None:  # ended by a fault of the disk, not of the image
            self._store.queue.requeue_blameless(self._claimed)
            self._claimed = None
        if self._after is None:
            self._watch_clock()
            self._tidy()
        row = self._claim()
        if row is None:
            self._doing = "idle"
            self._wake.wait(_POLL_S)
            self._wake.clear()
            return
        self._doing, self._count_id, self._claimed = "counting", row.id, row
        try:
            self._count(row)
        finally:
            self._count_id = None
        self._claimed = None

    def _claim(self) -> CountRow | None:
        """The next count, once all it needs is started: it is not to blame if the program ends before."""
        if not self._store.queue.has_waiting():
            return None
        if self._count_row == self._count_here:
            sandbox.wait_until_ready()
        return self._store.queue.claim()

    def _count(self, row: CountRow) -> None:
        queue = self._store.queue
        try:
            revision, result = self._count_row(row, self._continue)
        except Cancelled:
            queue.mark_cancelled(row)
        except _Stopped:
            queue.requeue_blameless(row)
        except WorkerDied:
            _log.error("the process that counted %s died", row.id)
            queue.retry_or_fail(row)
        except (BusyError, StorageError):
            raise
        except OSError as error:
            self._retry_reading(row, error)
        except FluocountError as error:
            queue.fail(row, str(error))
        except Exception as error:  # noqa: BLE001 - a bug fails one image, not the appliance
            _log.exception("counting %s failed", row.id)
            queue.fail(
                row,
                f"Counting failed because of an unexpected error ({type(error).__name__}: {error}). "
                "Details are in the log; please report it.",
            )
        else:
            carried = carry_over(self._store, row, result)
            if queue.finish(row.id, revision, result, self._conditions(), carried):
                self._store.folders.drop_revisions(row.id, below=revision)
            else:
                _log.warning("%s was taken over or deleted meanwhile", row.id)

    def _count_here(self, row: CountRow, go_on: Callable[[], None]) -> tuple[int, CountResult]:
        segmenter = self._segmenters.get(row.model)
        return run_count(self._store, row, segmenter, Report(self._store, row, go_on))

    def _retry_reading(self, row: CountRow, error: OSError) -> None:
        """One failed read is tried again; what stays unreadable fails with its cause, so that others get their turn."""
        if is_of_the_machine(error):
            raise error
        if row.attempts < MAX_ATTEMPTS:
            _log.warning("%s is tried again: %s", row.id, error)
            self._stop.wait(READ_PAUSE_S)
            self._store.queue.requeue(row)
            return
        self._store.queue.fail(
            row,
            f"The image could not be read, {MAX_ATTEMPTS} times ({error.strerror}); check the disk with "
            "`fluocount doctor`, then count it again.",
        )

    def _guard(self, step: Callable[[], None]) -> bool:
        """A full disk or a locked database pauses the worker; nothing accepted is given up. False when paused."""
        try:
            step()
        except (BusyError, StorageError, OSError) as error:
            _log.error("worker paused: %s", error)
            self._pause(str(error))
            return False
        except _Stopped:
            return False
        except Exception as error:  # noqa: BLE001 - a bug must not end the thread without a word
            _log.exception("worker paused")
            self._pause(
                f"{type(error).__name__}: {error}; the log has the details, please report it."
            )
            return False
        self._problem = None
        return True

    def _pause(self, problem: str) -> None:
        self._doing, self._problem = "paused", problem
        until_s = time.monotonic() + STORAGE_PAUSE_S
        while time.monotonic() < until_s and not self._stop.is_set():
            self._sign_of_life()
            self._stop.wait(_POLL_S)

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
            _Stopped: the service is stopping; the count starts again at the next start.
        """
        self._sign_of_life()
        if self._stop.is_set():
            raise _Stopped


class _Stopped(Exception):  # noqa: N818 - not an error: the service is being stopped
    """The worker was asked to stop in the middle of a count."""
