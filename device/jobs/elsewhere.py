"""Counts in processes of their own: what a server does, whose cores one program does not fill."""

from collections.abc import Callable
from dataclasses import dataclass

from device import sandbox
from device.config import CountingSettings, StorageSettings
from device.counting.records import CountResult
from device.jobs.run import Report, run_count
from device.jobs.segmenters import Segmenters
from device.machine.processes import WorkerProcess
from device.models.card import use_installed
from device.models.estimate import PROGRAM_MB
from device.sandbox.room import memory_mb
from device.store import CountRow, open_store

Outcome = tuple[int, CountResult]
"""The new revision, whose products are on the disk, and the result."""


@dataclass(frozen=True, slots=True)
class Begin:
    """What a process needs: where the images are, and how it counts."""

    storage: StorageSettings
    counting: CountingSettings

    def __call__(self) -> Callable[[CountRow], Outcome]:
        """Open store and models, in the process that will use them."""
        store, segmenters = open_store(self.storage), Segmenters(self.counting)
        use_installed(store.data_dir)
        sandbox.configure(1)
        memory_mb.resize(self.counting.max_memory_mb - PROGRAM_MB)

        def count(row: CountRow) -> Outcome:
            report = Report(store, row, lambda: None)
            return run_count(store, row, segmenters.get(row.model), report)

        return count


class Elsewhere:
    """`run_count` in a process that may die without harm to this one.

    Args:
        begin: for the process.
    """

    def __init__(self, begin: Callable[[], Callable[[CountRow], Outcome]]) -> None:
        # Once: how often an image may end its process is known to the queue, which outlives this program.
        self._process: WorkerProcess[CountRow, Outcome] = WorkerProcess(begin, tries=1)

    def __call__(self, row: CountRow, go_on: Callable[[], None]) -> Outcome:
        """Count a claimed row.

        Args:
            row: the count.
            go_on: called now and then; raises to end the count.

        Raises:
            WorkerDied: the process ended.
            Exception: as run_count, or what `go_on` raises.
        """
        return self._process.do(row, go_on)

    def stop(self) -> None:
        """End the process."""
        self._process.stop()
