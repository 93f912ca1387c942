"""One watched folder: the loop that reads files and writes their outcomes."""

import errno
import hashlib
import logging
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import msgspec

from device.errors import FluocountError, QueueFullError, SettingsError, StorageError
from device.jobs.intake import Intake
from device.store import Store
from device.store.lock import FileLock
from device.watch.delivery import Delivery
from device.watch.events import FolderEvents
from device.watch.ledger import Ledger
from device.watch.plan import WatchPlan
from device.watch.taking import Taking

_log = logging.getLogger(__name__)

TICK_S = 0.25
_RESCAN_S = 60.0
_FULL = (errno.ENOSPC, errno.EDQUOT)


Doing = Literal["starting", "watching", "paused", "stopped"]


class WatchState(msgspec.Struct, frozen=True, kw_only=True):
    """State of a watched folder, for the Status page.

    Attributes:
        folder, out_dir: as absolute paths.
        doing: `paused` while a problem stops it, see `problem`; `starting` until it has read the
            folder for the first time.
        noticed: files that are not complete yet, or wait for space in the queue.
        waiting: accepted files whose count is not written yet.
        counted, failed: lines written since the start.
        problem: one sentence or None.
    """

    folder: str
    out_dir: str
    doing: Doing
    noticed: int
    waiting: int
    counted: int
    failed: int
    problem: str | None


