"""The Raspberry Pi's camera through picamera2, which comes from apt and is imported only here.

One still configuration with a small `lores` stream serves captures and preview, so that no mode is
ever switched: mode switches are what exhausts the contiguous memory of a Pi 4.
"""

import logging
from typing import Any

import numpy as np
import numpy.typing as npt

from device.camera.base import CameraControls, Capture, ControlRanges, PreviewImage
from device.camera.libcamera_values import (
    actual_controls,
    difference,
    libcamera_controls,
    ranges_of,
    yuv420_to_rgb,
)
from device.camera.patience import call_within
from device.camera.pictures import as_frame, mean_image, saturated_fraction
from device.camera.ranges import check_controls
from device.config import CameraSettings
from device.errors import CameraBusyError, CameraError, CameraLostError, CameraMissingError

_log = logging.getLogger(__name__)

BUFFERS = 3
_PREVIEW_WIDTH_PX = 640
_PATIENCE_S = 1.5
_OPEN_S = 30.0
_CLOSE_S = 10.0
_TRIES = 4


class PiCamera:
    """A CSI camera.

    Args:
        settings: `[camera]`; width and height must be even.
    """

    kind = "pi"

    def __init__(self, settings: CameraSettings) -> None:
        self._settings = settings
        self._camera: Any = None
        self._controls = CameraControls()
        self._ranges: ControlRanges | None = None
        self._name = "Raspberry Pi camera"
        self._frames = 0

    @property
    def name(self) -> str:
        """Model of the sensor, known after `open`."""
        return self._name

    @property
    def ranges(self) -> ControlRanges:
        """What the sensor takes in its configured mode; raises CameraError before `open`."""
        if self._ranges is None:
            raise CameraError("The camera has not started; its ranges are not known yet.")
        return self._ranges

    def open(self, controls: CameraControls) -> None:
        """Acquire, configure and start the sensor with everything automatic switched off."""
        try:
            self._camera = call_within(_OPEN_S, self._acquire, too_late=lambda late: late.close())
            self._ranges = ranges_of(self._camera.camera_controls)
            self.apply(controls)
        except TimeoutError:
            raise CameraError(
                f"The camera driver did not answer within {_OPEN_S:g} s; "
                "check the ribbon cable, then restart the Pi."
            ) from None

    def apply(self, controls: CameraControls) -> None:
        """Stop, set, start: only controls set before the start hold from the first frame on."""
        check_controls(controls, self.ranges)
        camera = self._opened()

        def restart() -> None:
            camera.stop()
            camera.set_controls(libcamera_controls(controls, camera.camera_controls))
            camera.start()

        try:
            call_within(_OPEN_S + 2 * self._controls.exposure_s, restart)
        except TimeoutError:
            raise CameraLostError(
                "The camera driver does not respond; the camera restarts automatically. "
                "If this happens again, restart the Pi."
            ) from None
        except RuntimeError as error:
            raise CameraError(
                f"The camera did not start ({error}); it is tried again automatically."
            ) from error
        self._controls = controls

    def capture(self, average_frames: int = 1) -> Capture:
        """Take pictures whose exposure begins after the call, each checked by its metadata."""
        controls = self._controls
        real: list[CameraControls] = []

        def images() -> Any:
            for _ in range(average_frames):
                image, metadata = self._checked("main", controls)
                real.append(actual_controls(metadata, controls))
                yield image

        image = mean_image(images(), average_frames)
        self._frames += 1
        source = f"{self._name}-{self._frames}"
        return Capture(
            frame=as_frame(image, source, self._settings.pixel_size_um),
            controls=real[-1],
            average_frames=average_frames,
            saturated_fraction=saturated_fraction(image),
            camera=self._name,
        )

    def preview(self) -> PreviewImage:
        """The small stream, 640 pixels wide, as RGB."""
        planes, _ = self._take("lores")
        size = self._opened().camera_configuration()["lores"]["size"]
        return yuv420_to_rgb(planes, *size)

    def close(self) -> None:
        """Let go; a driver that does not return is left behind with a line in the log."""
        camera, self._camera = self._camera, None
        if camera is None:
            return
        try:
            # A job that timed out would make close() wait for a frame that never comes.
            camera.cancel_all_and_flush()
            call_within(_CLOSE_S + 2 * self._controls.exposure_s, camera.close)
        except TimeoutError:
            _log.error("The camera driver does not close; you may have to restart the service.")
        except RuntimeError as error:
            _log.warning("Closing the camera: %s", error)

    def _opened(self) -> Any:
        if self._camera is None:
            raise CameraError("The camera is closed; start it first.")
        return self._camera

    def _acquire(self) -> Any:
        """Make and configure the Picamera2, or raise the CameraError that fits."""
        maker = _picamera2()
        found = maker.global_camera_info()
        if not found:
            raise CameraMissingError(
                "No camera was found; switch the Pi off and check both ends of the ribbon cable."
            )
        try:
            camera = maker()
        except (RuntimeError, IndexError) as error:
            raise _opening_error(error) from error
        self._name = str(found[0].get("Model", self._name))
        try:
            self._configure(camera)
        except (RuntimeError, MemoryError) as error:
            camera.close()
            raise CameraError(
                f"The camera {self._name} does not support {self._settings.width_px} x "
                f"{self._settings.height_px} pixels ({error}); choose another camera size in the settings."
            ) from error
        return camera

    def _configure(self, camera: Any) -> None:
        width, height = self._settings.width_px, self._settings.height_px
        small_width = min(_PREVIEW_WIDTH_PX, width - width % 64 or width)
        small_height = max(4, round(small_width * height / width / 4) * 4)
        configuration = camera.create_still_configuration(
            main={"size": (width, height), "format": "BGR888"},  # R, G, B in memory
            lores={"size": (small_width, min(small_height, height)), "format": "YUV420"},
            buffer_count=BUFFERS,
            queue=False,
        )
        got = configuration["main"]["size"]
        if tuple(got) != (width, height):
            raise RuntimeError(f"width and height must be even, {got[0]} x {got[1]} would fit")
        camera.configure(configuration)

    def _checked(
        self, stream: str, controls: CameraControls
    ) -> tuple[npt.NDArray[np.uint8], dict[str, Any]]:
        """A frame that really had the controls asked for."""
        wrong = ""
        for _ in range(_TRIES):
            image, metadata = self._take(stream)
            wrong = difference(metadata, controls)
            if not wrong:
                return image, metadata
            _log.warning("Frame refused: %s", wrong)
        raise CameraError(
            f"{_TRIES} frames in a row were not exposed as asked ({wrong}); "
            "the camera restarts automatically, then capture again."
        )

    def _take(self, stream: str) -> tuple[npt.NDArray[np.uint8], dict[str, Any]]:
        """The next frame that begins after now; its buffer is given back at once."""
        camera = self._opened()
        # A frame in progress has to end first, so a fresh one may take its time twice, and libcamera
        # may have one more under way.
        patience = _PATIENCE_S + 3 * self._controls.exposure_s
        try:
            request = camera.capture_request(wait=patience, flush=True)
        except TimeoutError:
            raise CameraLostError(
                f"The camera sent no picture for {patience:.1f} s; it restarts automatically. "
                "If this happens again, check the ribbon cable."
            ) from None
        except RuntimeError as error:
            raise CameraLostError(
                f"The camera stopped ({error}); it restarts automatically."
            ) from error
        try:
            return request.make_array(stream), request.get_metadata()
        finally:
            request.release()


