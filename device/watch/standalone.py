"""A folder watch with a store and a worker of its own, without a page."""

import signal
import threading
from collections.abc import Callable
from types import FrameType

from device.config import Settings
from device.counting.resolved import resolve
from device.jobs import Segmenters, Worker
from device.jobs.intake import Intake
from device.jobs.segmenters import Loader
from device.machine import system
from device.machine.notify import Watchdog, notify
from device.store import open_store
from device.watch.folder import FolderWatch, WatchState
from device.watch.plan import WatchPlan


def watch_folder(
    settings: Settings,
    plan: WatchPlan,
    *,
    once: bool = False,
    say: Callable[[str], None] = print,
    load_segmenter: Loader | None = None,
    retry_s: float = 5.0,
) -> WatchState:
    """Watch until SIGTERM or SIGINT, or with `once` until every present file is counted.

    The worker starts here too; it counts only while no other process of the same data folder does.

    Args:
        settings: where the store is.
        plan: what to watch.
        once: end when all is done.
        say: told one sentence per image and problem.
        load_segmenter: opens a model by name; None for the TFLite interpreter.
        retry_s: how long to wait after a problem.

    Raises:
        ModelError: the model is missing or damaged.
        InputError: a setting is outside its range.
        StorageError: the data folder cannot be used.
        SettingsError: another process watches with the same output folder.
    """
    segmenters = Segmenters(settings.counting, load_segmenter)
    card = segmenters.card(plan.model)
    resolve(plan.settings, card)
    store = open_store(settings.storage)
    worker = Worker(store, segmenters, conditions=system.conditions)
    watch = FolderWatch(
        store,
        Intake(store, segmenters, plan.model, settings.counting.max_memory_mb),
        plan,
        card.sha256,
        worker_problem=lambda: worker.state.problem,
        say=say,
        retry_s=retry_s,
    )
    _stop_on_signals(watch)
    worker.start()
    watchdog = Watchdog(lambda: max(worker.state.silent_s, watch.silent_s()))
    notify("READY=1", f"STATUS=watching {plan.folder}")
    watchdog.start()
    try:
        return watch.run(once)
    finally:
        notify("STOPPING=1")
        watchdog.stop()
        worker.stop()
        store.close()


def _stop_on_signals(watch: FolderWatch) -> None:
    def stop(number: int, frame: FrameType | None) -> None:
        watch.stop()

    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, stop)
