"""No camera: uploads and watched folders only."""

from typing import NoReturn

from device.camera.base import CameraControls, ControlRanges
from device.errors import CameraMissingError

_SENTENCE = "No camera is set up. You can still upload images."


class NoCamera:
    """Implements the Protocol by refusing everything with the same sentence."""

    kind = "none"
    name = "none"
    remark = ""
    field = None

    @property
    def ranges(self) -> ControlRanges:
        """Raises CameraMissingError."""
        raise CameraMissingError(_SENTENCE)

    def open(self, controls: CameraControls) -> NoReturn:
        """Raises CameraMissingError."""
        raise CameraMissingError(_SENTENCE)

    def apply(self, controls: CameraControls) -> None:
        """Raises CameraMissingError."""
        raise CameraMissingError(_SENTENCE)

    def capture(self, average_frames: int = 1) -> NoReturn:
        """Raises CameraMissingError."""
        raise CameraMissingError(_SENTENCE)

    def preview(self) -> NoReturn:
        """Raises CameraMissingError."""
        raise CameraMissingError(_SENTENCE)

    def close(self) -> None:
        """Nothing to do."""

    def interrupt(self) -> None:
        """Nothing to do."""
