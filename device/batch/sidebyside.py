"""Counts several images at once, with the outcomes in order.

Each worker takes an image through all stages with its own interpreter or process, so that one decodes or writes while
another computes. Memory holds as many images as there are workers, however long the list is.
"""

import sys
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from queue import SimpleQueue
from typing import TypeVar

from device.counting.tiles import Progress
from device.machine.records import prepare_records

I = TypeVar("I")  # noqa: E741 - an item
W = TypeVar("W")
T = TypeVar("T")

Work = Callable[[I, W, Progress], T]
"""Processes one item; its return value waits until the earlier items are done, so it should be small."""


class _Stopped(Exception):  # noqa: N818 - not an error: somebody asked for it
    """The other images are no longer wanted."""


def in_order(
    items: Iterable[I],
    workers: Sequence[W],
    work: Work[I, W, T],
    progress: Progress | None = None,
) -> Iterator[T]:
    """Do `work` for every item, as many at once as there are workers.

    Args:
        items: read one by one as work is done.
        workers: what each of them works with: a segmenter, or a process.
        work: its exceptions are raised here, in the order of the items.
        progress: called with the tiles of the present image; not called with several workers.

    If the caller stops (an error, Ctrl-C), running images stop at their next tile.
    """
    if len(workers) > 1:
        yield from _side_by_side(items, workers, work)
        return
    for item in items:
        yield work(item, workers[0], progress or _ignore)


def _side_by_side(items: Iterable[I], workers: Sequence[W], work: Work[I, W, T]) -> Iterator[T]:
    prepare_records()
    stop = threading.Event()
    free: SimpleQueue[W] = SimpleQueue()
    for worker in workers:
        free.put(worker)

    def go_on(done: int, total: int) -> None:
        if stop.is_set():
            raise _Stopped

    def take(item: I) -> T:
        worker = free.get()
        try:
            return work(item, worker, go_on)
        finally:
            free.put(worker)

    waiting: deque[Future[T]] = deque()
    with (
        _brief_turns(),
        ThreadPoolExecutor(len(workers), thread_name_prefix="count") as pool,
    ):
        try:
            for item in items:
                waiting.append(pool.submit(take, item))
                if len(waiting) > len(workers):
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            stop.set()
            for future in waiting:
                future.cancel()


@contextmanager
def _brief_turns() -> Iterator[None]:
    """Let a thread that comes back from a long computation wait 1 ms for the interpreter lock, not Python's 5.

    Workers come back hundreds of times per image; a tenth of the images per minute (`fluocount bench --folder`).
    """
    before_s = sys.getswitchinterval()
    sys.setswitchinterval(0.001)
    try:
        yield
    finally:
        sys.setswitchinterval(before_s)


def _ignore(done: int, total: int) -> None:
    """Ignore progress."""
