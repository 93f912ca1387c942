"""From a capture (on the page or by the button) to a count in the queue."""

from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError

from device.camera import CameraThread, Capture, capture_tiff
from device.errors import CameraError
from device.jobs.intake import NO_WISHES, Intake, Wishes
from device.store import CountRow

_PATIENCE_S = 30.0
"""In addition to the exposure; the time limit of the camera itself is shorter."""


class Capturer:
    """Takes pictures and puts them on the queue as lossless TIFF, with the real camera settings."""

    def __init__(self, camera: CameraThread, intake: Intake) -> None:
        self._camera = camera
        self._intake = intake

    def capture(self, wishes: Wishes = NO_WISHES) -> CountRow:
        """Take a picture now; when this returns, it is saved and in the queue.

        Raises:
            CameraError: the camera is missing, busy or failed; nothing was accepted.
            QueueFullError, StorageError, ModelError: nothing was accepted.
        """
        self._intake.require_room()
        status = self._camera.status
        limit_s = _PATIENCE_S + 3 * status.exposure_s * status.average_frames
        taken = self._wait(self._camera.capture(), limit_s)
        return self._intake.accept(
            capture_tiff(taken),
            f"{taken.frame.source}.tiff",
            "capture",
            wishes,
            capture=taken.record(),
        )

    @staticmethod
    def _wait(future: "Future[Capture]", limit_s: float) -> Capture:
        try:
            return future.result(limit_s)
        except FutureTimeoutError:
            raise CameraError(
                f"The camera sent no picture within {limit_s:.0f} s; check the camera and try again."
            ) from None
