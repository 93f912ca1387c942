"""What other threads may see and ask of the camera; nothing here waits for hardware."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path

import msgspec

from device.camera.base import Camera, Capture, ControlRanges, PreviewImage
from device.camera.memory import Wanted, change_wanted, load_wanted, save_wanted
from device.camera.pictures import focus_score, preview_jpeg, preview_saturation
from device.camera.ranges import tell_fitted
from device.camera.status import CameraStatus, State
from device.config import CameraSettings
from device.errors import CameraBusyError, CameraError, CameraLostError, CameraMissingError

_NONE_TEXT = "No camera is set up. You can still upload images."


class CameraFront:
    """What other threads may see and ask of the camera: its state, latest picture and capture requests.

    Args:
        settings: `[camera]`.
        camera: only its kind and name are read here.
        remember: file that keeps changed controls across a restart; None keeps nothing.
        wake: called after each request.
    """

    def __init__(
        self,
        settings: CameraSettings,
        camera: Camera,
        remember: Path | None,
        wake: Callable[[], None],
    ) -> None:
        self._settings, self._camera, self._remember = settings, camera, remember
        self._wake = wake
        self._changed = threading.Condition()
        none = camera.kind == "none"
        self._state: State = "none" if none else "opening"
        self._text = _NONE_TEXT if none else "The camera is starting; try again in a moment."
        self._wanted = load_wanted(settings, remember)
        self._fitted = self._remark = ""
        self._ranges: ControlRanges | None = None
        self._retry_at: float | None = None
        self._pending: Future[Capture] | None = None
        self._captures = 0
        self._jpeg: bytes | None = None
        self._jpeg_at = self._viewer_at = self._viewing_since = float("-inf")
        self._focus: float | None = None
        self._saturated: float | None = None

    # For everybody

    @property
    def status(self) -> CameraStatus:
        """The present state."""
        now = time.monotonic()
        with self._changed:
            return CameraStatus(
                state=self._state,
                text=self._text,
                kind=self._camera.kind,
                model=self._camera.name if self._ranges is not None else None,
                width_px=self._settings.width_px,
                height_px=self._settings.height_px,
                **msgspec.structs.asdict(self._wanted.controls),
                average_frames=self._wanted.average_frames,
                ranges=self._ranges,
                retry_in_s=max(0.0, self._retry_at - now) if self._retry_at is not None else None,
                saturated_fraction=self._saturated,
                focus_score=self._focus,
                preview_age_s=now - self._jpeg_at if self._jpeg is not None else None,
                captures=self._captures,
            )

    def capture(self) -> "Future[Capture]":
        """Request a picture; see CameraThread.capture."""
        with self._changed:
            if self._pending is not None:
                raise CameraBusyError("A capture is running; wait until it ends, then try again.")
            self._refuse_unless_ready()
            request = self._pending = Future()
            request.set_running_or_notify_cancel()  # an exposure cannot be cancelled
        self._wake()
        return request

    def change(self, values: dict[str, float]) -> CameraStatus:
        """Replace controls; see CameraThread.change."""
        with self._changed:
            wanted = self._wanted = change_wanted(self._wanted, values, self._ranges)
            self._fitted = ""
            if self._state == "ready":
                self._text = self._remark
        save_wanted(wanted, self._remember)
        self._wake()
        return self.status

    def preview_jpeg(self, wait_s: float) -> bytes:
        """The latest small picture; see CameraThread.preview_jpeg."""
        with self._changed:
            self._refuse_unless_ready()
            began = not self.watched
            self._viewer_at = time.monotonic()
            if began:
                self._viewing_since = self._viewer_at
        if began:
            self._wake()
        with self._changed:
            if self._changed.wait_for(self._is_fresh, timeout=wait_s) and self._jpeg is not None:
                return self._jpeg
            self._refuse_unless_ready()
            exposure_s = self._wanted.controls.exposure_s
        raise CameraBusyError(f"The exposure is still running ({exposure_s:g} s); try again.")

    # For the owner's thread

    @property
    def wanted(self) -> Wanted:
        """The controls to use next."""
        return self._wanted

    @property
    def pending(self) -> "Future[Capture] | None":
        """The capture request that waits, if any."""
        return self._pending

    @property
    def watched(self) -> bool:
        """Whether there are viewers; the exposure time is added to their timeout."""
        patience = self._settings.viewer_timeout_s + 2 * self._wanted.controls.exposure_s
        return time.monotonic() - self._viewer_at < patience

    @property
    def waiting(self) -> bool:
        """Whether there is a viewer who has not seen a picture yet."""
        return self.watched and not self._is_fresh()

    def opened(self, ranges: ControlRanges, asked: Wanted, used: Wanted, remark: str) -> None:
        """The camera is open and ready.

        Args:
            ranges: of its controls.
            asked: what it was opened with.
            used: what it could do of that.
            remark: the camera's own.
        """
        with self._changed:
            self._ranges, self._retry_at = ranges, None
            self._fitted, self._remark = tell_fitted(asked.controls, used.controls), remark
            if self._wanted == asked:  # else somebody changed it meanwhile, and that comes next
                self._wanted = used
        self.show("ready")

    def show(self, state: State, text: str = "") -> None:
        """Publish another state; a ready camera keeps its message."""
        with self._changed:
            if state == "ready":
                text = f"{self._fitted} {self._remark}".strip()
            self._state, self._text = state, text
            self._changed.notify_all()

    def publish(self, picture: PreviewImage) -> None:
        """Publish a new picture."""
        jpeg, focus = preview_jpeg(picture), focus_score(picture)
        saturated = preview_saturation(picture)
        with self._changed:
            self._jpeg, self._jpeg_at = jpeg, time.monotonic()
            self._focus, self._saturated = focus, saturated
            self._changed.notify_all()

    def deliver(self, capture: Capture) -> None:
        """Complete the pending capture."""
        with self._changed:
            request, self._pending = self._pending, None
            self._captures += 1
            self._saturated = capture.saturated_fraction
        self.show("ready")
        if request is not None:
            request.set_result(capture)

    def fail(self, error: CameraError, retry_in_s: float | None) -> None:
        """Publish a problem: a pending capture fails with it, and the last picture is dropped."""
        with self._changed:
            request, self._pending = self._pending, None
            self._jpeg, self._focus, self._saturated = None, None, None
            self._retry_at = None if retry_in_s is None else time.monotonic() + retry_in_s
            self._state, self._text = _state_of(error), str(error)
            self._changed.notify_all()
        if request is not None:
            request.set_exception(error)

    def _is_fresh(self) -> bool:
        return self._jpeg is not None and self._jpeg_at >= self._viewing_since

    def _refuse_unless_ready(self) -> None:
        """Raise the error of the present state; the caller holds the lock."""
        match self._state:
            case "none" | "missing":
                raise CameraMissingError(self._text)
            case "opening" | "busy":
                raise CameraBusyError(self._text)
            case "lost":
                raise CameraLostError(self._text)
            case "error":
                raise CameraError(self._text)


def _state_of(error: CameraError) -> State:
    match error:
        case CameraMissingError():
            return "missing"
        case CameraBusyError():
            return "busy"
        case CameraLostError():
            return "lost"
    return "error"
