"""A camera that shows synthetic neurons of known count, for demos, tests and teaching."""

import time

import numpy as np
import numpy.typing as npt
from PIL import Image

from device.camera.base import (
    CameraControls,
    Capture,
    ControlRanges,
    PreviewImage,
)
from device.camera.pictures import as_frame, mean_image, saturated_fraction
from device.camera.ranges import check_controls, fit_controls
from device.config import CameraSettings
from device.errors import CameraError
from device.synthetic import Scene, SyntheticSettings, expose, make_scene
from device.synthetic.settings import Colour

_REFERENCE_EXPOSURE_S = 0.1
"""The exposure at which a field resembles the real frames that the generator is calibrated on."""

_LONGEST_WAIT_S = 0.5
"""A simulated exposure takes its real time, but at most this long."""

_PREVIEW_WIDTH_PX = 400


class SimulatedCamera:
    """Shows one field of view until it is captured, then the next.

    The preview shows what the next capture will take. Exposure, gain and colour gains act as on a
    real sensor: with too little light noise dominates, with too much pixels saturate.

    Args:
        settings: `[camera]`; `seed` chooses the slide.
        time_scale: factor on the duration of exposures; 0 in tests.
    """

    kind = "simulated"
    name = "simulated neurons"
    remark = ""
    field = None
    ranges = ControlRanges(
        exposure_s=(0.0001, 60.0), gain=(1.0, 16.0), red_gain=(0.1, 8.0), blue_gain=(0.1, 8.0)
    )

    def __init__(self, settings: CameraSettings, time_scale: float = 1.0) -> None:
        self._settings = settings
        self._time_scale = time_scale
        self._controls: CameraControls | None = None
        self._field = 0
        self._pictures = 0
        self._scene: Scene | None = None

    def open(self, controls: CameraControls) -> CameraControls:
        """Start with these controls, each brought into its range."""
        self._controls = fit_controls(controls, self.ranges)
        return self._controls

    def apply(self, controls: CameraControls) -> None:
        """Use other controls; raises CameraError when one is out of range."""
        check_controls(controls, self.ranges)
        self._controls = controls

    def capture(self, average_frames: int = 1) -> Capture:
        """Take the field in view, then move to the next one."""
        controls = self._opened()
        scene, look = self._view(), self._look(controls)
        images = (self._expose(scene, look, controls) for _ in range(average_frames))
        image = mean_image(images, average_frames)
        source = f"simulated-{self._settings.seed}-{self._field}"
        self._field, self._scene = self._field + 1, None
        return Capture(
            frame=as_frame(image, source, self._settings.pixel_size_um),
            controls=controls,
            average_frames=average_frames,
            saturated_fraction=saturated_fraction(image),
            camera=self.name,
            true_count=scene.count,
        )

    def preview(self) -> PreviewImage:
        """The field in view, 400 pixels wide or less."""
        controls = self._opened()
        scene = self._view()
        factor = -(-scene.stain.shape[1] // _PREVIEW_WIDTH_PX)
        stain, background = (
            np.asarray(Image.fromarray(plane).reduce(factor))
            for plane in (scene.stain, scene.background)
        )
        small = Scene(stain, background, scene.labels[::factor, ::factor], scene.count)
        return self._expose(small, self._look(controls), controls)

    def close(self) -> None:
        """Close; the field stays in view."""
        self._controls = None

    def interrupt(self) -> None:
        """Nothing to do: no exposure takes long."""

    def _opened(self) -> CameraControls:
        if self._controls is None:
            raise CameraError("The simulated camera is closed; start it first.")
        return self._controls

    def _view(self) -> Scene:
        """The present field of view, drawn on first use."""
        if self._scene is None:
            self._scene = make_scene(self._seed(self._field), self._look(CameraControls()))
        return self._scene

    def _look(self, controls: CameraControls) -> SyntheticSettings:
        settings = self._settings
        scale = settings.width_px / 1600
        plain = SyntheticSettings()
        gains = (controls.red_gain, 1.0, controls.blue_gain)
        return SyntheticSettings(
            width_px=settings.width_px,
            height_px=settings.height_px,
            cell_diameter_px=max(5.0, 38 * scale),
            cells=int(np.random.default_rng([settings.seed, self._field]).integers(8, 31)),
            clumping=0.1,
            colour=_times(plain.colour, gains),
            background_colour=_times(plain.background_colour, gains),
            exposure=controls.exposure_s / _REFERENCE_EXPOSURE_S,
            gain=controls.gain,
        )

    def _expose(
        self, scene: Scene, look: SyntheticSettings, controls: CameraControls
    ) -> npt.NDArray[np.uint8]:
        time.sleep(min(controls.exposure_s, _LONGEST_WAIT_S) * self._time_scale)
        self._pictures += 1
        return expose(scene, look, self._seed(self._pictures)).astype(np.uint8, copy=False)

    def _seed(self, number: int) -> int:
        return self._settings.seed * 1_000_003 + number


def _times(colour: Colour, gains: Colour) -> Colour:
    return colour[0] * gains[0], colour[1] * gains[1], colour[2] * gains[2]
