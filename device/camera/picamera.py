"""The Raspberry Pi's camera through picamera2, which comes from apt.

One still configuration with a small `lores` stream serves captures and preview, without mode switches,
because these use up the contiguous memory of a Pi 4.

A driver may hang or abort the process, and libcamera holds the interpreter's lock meanwhile: the
service therefore uses it through `device.camera.process`.
"""

import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from device.camera.acquire import find_camera, import_picamera2, let_go, make
from device.camera.base import CameraControls, Capture, ControlRanges, PreviewImage, SensorField
from device.camera.libcamera_values import (
    actual_controls,
    difference,
    libcamera_controls,
    order_modes,
    ranges_of,
    sees_everything,
    sensor_field,
    yuv420_to_rgb,
)
from device.camera.pictures import as_frame, mean_image, saturated_fraction
from device.camera.ranges import check_controls, fit_controls
from device.camera.response import FixedTuning
from device.config import CameraSettings
from device.errors import CameraError, CameraLostError

_log = logging.getLogger(__name__)

BUFFERS = 3
PATIENCE_S = 1.5
"""How long a frame may be late, beyond its exposure."""
_PREVIEW_WIDTH_PX = 640
_TRIES = 4


def frame_patience_s(controls: CameraControls) -> float:
    """How long to wait for one frame.

    A frame in progress has to end first, so a fresh one may take its time twice, and libcamera may
    have one more under way.
    """
    return PATIENCE_S + 3 * controls.exposure_s


