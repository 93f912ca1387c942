"""From a capture (on the page or by the button) to a count in the queue."""

from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from dataclasses import replace

import msgspec

from device.camera import CameraThread, Capture, capture_tiff
from device.counting.assay import Assay
from device.errors import CameraError
from device.jobs.intake import DEFAULT_OPTIONS, CountOptions, Intake
from device.store import CountRow

_PATIENCE_S = 30.0
"""In addition to the exposure; the time limit of the camera itself is shorter."""


class Capturer:
    """Takes pictures and puts them on the queue as lossless TIFF, with the real camera settings."""

    def __init__(self, camera: CameraThread, intake: Intake) -> None:
        self._camera = camera
        self._intake = intake

    def capture(self, options: CountOptions = DEFAULT_OPTIONS) -> CountRow:
        """Take a picture now; when this returns, it is saved and in the queue.

        Raises:
            InputError, NotFoundError: there is no such assay or objective, or the assay asks the camera for what it
                cannot do.
            CameraError: the camera is missing, busy or failed; nothing was accepted.
            QueueFullError, StorageError, ModelError: nothing was accepted.
        """
        self._intake.require_room()
        _, settings = self._intake.settle(options)
        self._expose(settings.assay)
        status = self._camera.status
        limit_s = _PATIENCE_S + 3 * status.exposure_s * status.average_frames
        taken = self._wait(self._camera.capture(), limit_s)
        if settings.objective is not None:
            # The camera's setting holds for one objective; a person says that this picture was taken with another.
            frame = replace(taken.frame, pixel_size_um=None)
            taken = msgspec.structs.replace(taken, frame=frame)
        return self._intake.accept(
            capture_tiff(taken),
            f"{taken.frame.source}.tiff",
            "capture",
            options,
            capture=taken.record(),
        )

    def _expose(self, assay: Assay | None) -> None:
        """Set the camera as the assay says; what it leaves open stays as a person set it."""
        if assay is None:
            return
        chosen = msgspec.structs.asdict(assay.exposure)
        changes = {name: value for name, value in chosen.items() if value is not None}
        if changes:
            self._camera.change(**changes)

    @staticmethod
    def _wait(future: "Future[Capture]", limit_s: float) -> Capture:
        try:
            return future.result(limit_s)
        except FutureTimeoutError:
            raise CameraError(
                f"The camera sent no picture within {limit_s:.0f} s; check the camera and try again."
            ) from None
