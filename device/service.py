"""The only place that connects the parts: store, worker, camera, button, watched folders.

If a part cannot start, the others still start; its sentence is in `problems`, which the page shows.
"""

import logging
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial

import msgspec

from device import sandbox
from device.bench.limit import usual_limit_gmac_s
from device.camera import CameraThread, safe_camera
from device.config import Settings
from device.errors import (
    FluocountError,
    ModelError,
    SettingsError,
    StorageError,
    UnavailableError,
)
from device.forward import Forwarder
from device.jobs import Segmenters
from device.jobs.counter import Counter, open_counter
from device.jobs.intake import CountOptions
from device.jobs.segmenters import Loader
from device.machine.cores import share_cores
from device.machine.records import prepare_records
from device.models.card import use_installed
from device.models.estimate import PROGRAM_MB
from device.panel.button import LedState, Panel, led_state, power_off
from device.sandbox.room import memory_mb
from device.store import Store
from device.store.retention import Retention
from device.studies.loading import capture
from device.watch import FolderWatch, plans_from_settings
from device.watch.plan import with_study

_log = logging.getLogger(__name__)

MOST_DECODERS = 2
"""One for the worker, one for uploads and previews; each holds some 40 MB."""


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """Something a person should know or do.

    Attributes:
        code: which part: settings, storage, disk, model, worker, camera, button, watch, forward.
        text: one sentence: what is wrong and what to do.
    """

    code: str
    text: str


class Refusal(msgspec.Struct, frozen=True, kw_only=True):
    """A refused press of the button; `when` is ISO 8601 in UTC."""

    when: str
    text: str


