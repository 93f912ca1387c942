"""Work in processes of their own: one that dies costs the piece of work that it held, and is replaced.

    worker = WorkerProcess(start)           # `start` is called once in each process
    worker.do(piece)                        # start()(piece), there
    worker.stop()

The processes are those of concurrent.futures; each worker has a pool of one, because a pool of several gives up all its
work when one of its processes dies.
"""

import os
import signal
import threading
from collections.abc import Callable
from concurrent.futures import BrokenExecutor, CancelledError, Future, wait
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Generic, TypeVar

if TYPE_CHECKING:
    from concurrent.futures import ProcessPoolExecutor

I = TypeVar("I")  # noqa: E741 - a piece of work
T = TypeVar("T")

TRIES = 2
"""A process may die of what others did (memory ran out): the piece gets a second chance, alone in a new process."""


_LOOK_EVERY_S = 0.5


class WorkerDied(Exception):  # noqa: N818 - not an error of the program
    """The process died with this piece of work, each time that it was tried."""


class WorkerProcess(Generic[I, T]):
    """One process at a time; it is started by the first piece of work.

    Args:
        start: makes the function that does the work, once in each process; both can be pickled.
        tries: how often a piece may end its process.
    """

    def __init__(self, start: Callable[[], Callable[[I], T]], tries: int = TRIES) -> None:
        self._start = start
        self._tries = tries
        self._pool: ProcessPoolExecutor | None = None
        self._pid: Future[int] | None = None
        self._stopped = False
        # Who stops is another thread than who asks: a process is started and given its piece as one step.
        self._lock = threading.RLock()

    def do(self, piece: I, meanwhile: Callable[[], None] = lambda: None) -> T:
        """The outcome of one piece; the caller waits.

        Args:
            piece: can be pickled.
            meanwhile: called now and then; what it raises ends the process.

        Raises:
            WorkerDied: the process died with it each time, or was stopped.
            Exception: whatever `start`, the work or `meanwhile` raises.
        """
        for _ in range(self._tries):
            try:
                return self._wait(self._submit(piece), meanwhile)
            except (BrokenExecutor, CancelledError):
                self._end()
                if self._stopped:
                    break
        raise WorkerDied

    def _submit(self, piece: I) -> Future[T]:
        """A process that died between two questions is replaced."""
        with self._lock:
            try:
                return self._running().submit(_do, piece)
            except BrokenExecutor:
                self._end()
                return self._running().submit(_do, piece)

    def _wait(self, done: Future[T], meanwhile: Callable[[], None]) -> T:
        while not _is_done(done):
            try:
                meanwhile()
            except BaseException:
                self._kill()
                self._end()
                raise
        return done.result()

    def stop(self) -> None:
        """End the process at once, whatever it does."""
        with self._lock:
            self._stopped = True
            self._kill()

    def _kill(self) -> None:
        with self._lock:
            if self._pid is not None:
                # At once, or as soon as a process that is still starting tells its number: the work waits for it.
                self._pid.add_done_callback(_kill_process)
            self._end()

    def _running(self) -> "ProcessPoolExecutor":
        # Only where processes are wanted.
        from concurrent.futures import ProcessPoolExecutor
        from multiprocessing import get_context

        if self._stopped:
            raise WorkerDied
        if self._pool is None:
            self._pool = ProcessPoolExecutor(
                # A fork would copy the locks of all threads as they are at that moment.
                1,
                mp_context=get_context("spawn"),
                initializer=_begin,
                initargs=(self._start,),
            )
            self._pid = self._pool.submit(os.getpid)
        return self._pool

    def _end(self) -> None:
        with self._lock:
            pool, self._pool, self._pid = self._pool, None, None
        if pool is not None:
            pool.shutdown(wait=False, cancel_futures=True)


def _is_done(piece: Future[Any]) -> bool:
    """Wait a little; `wait` itself never ends for what was cancelled before a process took it."""
    wait([piece], _LOOK_EVERY_S)
    return piece.done()


def _kill_process(pid: Future[int]) -> None:
    if not pid.cancelled() and pid.exception() is None:
        with suppress(ProcessLookupError):
            os.kill(pid.result(), signal.SIGKILL)


_start: Callable[[], Callable[[Any], Any]] | None = None
_work: Callable[[Any], Any] | None = None


def _begin(start: Callable[[], Callable[[Any], Any]]) -> None:
    """In the process. Ctrl-C is for the program, which then stops this one."""
    global _start
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _start = start


def _end_with_parent() -> None:
    """A program that was killed says nothing, and the next one must not find somebody at work on its counts."""
    from multiprocessing import connection, parent_process

    parent = parent_process()
    if parent is not None:
        connection.wait([parent.sentinel])
        os._exit(1)


def _do(piece: Any) -> Any:
    """In the process; what fails at the start is told with the first piece of work."""
    global _work
    if _work is None:
        assert _start is not None
        _work = _start()
    return _work(piece)
