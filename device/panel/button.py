"""The case: a button, the status LED and the switch of the excitation light.

All pin events go through one queue to one thread; callbacks decide nothing. The button is debounced
here and not by the pin factory, so that every factory behaves alike.
"""

import logging
import subprocess
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from queue import Empty, SimpleQueue
from typing import Any, Literal, NamedTuple

from device.camera.status import State
from device.config import ButtonSettings
from device.errors import CameraError, FluocountError, PinsError
from device.panel.pins import open_button, open_led, open_output

_log = logging.getLogger(__name__)

LedState = Literal["off", "ready", "busy", "error", "refused"]

PATTERNS: dict[LedState, tuple[float, float] | bool] = {
    "off": False,
    "ready": True,
    "busy": (0.5, 0.5),
    "error": (0.1, 0.9),
    "refused": (0.06, 0.06),
}
"""Steady, or seconds on and off in turn."""

REFUSED_S = 1.5
"""How long the LED flickers after a refused press."""


class _Edge(NamedTuple):
    """The level of the button changed."""

    at_s: float
    is_down: bool


_LED_PERIOD_S = 0.25
_RUNNING = "A capture is running; wait until it ends, then try again."


class Panel:
    """Button, status LED and excitation output of the case.

    Args:
        settings: `[button]`; a pin that is None is not fitted.
        on_press: takes a picture; runs in its own thread, one at a time. If it raises a FluocountError,
            the press was refused.
        led: returns what the LED shall show; called four times a second.
        on_refused: called with the reason of a refusal.
        on_hold: what a long press does; None: a long press is a press.

    Attributes:
        shown: what the LED shows now.
    """

    def __init__(
        self,
        settings: ButtonSettings,
        *,
        on_press: Callable[[], object],
        led: Callable[[], LedState] = lambda: "ready",
        on_refused: Callable[[str], object] = lambda text: None,
        on_hold: Callable[[], object] | None = None,
    ) -> None:
        self._settings = settings
        self._on_press, self._led_now, self._on_refused = on_press, led, on_refused
        self._on_hold = on_hold if settings.shutdown_on_hold else None
        self._events: SimpleQueue[Literal["stop"] | _Edge | _Refusal] = SimpleQueue()
        self._opened = ExitStack()
        self._button: Any = None
        self._led: Any = None
        self._light: Any = None
        self._thread: threading.Thread | None = None
        self._job: threading.Thread | None = None
        self._pressed = self._spent = False
        self._pressed_at = 0.0
        self._last_edge: _Edge | None = None
        self.shown: LedState = "off"
        self._refused_until = float("-inf")

    @property
    def has_light(self) -> bool:
        """The settings name a pin for the excitation light."""
        return self._settings.excitation_pin is not None

    def open(self) -> None:
        """Take the pins and start to listen.

        Raises:
            PinsError: no pin library, no permission, or a pin is used twice; nothing is left open.
        """
        settings = self._settings
        try:
            with ExitStack() as opened:
                if settings.excitation_pin is not None:
                    # First, so that a light left on by a crash goes off at once.
                    self._light = opened.enter_context(
                        open_output(settings.excitation_pin, settings.excitation_active_high)
                    )
                if settings.led_pin is not None:
                    self._led = opened.enter_context(open_led(settings.led_pin))
                if settings.button_pin is not None:
                    self._button = opened.enter_context(open_button(settings.button_pin))
                self._opened = opened.pop_all()
        except PinsError:
            self._button = self._led = self._light = None
            raise
        if self._button is not None:
            # A button that is down at the start was not pressed for a capture.
            self._pressed = self._spent = self._button.is_pressed
            self._button.when_pressed = lambda: self._note(is_down=True)
            self._button.when_released = lambda: self._note(is_down=False)
        self._thread = threading.Thread(target=self._run, name="panel", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Switch light and LED off and release the pins."""
        if self._thread is not None:
            self._events.put("stop")
            self._thread.join()
            self._thread = None
        light, self._light = self._light, None
        if light is not None:
            light.off()  # not left to the pin: whether a released one keeps its level is the kernel's choice
        self._button = self._led = None
        self._opened.close()

    def light(self, on: bool) -> None:
        """Switch the excitation light and wait until it is steady; see `CameraThread`.

        Raises:
            CameraError: the pin of the light is not open; an unlit frame would count as empty.
        """
        light = self._light
        if light is None:
            if on:
                raise CameraError(
                    "The excitation light cannot be switched on, so no picture is taken; "
                    "see the message about the pins."
                )
            return
        light.value = on
        if on:
            time.sleep(self._settings.excitation_settle_s)

    def _note(self, *, is_down: bool) -> None:
        self._events.put(_Edge(time.monotonic(), is_down))

    # The methods below run in the panel's thread only.

    def _run(self) -> None:
        while True:
            try:
                event = self._events.get(timeout=self._time_to_next())
            except Empty:
                event = None
            if event == "stop":
                return
            try:
                if isinstance(event, _Edge):
                    self._follow(event)
                if isinstance(event, _Refusal):
                    self._refuse(str(event))
                self._advance(time.monotonic())
                self._show()
            except Exception:  # noqa: BLE001 - the button must work with a broken LED
                _log.exception("The panel's thread")

    def _time_to_next(self) -> float:
        times = [_LED_PERIOD_S]
        if self._last_edge is not None:
            times.append(self._last_edge.at_s + self._settings.bounce_s - time.monotonic())
        if self._may_be_held():
            times.append(self._pressed_at + self._settings.hold_s - time.monotonic())
        return max(0.0, min(times))

    def _follow(self, edge: _Edge) -> None:
        """The level before an edge counts if it lasted, also when this thread learns of it later."""
        last = self._last_edge
        if last is not None and edge.at_s - last.at_s >= self._settings.bounce_s:
            self._settle(last.is_down, last.at_s)
        self._last_edge = edge

    def _advance(self, now: float) -> None:
        """Act on a level that has settled and on a press that has lasted long enough."""
        if not self._events.empty():
            return  # what has happened since comes first
        last = self._last_edge
        if last is not None and now >= last.at_s + self._settings.bounce_s:
            self._last_edge = None
            self._settle(self._button.is_pressed, last.at_s)
        if self._may_be_held() and now >= self._pressed_at + self._settings.hold_s:
            self._spent = True
            # The button may be released already, with its event still on its way.
            if self._button.is_pressed and self._on_hold is not None:
                self._do(self._on_hold)

    def _settle(self, is_down: bool, since_s: float) -> None:
        if is_down and not self._pressed:
            self._pressed, self._pressed_at = True, since_s
        elif self._pressed and not is_down:
            self._pressed = False
            if not self._spent:
                self._do(self._on_press)
            self._spent = False

    def _may_be_held(self) -> bool:
        return self._pressed and not self._spent and self._on_hold is not None

    def _do(self, action: Callable[[], object]) -> None:
        if self._job is not None and self._job.is_alive():
            self._refuse(_RUNNING)
            return
        self._job = threading.Thread(target=self._act, args=(action,), name="press", daemon=True)
        self._job.start()

    def _act(self, action: Callable[[], object]) -> None:
        """Run the action in the thread of the press; a refusal goes back through the queue."""
        try:
            action()
        except FluocountError as error:
            self._events.put(_Refusal(str(error)))
        except Exception as error:  # noqa: BLE001 - a bug behind a press is shown like a refusal
            _log.exception("A press of the button")
            self._events.put(
                _Refusal(
                    f"The capture failed because of an unexpected error ({error}); details are in the log."
                )
            )

    def _refuse(self, text: str) -> None:
        _log.warning("Press refused: %s", text)
        self._refused_until = time.monotonic() + REFUSED_S
        self._on_refused(text)

    def _show(self) -> None:
        if self._led is None:
            return
        refused = time.monotonic() < self._refused_until
        state: LedState = "refused" if refused else self._led_now()
        if state == self.shown:
            return
        self.shown = state
        pattern = PATTERNS[state]
        if isinstance(pattern, bool):
            self._led.value = pattern
        else:
            self._led.blink(*pattern)


def led_state(camera: State, *, counting: bool, fault: bool) -> LedState:
    """What the LED shows: a press would be refused, is being processed, or would be accepted.

    Args:
        camera: state of the camera.
        counting: the worker counts an image.
        fault: something else would make the count fail.
    """
    if fault or camera in ("none", "missing", "busy", "lost", "error"):
        return "error"
    return "busy" if counting or camera in ("opening", "exposing") else "ready"


class _Refusal(str):
    """Why a press was refused."""


def power_off() -> None:
    """Shut the computer down cleanly.

    Raises:
        PinsError: systemd does not let this user do it.
    """
    done = subprocess.run(
        ["systemctl", "poweroff"], capture_output=True, text=True, timeout=30, check=False
    )
    if done.returncode:
        raise PinsError(
            f"The shutdown was refused ({done.stderr.strip()}); see docs/camera.md for the permission."
        )
