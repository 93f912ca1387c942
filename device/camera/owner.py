"""The one thread that owns the camera. Everybody else leaves commands and reads the latest picture."""

from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path

from device.camera.base import Camera, Capture
from device.camera.status import CameraStatus
from device.config import CameraSettings


class CameraThread:
    """Opens the camera, keeps it open, takes pictures one after another.

    Args:
        settings: `[camera]`.
        camera: what to own; None opens what the settings name.
        excitation: switches the light on (True) and off; called only around exposures.
        remember: file that keeps changed controls over a restart; None forgets them.
    """

    def __init__(
        self,
        settings: CameraSettings,
        *,
        camera: Camera | None = None,
        excitation: Callable[[bool], None] | None = None,
        remember: Path | None = None,
    ) -> None: ...

    def start(self) -> None:
        """Start the thread; opening the camera happens there and never raises here."""

    def stop(self) -> None:
        """Close the camera and end the thread; captures not begun fail with CameraError."""

    @property
    def status(self) -> CameraStatus:
        """The state now; never waits."""

    def capture(self) -> "Future[Capture]":
        """Ask for a picture; the future gives it or raises CameraError.

        Raises:
            CameraMissingError, CameraLostError, CameraError: there is no camera to ask, and why.
            CameraBusyError: a capture is already under way, or another program holds the camera.
        """

    def change(self, **values: float) -> CameraStatus:
        """Change exposure_s, gain, red_gain, blue_gain or average_frames from the next frame on.

        Raises:
            InputError: unknown name or value outside the camera's range; nothing is changed.
        """

    def preview_jpeg(self, wait_s: float = 2.0) -> bytes:
        """The latest small picture as JPEG; asking for it is what keeps the preview running.

        Raises:
            CameraError: there is no picture yet or no camera, and why.
        """