def _picamera2() -> Any:
    try:
        from picamera2 import Picamera2
    except ImportError as error:
        raise CameraMissingError(
            f"picamera2 cannot be imported ({error}); run `sudo apt install python3-picamera2` and "
            "create the environment with --system-site-packages."
        ) from None
    except ValueError as error:
        # simplejpeg from apt is compiled against apt's numpy.
        raise CameraMissingError(
            f"picamera2 cannot be imported ({error}); a numpy from pip hides the one from apt: "
            "install fluocount again with the constraint file of this release."
        ) from None
    return Picamera2


def _opening_error(error: BaseException) -> CameraError:
    """Which CameraError a failed Picamera2() means; the reason hides in the chain of causes."""
    reasons = []
    cause: BaseException | None = error
    while cause is not None:
        reasons.append(str(cause))
        cause = cause.__cause__ or cause.__context__
    text = "; ".join(reasons)
    if "busy" in text.lower() or "in use" in text.lower():
        return CameraBusyError(
            "Another program uses the camera; close it (`fuser -v /dev/video*` names it). "
            "The camera is tried again automatically."
        )
    if isinstance(error, IndexError) or "not found" in text.lower():
        return CameraMissingError(
            "No camera was found; switch the Pi off and check both ends of the ribbon cable."
        )
    return CameraError(f"The camera cannot be opened ({text}); it is tried again automatically.")
