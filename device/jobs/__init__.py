"""Counts accepted images: one worker thread among all processes of a data folder.

    worker = Worker(store, Segmenters(settings.counting))
    worker.start()
    row = store.counts.accept(...)         # this process or any other
    worker.stop()

The process with the lock DATA_DIR/worker.lock counts; the others wait for the lock and continue when
that process ends. So the page and a watched folder share one queue and one worker.
"""

from device.jobs.segmenters import Segmenters
from device.jobs.state import WorkerState
from device.jobs.worker import Worker

__all__ = ["Segmenters", "Worker", "WorkerState"]
