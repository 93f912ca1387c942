"""State of the instrument."""

from datetime import datetime

from apiflask import APIBlueprint
from flask import Response

from device import __version__
from device.counting.card import ModelCard
from device.errors import ModelError, StorageError
from device.imageio import IMAGE_SUFFIXES, MAX_SIDE_PX, MIN_SIDE_PX
from device.machine import system
from device.models.auto import model_names
from device.service import Service
from device.store.inbox import Heard
from device.web.api.answers import answers, json, ref
from device.web.current import service
from device.web.records import CameraState, Health, Limits, QueueView, StatusView

status = APIBlueprint("status", __name__, url_prefix="/api/v1")
health = APIBlueprint("health", __name__)


@health.get("/healthz")
@answers(health, ref("Health"))
def healthz() -> Response:
    """Whether the service works; needs no login and reveals nothing."""
    return json(Health(status="degraded" if service().problems else "ok"))


@status.get("/status")
@answers(status, ref("StatusView"))
def about() -> Response:
    """Version, model, camera, queue, disk, temperature, clock, problems."""
    found = service()
    camera = found.camera.status
    return json(
        StatusView(
            version=__version__,
            counts_with=found.settings.counting.model,
            model=_card(found),
            models=tuple(model_names()),
            camera=CameraState(state=camera.state, kind=camera.kind, text=camera.text),
            queue=_queue(found),
            disk=None if found.store is None else found.store.disk(),
            limits=_limits(found),
            temperature_c=system.temperature_c(),
            throttling=system.throttling(),
            memory=system.memory(),
            clock_synchronised=system.clock_synchronised(),
            device_time=datetime.now().astimezone().isoformat(timespec="milliseconds"),
            last_refusal=found.last_refusal,
            watches=tuple(watch.state for watch in found.watches),
            problems=tuple(found.problems),
            instruments=_instruments(found),
            forwarding=None if found.forwarder is None else found.forwarder.state,
        )
    )


def _card(found: Service) -> ModelCard | None:
    try:
        return found.segmenters.card(found.settings.counting.model)
    except ModelError:
        return None  # its sentence is among the problems


def _queue(found: Service) -> QueueView | None:
    if found.counter is None:
        return None
    try:
        state = found.counter.store.queue.state()
    except StorageError:
        return None  # its sentence is among the problems
    doing = found.counter.worker.state.doing
    return QueueView(waiting=state.queued, running=state.running, max=state.limit, worker=doing)


def _instruments(found: Service) -> tuple[Heard, ...]:
    try:
        return () if found.store is None else tuple(found.store.inbox.instruments())
    except StorageError:
        return ()  # its sentence is among the problems


def _limits(found: Service) -> Limits:
    return Limits(
        max_upload_mb=found.settings.web.max_upload_mb,
        min_side_px=MIN_SIDE_PX,
        max_side_px=MAX_SIDE_PX,
        formats=tuple(sorted(suffix.lstrip(".") for suffix in IMAGE_SUFFIXES)),
        max_queue=found.settings.storage.max_queue,
    )
