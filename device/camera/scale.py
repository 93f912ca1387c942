"""Whether `pixel_size_um` still holds: it was measured with one sensor, one picture size and one field."""

from pathlib import Path

import msgspec

from device.camera.base import SensorField
from device.camera.memory import load_scale, save_scale
from device.config import CameraSettings


class Scale(msgspec.Struct, frozen=True, kw_only=True):
    """What a pixel size was set for.

    Attributes:
        pixel_size_um: as set.
        camera: name of the sensor.
        size_px: (width, height) of the picture.
        crop_px: (x, y, width, height) of the sensor that the mode saw.
    """

    pixel_size_um: float
    camera: str
    size_px: tuple[int, int]
    crop_px: tuple[int, int, int, int]

    @property
    def sensor_pixels(self) -> float:
        """Width of a pixel of the picture in pixels of the sensor; another shape is cut, not squeezed."""
        pairs = zip(self.crop_px[2:], self.size_px, strict=True)
        return min(seen / pixels for seen, pixels in pairs)

    @property
    def words(self) -> str:
        """The camera and the size, for people."""
        return f"{self.camera} at {self.size_px[0]} x {self.size_px[1]} pixels"


def check_scale(
    settings: CameraSettings, camera: str, field: SensorField | None, path: Path | None
) -> str:
    """A sentence where the pixel size was set for another camera or field, else an empty one.

    The first camera that opens after a change of `pixel_size_um` is taken for the one that it was
    measured with, and kept in the file.

    Args:
        settings: `[camera]`.
        camera: name of the sensor that opened.
        field: what it shows, None where it does not say.
        path: file that keeps what a person chose; None forgets it.
    """
    if settings.pixel_size_um is None or field is None or path is None:
        return ""
    now = Scale(
        pixel_size_um=settings.pixel_size_um,
        camera=camera,
        size_px=(settings.width_px, settings.height_px),
        crop_px=field.crop_px,
    )
    before = load_scale(path, Scale)
    if before is None or before.pixel_size_um != now.pixel_size_um:
        save_scale(now, path)
        return ""
    # Half a percent of length is less than the pixel size can be measured to.
    same = abs(now.sensor_pixels / before.sensor_pixels - 1) < 0.005
    if before.camera == now.camera and same:
        return ""
    return (
        f"The pixel size of {now.pixel_size_um:g} µm was set for {before.words}, but this is {now.words}: "
        "measure the pixel size again and change it in the settings."
    )
