"""The one thread that owns the camera. Other threads request captures and read the latest picture.

The preview runs only while somebody asks for it. The thread takes a small picture every
`preview_period_s`, and stops `viewer_timeout_s` after the last request. With an excitation light it
takes one every `lit_preview_period_s` and switches the light on only for these exposures.
"""

import logging
import threading
import time
from concurrent.futures import Future
from pathlib import Path

from device.camera.base import Camera, Capture
from device.camera.choice import open_camera
from device.camera.front import CameraFront
from device.camera.light import Switch, lit
from device.camera.memory import Wanted
from device.camera.scale import check_scale
from device.camera.status import CameraStatus
from device.config import CameraSettings
from device.errors import CameraError, CameraMissingError

_log = logging.getLogger(__name__)

FIRST_RETRY_S = 2.0
_LONGEST_RETRY = 10
"""The pause between attempts to open the camera grows up to this factor: from 2 to 20 s."""
_LONGEST_RETRY_MISSING = 30
"""Where none is connected, 60 s: each attempt starts a process, two seconds of a Pi's processor."""
_INTERRUPTED_S = 5.0

HEARTBEAT_S = 10.0
"""How often an idle camera takes a test picture, so that a lost camera shows before somebody captures."""
_HEARTBEAT_EXPOSURE_S = 1.0
"""No test pictures above this exposure, because a capture would have to wait for them."""


class CameraThread:
    """Opens the camera, keeps it open, takes pictures one after another.

    Args:
        settings: `[camera]`.
        camera: the camera to own; None opens the one in the settings.
        excitation: switches the light on (True) and off; called only around exposures.
        remember: file that keeps changed controls across a restart; None keeps nothing.
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
        self._camera = camera or open_camera(settings)
        self._settings, self._remember = settings, remember
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
        """Start the thread, which opens the camera; `status` shows any problem."""
        if self._camera.kind != "none" and self._thread is None:
            self._thread = threading.Thread(target=self._run, name="camera", daemon=True)
            self._thread.start()

    def stop(self, timeout_s: float = 10.0) -> None:
        """Close the camera and end the thread; a capture that has not begun fails with CameraError.

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
        """The present state; never waits for the camera."""
        return self._front.status

    def capture(self) -> "Future[Capture]":
        """Request a picture; the future returns it or raises CameraError.

        Raises:
            CameraMissingError, CameraLostError, CameraError: the camera cannot be used, and why.
            CameraBusyError: a capture is already running, the camera is starting, or another
                program uses it.
        """
        return self._front.capture()

    def change(self, **values: float) -> CameraStatus:
        """Change exposure_s, gain, red_gain, blue_gain or average_frames from the next frame on.

        Raises:
            InputError: unknown name or value outside the camera's range; nothing is changed.
        """
        return self._front.change(values)

    def preview_jpeg(self, wait_s: float = 2.0) -> bytes:
        """The latest small picture as JPEG; requests keep the preview running.

        Only the first requests after a pause wait, so that they do not get an old picture.

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
        camera = self._camera
        scale = check_scale(self._settings, camera.name, camera.field, self._remember)
        self._front.opened(camera.ranges, wanted, used, f"{camera.remark} {scale}".strip())
        _log.info("The camera %s is ready. %s", self._camera.name, self._front.status.text)

    def _serve(self) -> None:
        """Handle requests and due previews until the stop; problems are raised."""
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
            self._retry_s = (
                self._first_retry_s
            )  # the camera works: after the next problem the first pause is short again

    def _due(self, done_at: float) -> float:
        """When the next small picture is due if no capture is requested."""
        if self._front.watched:
            return done_at + self._period_s
        slow = self._front.wanted.controls.exposure_s > _HEARTBEAT_EXPOSURE_S
        return done_at + (threading.TIMEOUT_MAX / 2 if slow else self._heartbeat_s)

    def _look(self) -> None:
        """Take a preview if there are viewers, else only test whether the camera still works."""
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
