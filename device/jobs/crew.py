"""Several workers behind one lock, each with a process: what `Worker` is to a Pi, `Crew` is to a server."""

import sys
from collections.abc import Callable

import msgspec

from device.config import CountingSettings
from device.jobs.elsewhere import Begin, Elsewhere, Outcome
from device.jobs.segmenters import Segmenters
from device.jobs.state import WorkerState
from device.jobs.worker import Worker
from device.machine.cores import share_cores
from device.store import CountRow, Store


class Crew:
    """Counts several images at once.

    Args:
        store: the queue and the folders.
        counting: model, threads and memory of each process.
        processes: how many.
        begin: what each process does; None counts with the models.
    """

    def __init__(
        self,
        store: Store,
        counting: CountingSettings,
        processes: int,
        begin: Callable[[], Callable[[CountRow], Outcome]] | None = None,
    ) -> None:
        self._store = store
        # Threads of several processes on one core only wait for each other.
        threads = share_cores(processes, sys.maxsize)[1]
        counting = msgspec.structs.replace(counting, threads=min(counting.threads, threads))
        self._elsewhere = [
            Elsewhere(begin or Begin(store.settings, counting)) for _ in range(processes)
        ]
        segmenters = Segmenters(counting)
        self._workers: list[Worker] = []
        for count in self._elsewhere:
            leader = self._workers[0] if self._workers else None
            self._workers.append(Worker(store, segmenters, count=count, after=leader))

    def start(self) -> None:
        """Start; counts that a dead program left unfinished come first."""
        for worker in self._workers:
            worker.start()
        self._store.counts.on_accept = self._wake

    def stop(self, timeout_s: float = 30.0) -> None:
        """Stop at once; unfinished counts wait for the next start."""
        for worker in reversed(self._workers):  # the one with the lock is the last
            worker.stop(timeout_s)
        for process in self._elsewhere:
            process.stop()

    @property
    def state(self) -> WorkerState:
        """The busiest of all; silent as the most silent, because a watchdog asks."""
        states = [worker.state for worker in self._workers]
        order = ("stopped", "paused", "counting", "idle", "elsewhere")
        first = min(states, key=lambda state: order.index(state.doing))
        return WorkerState(
            doing=first.doing,
            count_id=first.count_id,
            problem=next((state.problem for state in states if state.problem), None),
            silent_s=max(state.silent_s for state in states),
        )

    def _wake(self) -> None:
        for worker in self._workers:
            worker.wake()
