"""The one thread that owns the camera. Everybody else leaves wishes and reads the latest picture.

The preview runs only while somebody asks for it: the thread takes a small picture every
`preview_period_s`, and stops `viewer_timeout_s` after the last request. With an excitation light it
takes one every `lit_preview_period_s` and lights the sample only for those exposures.
"""

import logging
import threading
import time
from concurrent.futures import Future
from pathlib import Path

from device.camera.base import Camera, Capture
from device.camera.front import CameraFront
from device.camera.light import Switch, lit
from device.camera.memory import Wanted
from device.camera.status import CameraStatus
from device.config import CameraSettings
from device.errors import CameraError, CameraMissingError

_log = logging.getLogger(__name__)

FIRST_RETRY_S = 2.0
_LONGEST_RETRY = 10
"""The pause before the camera is opened again grows to this many times the first: 2 to 20 s."""
_LONGEST_RETRY_MISSING = 30
"""Where none is connected, 60 s: each attempt starts a process, two seconds of a Pi's processor."""
_INTERRUPTED_S = 5.0

HEARTBEAT_S = 10.0
"""How often an idle camera is asked for a picture, so that a loss shows before somebody presses."""
_HEARTBEAT_EXPOSURE_S = 1.0
"""Above this exposure there is no heartbeat: a press would have to wait for its end."""


class CameraThread:
    """Opens the camera, keeps it open, takes pictures one after another.

    Args:
        settings: `[camera]`.
        camera: what to own; None makes what the settings name.
        excitation: switches the light on (True) and off; called only around exposures.
        remember: file that keeps changed controls over a restart; None forgets them.
        retry_s: first pause before the camera is opened again.
        heartbeat_s: how often an idle camera is checked.
    """

    def __init__(
        self,
        settings: CameraSettings,
        *,
        camera: Camera | None = None,
        excitation: Switch | None = None,
        remember: Path | None = None,
        retry_s: float = FIRST_RETRY_S,
        heartbeat_s: float = HEARTBEAT_S,
    ) -> None:
        from device.camera import open_camera

        self._camera = camera or open_camera(settings)
        self._light = excitation
        lit_period_s = settings.lit_preview_period_s if excitation else 0.0
        self._period_s = max(settings.preview_period_s, lit_period_s)
        self._first_retry_s = self._retry_s = retry_s
        self._heartbeat_s = heartbeat_s
        self._woken = threading.Event()
        self._stopping = threading.Event()
        self._front = CameraFront(settings, self._camera, remember, self._woken.set)
        self._used: Wanted | None = None
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Start the thread; the camera is opened there, and trouble shows in `status`."""
        if self._camera.kind != "none" and self._thread is None:
            self._thread = threading.Thread(target=self._run, name="camera", daemon=True)
            self._thread.start()

    def stop(self, timeout_s: float = 10.0) -> None:
        """Close the camera and end the thread; a capture not begun fails with CameraError.

        An exposure under way is waited for, but not longer than `timeout_s`: then it is broken off,
        so that the excitation light goes off.
        """
        self._stopping.set()
        self._woken.set()
        if self._thread is not None:
            self._thread.join(timeout_s)
            if self._thread.is_alive():
                self._camera.interrupt()
                self._thread.join(_INTERRUPTED_S)
            self._thread = None

    @property
    def status(self) -> CameraStatus:
        """The state now; never waits for the camera."""
        return self._front.status

    def capture(self) -> "Future[Capture]":
        """Ask for a picture; the future gives it or raises CameraError.

        Raises:
            CameraMissingError, CameraLostError, CameraError: there is no camera to ask, and why.
            CameraBusyError: a capture is already under way, the camera is starting, or another
                program holds it.
        """
        return self._front.capture()

    def change(self, **values: float) -> CameraStatus:
        """Change exposure_s, gain, red_gain, blue_gain or average_frames from the next frame on.

        Raises:
            InputError: unknown name or value outside the camera's range; nothing is changed.
        """
        return self._front.change(values)

    def preview_jpeg(self, wait_s: float = 2.0) -> bytes:
        """The latest small picture as JPEG; asking for it is what keeps the preview running.

        Only the first requests after a pause wait, for a picture that is not an old one.

        Raises:
            CameraError: there is no picture yet or no camera, and why.
        """
        return self._front.preview_jpeg(wait_s)

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                self._open()
                self._serve()
            except CameraError as error:
                self._recover(error)
            except Exception as error:  # noqa: BLE001 - a driver raises what it likes
                _log.exception("The camera's thread")
                self._recover(
                    CameraError(f"The camera failed ({error}); it restarts automatically.")
                )
        self._close()
        stopped = CameraError("The service is stopping; capture again after it has restarted.")
        self._front.fail(stopped, retry_in_s=None)

    def _open(self) -> None:
        self._front.show("opening", "The camera is starting; try again in a moment.")
        wanted = self._front.wanted
        used = Wanted(
            controls=self._camera.open(wanted.controls), average_frames=wanted.average_frames
        )
        self._used = used
        self._front.opened(self._camera.ranges, wanted, used, self._camera.remark)
        _log.info("The camera %s is ready. %s", self._camera.name, self._front.status.text)

    def _serve(self) -> None:
        """Do what is asked and what is due until the stop; trouble leaves through an exception."""
        done_at = time.monotonic()
        while not self._stopping.is_set():
            self._woken.clear()
            if self._front.pending is not None:
                self._take()
            elif self._front.waiting or time.monotonic() >= self._due(done_at):
                self._look()
            else:
                self._woken.wait(max(0.0, self._due(done_at) - time.monotonic()))
                continue
            done_at = time.monotonic()
            self._retry_s = self._first_retry_s  # it delivers: the next loss is retried soon

    def _due(self, done_at: float) -> float:
        """When the next small picture is to be taken if nobody asks for more."""
        if self._front.watched:
            return done_at + self._period_s
        slow = self._front.wanted.controls.exposure_s > _HEARTBEAT_EXPOSURE_S
        return done_at + (threading.TIMEOUT_MAX / 2 if slow else self._heartbeat_s)

    def _look(self) -> None:
        """Take a preview for those who look; without them only see whether the camera lives."""
        self._use_wanted()
        if not self._front.watched:
            self._camera.preview()
            return
        with lit(self._light):
            picture = self._camera.preview()
        self._front.publish(picture)

    def _take(self) -> None:
        self._front.show("exposing")
        wanted = self._use_wanted()
        with lit(self._light):
            capture = self._camera.capture(wanted.average_frames)
        self._front.deliver(capture)

    def _use_wanted(self) -> Wanted:
        wanted = self._front.wanted
        if self._used is None or wanted.controls != self._used.controls:
            self._camera.apply(wanted.controls)
        self._used = wanted
        return wanted

    def _recover(self, error: CameraError) -> None:
        """Close, say why, and wait before the next attempt."""
        _log.warning("Camera: %s", error)
        self._close()
        self._front.fail(error, self._retry_s)
        self._stopping.wait(self._retry_s)
        missing = isinstance(error, CameraMissingError)
        longest = _LONGEST_RETRY_MISSING if missing else _LONGEST_RETRY
        self._retry_s = min(2 * self._retry_s, longest * self._first_retry_s)

    def _close(self) -> None:
        try:
            self._camera.close()
        except Exception:  # noqa: BLE001 - a driver raises what it likes; the thread lives on
            _log.exception("Closing the camera")