class PiCamera:
    """A CSI camera.

    Args:
        settings: `[camera]`; width and height must be even.
        on_progress: called after each step that may take long, so that somebody who waits knows.
        root: of the file system, where the kernel names the sensor.
    """

    kind = "pi"

    def __init__(
        self,
        settings: CameraSettings,
        on_progress: Callable[[], None] = lambda: None,
        root: Path = Path("/"),
    ) -> None:
        self._settings = settings
        self._on_progress = on_progress
        self._root = root
        self._camera: Any = None
        self._controls = CameraControls()
        self._ranges: ControlRanges | None = None
        self._name = "Raspberry Pi camera"
        self._fixed_response = False
        self._frames = 0

    @property
    def name(self) -> str:
        """Model of the sensor, known after `open`."""
        return self._name

    @property
    def ranges(self) -> ControlRanges:
        """Ranges of the sensor in its configured mode; raises CameraError before `open`."""
        if self._ranges is None:
            raise CameraError("The camera has not started; its ranges are not known yet.")
        return self._ranges

    @property
    def field(self) -> SensorField | None:
        """All that the mode in use sees; None before `open` and where the camera does not say."""
        return None if self._camera is None else self._field()

    @property
    def remark(self) -> str:
        """Where the field is cut or the response is not fixed."""
        if self._camera is None:
            return ""
        remarks = []
        if (field := self.field) is not None and not sees_everything(field):
            remarks.append(
                f"At this picture size the sensor shows only {field.crop_px[2]} x {field.crop_px[3]} "
                f"of its {field.full_px[0]} x {field.full_px[1]} pixels."
            )
        if not self._fixed_response:
            remarks.append(
                f"There is no tuning file for {self._name}, so its tone curve follows the scene: "
                "brightness of two pictures cannot be compared."
            )
        return " ".join(remarks)

    def open(self, controls: CameraControls) -> CameraControls:
        """Acquire, configure and start the sensor with everything automatic switched off."""
        maker = import_picamera2()
        self._on_progress()
        camera = self._make(maker)
        self._on_progress()
        try:
            self._configure(camera)
            self._ranges = ranges_of(camera.camera_controls)
            self._controls = fit_controls(controls, self._ranges)
            self._start(camera, self._controls)
        except BaseException:
            let_go(camera)
            raise
        self._camera = camera
        return self._controls

    def apply(self, controls: CameraControls) -> None:
        """Stop, set, start: only controls set before the start apply from the first frame on."""
        check_controls(controls, self.ranges)
        self._start(self._opened(), controls)
        self._controls = controls

    def capture(self, average_frames: int = 1) -> Capture:
        """Take pictures whose exposure begins after the call, each checked by its metadata."""
        controls = self._controls
        taken: list[dict[str, Any]] = []

        def images() -> Iterator[npt.NDArray[np.uint8]]:
            for _ in range(average_frames):
                image, metadata = self._check("main", controls)
                taken.append(metadata)
                yield image

        image = mean_image(images(), average_frames)
        self._frames += 1
        return Capture(
            frame=as_frame(image, f"{self._name}-{self._frames}", self._settings.pixel_size_um),
            controls=actual_controls(taken[-1], controls),
            average_frames=average_frames,
            saturated_fraction=saturated_fraction(image),
            camera=self._name,
            field=self._field(taken[-1]),
            fixed_response=self._fixed_response,
        )

    def preview(self) -> PreviewImage:
        """The small stream, 640 pixels wide, as RGB."""
        planes, _ = self._take("lores")
        size = self._opened().camera_configuration()["lores"]["size"]
        return yuv420_to_rgb(planes, *size)

    def close(self) -> None:
        """Let go of the camera."""
        camera, self._camera = self._camera, None
        if camera is not None:
            let_go(camera)

    def interrupt(self) -> None:
        """Nothing to do: a driver cannot be interrupted from within its process."""

    def _opened(self) -> Any:
        if self._camera is None:
            raise CameraError("The camera is closed; start it first.")
        return self._camera

    def _field(self, metadata: dict[str, Any] | None = None) -> SensorField | None:
        camera = self._opened()
        return sensor_field(
            camera.camera_configuration(),
            camera.camera_controls,
            camera.camera_properties,
            metadata,
        )

    def _make(self, maker: Any, mono: bool = False) -> Any:
        """An open Picamera2 with a fixed response where there is a tuning file for the sensor."""
        with FixedTuning(maker, mono, self._root) as tuning:
            number, self._name = find_camera(maker)
            camera = make(maker, number, tuning.path)
        is_mono = "ColorFilterArrangement" in camera.camera_properties and camera.is_mono
        if tuning.model is not None and is_mono and not tuning.for_mono and not mono:
            let_go(camera)
            return self._make(maker, mono=True)
        self._fixed_response = tuning.model == self._name
        return camera

    def _configure(self, camera: Any) -> None:
        """Configure for the size asked for, in a sensor mode that shows the whole field."""
        wanted = (self._settings.width_px, self._settings.height_px)
        try:
            self._choose_mode(camera, wanted)
        except (RuntimeError, MemoryError, OSError, ValueError) as error:
            raise CameraError(
                f"The camera {self._name} does not support {wanted[0]} x {wanted[1]} pixels "
                f"({error}); choose another size in [camera]."
            ) from error
        got = tuple(camera.camera_configuration()["main"]["size"])
        if got != wanted:
            raise CameraError(
                f"The camera {self._name} does not support {wanted[0]} x {wanted[1]} pixels, it would "
                f"give {got[0]} x {got[1]}; choose a size that it takes in [camera]."
            )

    def _choose_mode(self, camera: Any, wanted: tuple[int, int]) -> None:
        """Configure until a mode shows the whole field, else with the one that shows most."""
        # picamera2 lists the modes with their crop, too, but only after configuring each of them with
        # four raw buffers (74 MB at 12 megapixels); one or two are enough here.
        modes = [mode["size"] for mode in getattr(camera, "_raw_modes", [])]
        seen: dict[tuple[int, int], int] = {}
        for mode in order_modes(modes, wanted):
            camera.configure(self._configuration(camera, mode))
            field = sensor_field(
                camera.camera_configuration(), camera.camera_controls, camera.camera_properties
            )
            if field is None or sees_everything(field):
                return
            seen[mode] = field.crop_px[2] * field.crop_px[3]
        camera.configure(
            self._configuration(camera, max(seen, key=lambda mode: seen[mode], default=None))
        )

    def _configuration(self, camera: Any, mode: tuple[int, int] | None) -> Any:
        width, height = self._settings.width_px, self._settings.height_px
        small_width = min(_PREVIEW_WIDTH_PX, width - width % 64 or width)
        small_height = max(4, round(small_width * height / width / 4) * 4)
        return camera.create_still_configuration(
            main={"size": (width, height), "format": "BGR888"},  # R, G, B in memory
            lores={"size": (small_width, min(small_height, height)), "format": "YUV420"},
            raw=None,  # it is not used, and its buffers take 55 to 74 MB at 12 megapixels
            sensor={} if mode is None else {"output_size": mode},
            buffer_count=BUFFERS,
            queue=False,
        )

    def _start(self, camera: Any, controls: CameraControls) -> None:
        try:
            camera.stop()
            camera.set_controls(libcamera_controls(controls, camera.camera_controls))
            camera.start()
        except (RuntimeError, MemoryError, OSError) as error:
            raise CameraError(
                f"The camera did not start ({error}); it restarts automatically."
            ) from error

    def _check(
        self, stream: str, controls: CameraControls
    ) -> tuple[npt.NDArray[np.uint8], dict[str, Any]]:
        """A frame that really had the requested controls."""
        wrong = ""
        for _ in range(_TRIES):
            image, metadata = self._take(stream)
            self._on_progress()
            wrong = difference(metadata, controls)
            if not wrong:
                return image, metadata
            _log.warning("Frame refused: %s", wrong)
        raise CameraError(
            f"{_TRIES} frames in a row were not exposed as asked ({wrong}); "
            "the camera restarts automatically, then capture again."
        )

    def _take(self, stream: str) -> tuple[npt.NDArray[np.uint8], dict[str, Any]]:
        """The next frame that begins after now; its buffer is released at once."""
        camera = self._opened()
        patience = frame_patience_s(self._controls)
        try:
            request = camera.capture_request(wait=patience, flush=True)
        except TimeoutError:
            raise CameraLostError(
                f"The camera sent no picture for {patience:.1f} s; it restarts automatically. "
                "If this happens again, check the ribbon cable."
            ) from None
        except (RuntimeError, OSError) as error:
            raise CameraLostError(
                f"The camera stopped ({error}); it restarts automatically."
            ) from error
        try:
            return request.make_array(stream), request.get_metadata()
        finally:
            request.release()