class FolderWatch:
    """Counts the images that appear in a folder. The worker counts, in this or another process.

    Args:
        store: for images and counts.
        intake: accepts images.
        plan: which folder, and how.
        worker_problem: why counting is paused, if it is; no files are read meanwhile.
        say: called with one sentence per image and problem; the default writes them to the log.
    """

    def __init__(
        self,
        store: Store,
        intake: Intake,
        plan: WatchPlan,
        *,
        worker_problem: Callable[[], str | None] = lambda: None,
        say: Callable[[str], None] = _log.info,
    ) -> None:
        self._store = store
        self._plan = plan
        self._worker_problem = worker_problem
        self._say = say
        self._ledger = Ledger(store.database, plan.out_dir)
        self._delivery = Delivery(store, self._ledger, plan.out_dir, say)
        self._taking = Taking(store, intake, self._ledger, self._delivery, plan)
        self._events = FolderEvents(
            plan.folder, plan.recursive, plan.poll, plan.poll_interval_s, self
        )
        self._lock = FileLock(store.data_dir / f"watch-{_short_hash(plan.out_dir)}.lock")
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self.run, name="watch", daemon=True)
        self._problem: str | None = None
        self._rescan_at_s = 0.0
        self._opened = False
        self._doing: Doing = "stopped"
        self._locked = False
        self._alive_s = time.monotonic()

    def start(self) -> None:
        """Watch in a separate thread.

        Raises:
            SettingsError: another process watches with the same output folder.
        """
        self._acquire()
        self._thread.start()

    def stop(self, timeout_s: float = 30.0) -> None:
        """Stop soon; pending results are written at the next start. May be called from a signal handler."""
        self._stop.set()
        if self._thread.is_alive() and self._thread is not threading.current_thread():
            self._thread.join(timeout_s)

    @property
    def state(self) -> WatchState:
        """Present state."""
        return WatchState(
            folder=str(self._plan.folder),
            out_dir=str(self._plan.out_dir),
            doing="paused" if self._problem else self._doing,
            noticed=len(self._taking.settling),
            waiting=len(self._delivery.waiting),
            counted=self._delivery.counted,
            failed=self._delivery.failed,
            problem=self._problem,
        )

    def silent_s(self) -> float:
        """Seconds since the loop last began a round, for the watchdog."""
        return time.monotonic() - self._alive_s

    def run(self, once: bool = False) -> WatchState:
        """Watch until `stop`, or with `once` until every present file is counted and written.

        Raises:
            SettingsError: another process watches with the same output folder.
        """
        self._acquire()
        self._doing = "starting"
        try:
            while not self._stop.is_set():
                self._alive_s = time.monotonic()
                busy = self._guard_step(once)
                if once and self._idle():
                    break
                self._stop.wait(0 if busy else self._plan.retry_s if self._problem else TICK_S)
            return self.state
        finally:
            self._doing, self._problem, self._locked = "stopped", None, False
            self._events.stop()
            self._lock.release()
            if threading.current_thread() is self._thread:
                self._store.close()

    def note_change(self, path: Path, being_written: bool | None) -> None:
        """A file appeared or changed (from the observer's thread)."""
        if self._taking.wants(path):
            self._taking.settling.notice(path, time.monotonic(), being_written=being_written)

    def gone(self, path: Path) -> None:
        """A file was deleted or renamed away."""
        self._taking.settling.forget(path)

    def folder_changed(self) -> None:
        """A folder appeared or moved: check everything soon."""
        self._rescan_at_s = min(self._rescan_at_s, time.monotonic() + 1.0)

    def _guard_step(self, once: bool) -> bool:
        """One round; a full disk, a locked table, a vanished share or a held database pauses and is said once."""
        try:
            busy = self._step(once)
        except QueueFullError:
            return False
        except (StorageError, OSError) as error:
            self._pause(_sentence(error, self._plan.out_dir))
            return False
        except Exception as error:
            if once:
                raise
            _log.exception("%s", self._plan.folder)  # a bug must not end the thread without a word
            what = f"{type(error).__name__}: {error}"
            self._pause(
                f"The program made a mistake ({what}); the log has the details, please report it."
            )
            return False
        if self._problem is not None:
            self._say("Continuing.")
            self._problem = None
        return busy

    def _step(self, once: bool) -> bool:
        self._plan.folder.stat()  # a share that is not mounted: wait, and create no folders in its place
        if not self._opened:
            if self._plan.recount:
                self._ledger.forget("counted", "failed", "duplicate")
            elif self._plan.retry_failed:
                self._ledger.forget("failed")
            self._delivery.open()
            self._opened = True
        delayed, busy = self._deliver()
        if problem := self._worker_problem():
            raise StorageError(problem)
        now_s = time.monotonic()
        restarted = not once and self._events.ensure(self._say)
        if restarted or self._delivery.released or now_s >= self._rescan_at_s:
            self._look(now_s)
        self._doing = "watching"
        busy |= self._taking.take_complete(now_s, self._stop.is_set)
        if delayed is not None:
            raise delayed
        return busy

    def _look(self, now_s: float) -> None:
        """Look at every file, and soon again where that failed or a sub-folder could not be listed."""
        self._rescan_at_s = now_s + _RESCAN_S  # before the look: a folder may appear during it
        try:
            self._taking.scan(now_s)
        except BaseException:
            self._rescan_at_s = now_s
            raise
        self._delivery.released = False
        if self._taking.unlisted:
            self._rescan_at_s = min(self._rescan_at_s, now_s + self._plan.retry_s)

    def _deliver(self) -> tuple[OSError | None, bool]:
        """Write what is done; an error that lets taking and counting go on is returned, with whether more waits."""
        try:
            return None, self._delivery.deliver()
        except OSError as error:
            if error.errno in _FULL:
                raise
            return (
                error,
                False,
            )  # counts.csv is open in a spreadsheet, or one file cannot be written

    def _idle(self) -> bool:
        taking, delivery = self._taking, self._delivery
        left = taking.settling or taking.unlisted or delivery.waiting or delivery.released
        return self._opened and self._problem is None and not left

    def _pause(self, problem: str) -> None:
        if problem != self._problem:
            _log.error("%s: %s", self._plan.folder, problem)
            self._say(f"Waiting: {problem}")
            self._problem = problem

    def _acquire(self) -> None:
        self._locked = self._locked or self._lock.try_acquire()
        if not self._locked:
            raise SettingsError(
                f"Another fluocount already writes to the output folder {self._plan.out_dir}; "
                "stop it or name another folder with --out."
            )


def _sentence(error: Exception, out_dir: Path) -> str:
    if isinstance(error, FluocountError) or not isinstance(error, OSError):
        return str(error)
    where = error.filename or out_dir  # a failed write names no file
    return (
        f"{where} cannot be used now ({error.strerror}); check free space, permissions and whether another "
        "program has it open. Nothing is lost; fluocount tries again."
    )


def _short_hash(path: Path) -> str:
    return hashlib.sha256(os.fsencode(path)).hexdigest()[:16]