class Service:
    """One appliance: its parts and what is wrong with them.

    Args:
        settings: read from the file, or the defaults when the file is damaged.
        settings_problem: why the file could not be used; then counting is stopped, because a
            count with the wrong settings would look right.
        load_segmenter: opens a model by name; None for the TFLite interpreter.
        crashes: how often in a row the service crashed; after too often it leaves the camera alone.

    Attributes:
        counter: None if the data folder or the database cannot be used.
        camera: the camera's owner, also if there is no camera.
        watches: the watched folders in the settings.
        forwarder: sends finished counts to a central page; None without one.
        panel: button, status LED and excitation output; None when the settings have none.
        waits: the database that several servers share did not answer; with a new start it may.
        last_refusal: why the last press of the button was refused, if it was.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        settings_problem: str | None = None,
        load_segmenter: Loader | None = None,
        crashes: int = 0,
    ) -> None:
        self.settings, self.settings_problem = settings, settings_problem
        use_installed(settings.data_dir)
        self.segmenters = Segmenters(settings.counting, load_segmenter)
        self.counter: Counter | None = None
        self.panel = self._make_panel()
        camera, unsafe = safe_camera(settings.camera, crashes)
        light = self.panel.light if self.panel is not None and self.panel.has_light else None
        remember = settings.data_dir / "camera.json"
        self.camera = CameraThread(camera, excitation=light, remember=remember)
        self.last_refusal: Refusal | None = None
        self.watches: list[FolderWatch] = []
        self.forwarder: Forwarder | None = None
        self.waits = False
        known = {"settings": settings_problem, "camera": unsafe}
        self._failed = {code: text for code, text in known.items() if text is not None}
        self._closers: list[Callable[[], None]] = []
        self._part("storage", self._open_counter)

    def start(self) -> None:
        """Start the threads: worker, camera, button, watched folders."""
        prepare_records()
        sandbox.configure(MOST_DECODERS)
        self._part("forward", self._start_forwarder)
        self._part("worker", self._start_worker)
        self._part("storage", self._start_retention)
        self._part("button", self._start_panel)
        self._part("camera", self._start_camera)
        self._part("watch", self._start_watches)

    def stop(self) -> None:
        """Stop all parts in reverse order; an unfinished count waits for the next start."""
        for close in reversed(self._closers):
            close()
        self._closers.clear()

    @property
    def problems(self) -> list[Problem]:
        """All present problems."""
        return [
            Problem(code=code, text=text) for code, text in (self._failed | self._live()).items()
        ]

    def needs_login(self, inherited: bool = False) -> bool:
        """False only if nothing but this machine can reach the page.

        Args:
            inherited: systemd opened the address, which may be any.
        """
        web = self.settings.web
        return inherited or web.behind_proxy or not web.is_loopback

    @property
    def store(self) -> Store | None:
        """The store, None when it could not be opened."""
        return None if self.counter is None else self.counter.store

    def silent_s(self) -> float:
        """Seconds since the worker's last sign of progress, for the watchdog; 0 without a store."""
        if self.counter is None:
            return 0.0
        state = self.counter.worker.state
        return state.silent_s if state.doing != "stopped" else float("inf")

    def require_counter(self) -> Counter:
        """The store and what needs it.

        Raises:
            StorageError: the store could not be opened, and why.
            UnavailableError: its database did not answer yet.
        """
        if self.counter is None:
            raise (UnavailableError if self.waits else StorageError)(self._failed["storage"])
        return self.counter

    def require_store(self) -> Store:
        """The store.

        Raises:
            StorageError: it could not be opened, and why.
        """
        return self.require_counter().store

    def require_accepting(self) -> Counter:
        """As `require_counter`, but raises if no new images may be counted.

        Raises:
            StorageError, SettingsError: nothing can be accepted, and why.
        """
        counter = self.require_counter()
        counter.store.database.require_sound()
        if self.settings_problem is not None:
            raise SettingsError(f"Counting is stopped until this is fixed: {self.settings_problem}")
        return counter

    def _open_counter(self) -> None:
        counting = self.settings.counting
        threads = share_cores(1, counting.threads)[1]
        self.counter = open_counter(
            self.settings, self.segmenters, self.camera, partial(usual_limit_gmac_s, threads)
        )
        memory_mb.resize(counting.max_memory_mb - PROGRAM_MB)

    def _start_worker(self) -> None:
        if self.counter is not None:
            self.counter.worker.start()
            self._closers.append(self.counter.worker.stop)

    def _start_forwarder(self) -> None:
        settings = self.settings.forward
        if self.store is None or self.settings_problem is not None or settings.url is None:
            return
        self.forwarder = Forwarder(self.store, settings, self._told)
        self.forwarder.start()
        self._closers.append(self.forwarder.stop)

    def _told(self) -> tuple[str, ...]:
        """What the central page is told; not that it cannot be reached."""
        return tuple(problem.text for problem in self.problems if problem.code != "forward")

    def _start_retention(self) -> None:
        keep_days = self.settings.storage.keep_days
        if self.store is not None and keep_days is not None:
            spare = None if self.forwarder is None else self.forwarder.outbox.is_waiting
            retention = Retention(self.store, keep_days, spare=spare)
            retention.start()
            self._closers.append(retention.stop)

    def _start_camera(self) -> None:
        self.camera.start()
        self._closers.append(self.camera.stop)

    def _make_panel(self) -> Panel | None:
        if not self.settings.button.enabled:
            return None
        return Panel(
            self.settings.button,
            on_press=self._capture,
            led=self._led_state,
            on_refused=self._press_refused,
            on_hold=power_off,
        )

    def _capture(self) -> None:
        counter = self.require_accepting()
        button = self.settings.button
        options = CountOptions(assay=button.assay, objective=button.objective)
        capture(counter.store, counter.capturer, options)

    def _start_panel(self) -> None:
        if self.panel is not None:
            self.panel.open()
            self._closers.append(self.panel.close)

    def _press_refused(self, text: str) -> None:
        self.last_refusal = Refusal(when=datetime.now(UTC).isoformat(), text=text)

    def _led_state(self) -> LedState:
        state = None if self.counter is None else self.counter.worker.state
        return led_state(
            self.camera.status.state,
            counting=state is not None and state.doing == "counting",
            fault=bool(self._failed) or state is None or state.problem is not None,
        )

    def _start_watches(self) -> None:
        if self.counter is None or self.settings_problem is not None:
            return
        for planned in plans_from_settings(self.settings):
            plan = with_study(self.counter.store, planned)
            self.counter.intake.require_usable(plan.options())
            watch = FolderWatch(self.counter.store, self.counter.intake, plan)
            watch.start()
            self.watches.append(watch)
            self._closers.append(watch.stop)

    def _part(self, code: str, start: Callable[[], object]) -> None:
        """Run one start-up step; a fluocount error or a sick disk becomes a problem, other exceptions are raised."""
        try:
            start()
        except (FluocountError, OSError) as error:
            _log.error("%s: %s", code, error)
            self._failed[code] = str(error)
            shared = code == "storage" and self.settings.storage.database is not None
            self.waits |= shared and isinstance(error, UnavailableError)

    def _live(self) -> dict[str, str]:
        """Problems that come and go."""
        found: dict[str, str] = {}
        try:
            self.segmenters.card(self.settings.counting.model)
        except ModelError as error:
            found["model"] = str(error)
        if self.counter is not None and (paused := self.counter.worker.state.problem):
            found["worker"] = f"Counting is paused: {paused}"
        waiting = [watch.state.problem for watch in self.watches]
        if texts := [text for text in waiting if text is not None]:
            found["watch"] = " ".join(texts)
        if self.forwarder is not None and (unsent := self.forwarder.problem()):
            found["forward"] = unsent
        if self.store is not None:
            if damage := self.store.database.problem():
                found["storage"] = damage
            if scarce := self.store.disk().problem:
                found["disk"] = scarce
        return found
