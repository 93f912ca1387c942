"""`/metrics` for Prometheus: what the Status page says, as numbers. Needs the extra `server`."""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from flask import Blueprint, Response

from device.errors import SettingsError, StorageError
from device.service import Service
from device.web.current import service

if TYPE_CHECKING:
    from prometheus_client.core import Metric

metrics = Blueprint("metrics", __name__)

_DOING = ("idle", "counting", "elsewhere", "paused", "stopped")


@metrics.get("/metrics")
def show() -> Response:
    """All numbers, in the text format of Prometheus."""
    from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

    registry = CollectorRegistry()
    registry.register(_Readings(service()))
    return Response(generate_latest(registry), content_type=CONTENT_TYPE_LATEST)


def require_prometheus() -> None:
    """Raise at the start rather than at the first question.

    Raises:
        SettingsError: the extra `server` is not installed.
    """
    try:
        import prometheus_client  # noqa: F401
    except ModuleNotFoundError:
        raise SettingsError(
            "Metrics need the extra `server`: pip install 'fluocount[device,server]', or set server.metrics to false."
        ) from None


class _Readings:
    """What is read at each question; nothing is added up in between, so nothing is wrong after a restart."""

    def __init__(self, found: Service) -> None:
        self._service = found

    def collect(self) -> "Iterable[Metric]":
        """The present readings."""
        from prometheus_client.core import GaugeMetricFamily as Gauge

        def gauge(name: str, about: str, values: Mapping[str, float], label: str = "") -> Any:
            made = Gauge(f"fluocount_{name}", about, labels=[label] if label else [])
            for key, value in values.items():
                made.add_metric([key] if label else [], value)
            return made

        found = self._service
        problems = [problem.code for problem in found.problems]
        yield gauge(
            "problems", "Problems now, by part", {c: problems.count(c) for c in problems}, "part"
        )
        if found.counter is None:
            return
        doing = found.counter.worker.state.doing
        yield gauge(
            "worker", "What counts is doing", {d: float(d == doing) for d in _DOING}, "state"
        )
        store = found.counter.store
        try:
            numbers = store.queue.numbers()
            heard = {one.name: one.silent_s for one in store.inbox.instruments()}
        except StorageError:
            return  # it is among the problems
        yield gauge("counts", "Counts in the database, by status", numbers, "status")
        yield gauge("queue_limit", "Images that may wait", {"": found.settings.storage.max_queue})
        yield gauge(
            "disk_free_bytes", "Free space of the data folder", {"": store.disk().free_mb * 1e6}
        )
        yield gauge("instrument_silent_seconds", "Since it spoke last", heard, "instrument")
        if found.forwarder is not None:
            state = found.forwarder.state
            yield gauge(
                "unsent",
                "Results that wait for the central page",
                {"": state.waiting + state.refused},
            )
