"""A folder watch with its own store and worker, without the page."""

import signal
import threading
from collections.abc import Callable
from contextlib import closing
from types import FrameType

from device import sandbox
from device.assays.library import stock
from device.config import Settings
from device.jobs import Segmenters, Worker
from device.jobs.intake import Intake
from device.jobs.segmenters import Loader
from device.machine import system
from device.machine.notify import Watchdog, notify
from device.machine.records import prepare_records
from device.models.estimate import PROGRAM_MB
from device.sandbox.room import memory_mb
from device.store import open_store
from device.watch.folder import FolderWatch, WatchState
from device.watch.plan import WatchPlan, with_study


def watch_folder(
    settings: Settings,
    plan: WatchPlan,
    *,
    once: bool = False,
    say: Callable[[str], None] = print,
    load_segmenter: Loader | None = None,
) -> WatchState:
    """Watch until SIGTERM or SIGINT, or with `once` until every present file is counted.

    Also starts a worker, which counts only while no other process of the same data folder counts.

    Args:
        settings: where the store is.
        plan: what to watch.
        once: end when all images are done.
        say: called with one sentence per image and problem.
        load_segmenter: opens a model by name; None for the TFLite interpreter.

    Raises:
        ModelError: the model is missing or damaged.
        InputError, NotFoundError: a setting is outside its range, or there is no such assay, objective or study.
        StorageError: the data folder cannot be used.
        SettingsError: another process watches with the same output folder.
    """
    segmenters = Segmenters(settings.counting, load_segmenter)
    with closing(open_store(settings.storage)) as store:
        stock(store, settings)
        plan = with_study(store, plan)
        default = plan.model or settings.counting.model
        intake = Intake(store, segmenters, default, settings.counting.max_memory_mb)
        intake.require_usable(plan.options())
        worker = Worker(store, segmenters, conditions=system.conditions)
        watch = FolderWatch(
            store, intake, plan, worker_problem=lambda: worker.state.problem, say=say
        )
        memory_mb.resize(settings.counting.max_memory_mb - PROGRAM_MB)
        sandbox.configure(1)
        return _run(watch, worker, once)


def _run(watch: FolderWatch, worker: Worker, once: bool) -> WatchState:
    """Run both until the watch ends, and report their state to systemd."""
    _stop_on_signals(watch)
    prepare_records()
    worker.start()
    watchdog = Watchdog(lambda: max(worker.state.silent_s, watch.silent_s()))
    notify("READY=1", f"STATUS=watching {watch.state.folder}")
    watchdog.start()
    try:
        return watch.run(once)
    finally:
        notify("STOPPING=1")
        watchdog.stop()
        worker.stop()


def _stop_on_signals(watch: FolderWatch) -> None:
    def stop(number: int, frame: FrameType | None) -> None:
        watch.stop()

    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, stop)
