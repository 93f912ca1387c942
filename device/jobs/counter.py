"""The parts that need the store, opened together."""

from collections.abc import Callable
from dataclasses import dataclass

from device.assays.library import stock
from device.camera import CameraThread
from device.config import Settings
from device.jobs.captures import Capturer
from device.jobs.crew import Crew
from device.jobs.intake import Intake
from device.jobs.recounting import Recounter
from device.jobs.relabelling import Relabeller
from device.jobs.segmenters import Segmenters
from device.jobs.teaching import Teacher
from device.jobs.worker import Worker
from device.machine import system
from device.store import Store, open_store


@dataclass(frozen=True, slots=True)
class Counter:
    """Whatever counts and keeps: all of it is there, or nothing."""

    store: Store
    worker: Worker | Crew
    intake: Intake
    capturer: Capturer
    relabeller: Relabeller
    recounter: Recounter
    teacher: Teacher


def open_counter(
    settings: Settings,
    segmenters: Segmenters,
    camera: CameraThread,
    int8_gmac_s: Callable[[], float],
) -> Counter:
    """Open the data folder and what works on it; nothing is started.

    Args:
        settings: all of them.
        segmenters: models by name.
        camera: takes the captures.
        int8_gmac_s: see Intake.

    Raises:
        StorageError: the data folder or the database cannot be used.
    """
    store = open_store(settings.storage)
    stock(store, settings)
    counting = settings.counting
    intake = Intake(store, segmenters, counting.model, counting.max_memory_mb, int8_gmac_s)
    relabeller = Relabeller(store, segmenters)
    return Counter(
        store=store,
        worker=_hire(settings, store, segmenters),
        intake=intake,
        capturer=Capturer(camera, intake),
        relabeller=relabeller,
        teacher=Teacher(store, segmenters, relabeller),
        recounter=Recounter(store, intake),
    )


def _hire(settings: Settings, store: Store, segmenters: Segmenters) -> Worker | Crew:
    if settings.server.workers > 0:
        return Crew(store, settings.counting, settings.server.workers)
    return Worker(store, segmenters, conditions=system.conditions)
