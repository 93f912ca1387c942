"""The interface of all cameras: values with units and ranges, and the Protocol that three classes implement."""

from typing import Any, Protocol

import msgspec
import numpy as np
import numpy.typing as npt

from device.counting.records import Frame

PreviewImage = npt.NDArray[np.uint8]
"""(height, width, 3) uint8 RGB, a few hundred pixels wide."""

MAX_AVERAGE_FRAMES = 64


class CameraControls(msgspec.Struct, frozen=True, kw_only=True):
    """How a frame is exposed. Nothing is automatic, so that intensities of frames can be compared.

    Attributes:
        exposure_s: time that light is collected, in seconds.
        gain: analogue amplification, 1 or more.
        red_gain, blue_gain: fixed white balance, relative to green.
    """

    exposure_s: float = 0.1
    gain: float = 1.0
    red_gain: float = 1.0
    blue_gain: float = 1.0


class ControlRanges(msgspec.Struct, frozen=True, kw_only=True):
    """The (lowest, highest) value of each control of a camera."""

    exposure_s: tuple[float, float]
    gain: tuple[float, float]
    red_gain: tuple[float, float]
    blue_gain: tuple[float, float]
    average_frames: tuple[int, int] = (1, MAX_AVERAGE_FRAMES)


class SensorField(msgspec.Struct, frozen=True, kw_only=True):
    """Which part of the sensor a picture shows: its µm per pixel follows from this.

    Attributes:
        mode_px: (width, height) in which the sensor was read out.
        crop_px: (x, y, width, height) of what the picture shows, in pixels of the full sensor.
        full_px: (width, height) of the whole sensor.
    """

    mode_px: tuple[int, int]
    crop_px: tuple[int, int, int, int]
    full_px: tuple[int, int]


class Capture(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """A picture and how it was really taken, from the metadata of the frame.

    Attributes:
        frame: (H, W, 3) uint8 RGB; its sha256 is that of the pixels' bytes.
        controls: real exposure and gains of the frame.
        average_frames: number of frames averaged.
        saturated_fraction: pixels with a channel at full scale, 0 to 1.
        camera: name of the sensor.
        field: part of the sensor that it shows, None where the camera does not say.
        fixed_response: brightness depends on light, exposure and gain alone, not on what else is in
            the field.
        true_count: number of cells in the field of a simulated camera, None for a real one.
    """

    frame: Frame
    controls: CameraControls
    average_frames: int
    saturated_fraction: float
    camera: str
    field: SensorField | None = None
    fixed_response: bool = True
    true_count: int | None = None

    def record(self) -> dict[str, Any]:
        """Everything except the pixels, stored with the count."""
        return msgspec.structs.asdict(self.controls) | {
            "average_frames": self.average_frames,
            "saturated_fraction": self.saturated_fraction,
            "camera": self.camera,
            "sensor_field": msgspec.to_builtins(self.field),
            "fixed_response": self.fixed_response,
            "true_count": self.true_count,
        }


class Camera(Protocol):
    """One camera. Not thread-safe: a single owner opens, uses and closes it.

    Creating one does not use the hardware. After a CameraError the owner closes the camera; `open` may
    be called again after `close`.
    """

    @property
    def kind(self) -> str:
        """`pi`, `simulated` or `none`."""

    @property
    def name(self) -> str:
        """Name of the sensor, known after `open`."""

    @property
    def ranges(self) -> ControlRanges:
        """What the controls accept, known after `open`."""

    @property
    def field(self) -> SensorField | None:
        """Part of the sensor that the open camera shows, None where it does not say."""

    @property
    def remark(self) -> str:
        """What a person should know about the open camera, in a sentence; mostly empty."""

    def open(self, controls: CameraControls) -> CameraControls:
        """Take hold of the camera and start it.

        Returns:
            The controls in use: those given, each brought into the camera's range.

        Raises:
            CameraMissingError: there is none.
            CameraBusyError: another program uses it.
            CameraError: it does not start.
        """

    def apply(self, controls: CameraControls) -> None:
        """Use other controls from the next frame on.

        Raises:
            CameraError: the camera does not support them.
        """

    def capture(self, average_frames: int = 1) -> Capture:
        """Take a full-size picture whose exposure begins after the call.

        Raises:
            CameraLostError: no frame arrived in time.
            CameraError: frames arrive, but not with the requested controls.
        """

    def preview(self) -> PreviewImage:
        """Take a small picture whose exposure begins after the call.

        Raises:
            CameraLostError: no frame arrived in time.
        """

    def close(self) -> None:
        """Close the camera; closing twice does nothing."""

    def interrupt(self) -> None:
        """Make a call under way in another thread end soon, if the camera can; it may fail then."""
