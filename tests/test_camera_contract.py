"""One contract for every camera: simulated, none, and picamera2 through its stand-in (or a real one)."""

import os
from contextlib import nullcontext

import fake_picamera2
import msgspec
import numpy as np
import pytest

from device.camera import CameraControls, capture_tiff
from device.camera.none import NoCamera
from device.camera.picamera import PiCamera
from device.camera.process import ProcessCamera
from device.camera.ranges import LABELS
from device.camera.simulated import SimulatedCamera
from device.config import CameraSettings
from device.errors import CameraError, CameraMissingError
from device.imageio import decode_frame

SETTINGS = CameraSettings(width_px=320, height_px=240, pixel_size_um=0.65)
# On a Pi with a camera, FLUOCOUNT_REAL_CAMERA=1 runs the contract on it, too.
REAL = os.environ.get("FLUOCOUNT_REAL_CAMERA") == "1"


MAKERS = {
    "simulated": lambda: SimulatedCamera(SETTINGS, time_scale=0),
    "pi": lambda: PiCamera(SETTINGS),
    "process": lambda: ProcessCamera(SETTINGS),
}


@pytest.fixture(params=[*MAKERS, *(["real"] if REAL else [])])
def camera(request):
    """Simulated, picamera2 in this process and in one of its own, through its stand-in or the real one."""
    real = request.param == "real"
    with nullcontext() if real else fake_picamera2.installed():
        made = MAKERS["process" if real else request.param]()
        yield made
        made.close()


def controls(**changes):
    return msgspec.structs.replace(CameraControls(exposure_s=0.02), **changes)


def test_making_one_touches_no_hardware():
    assert PiCamera(SETTINGS).kind == "pi"
    assert SimulatedCamera(SETTINGS).kind == "simulated"
    assert NoCamera().kind == "none"


def test_capture_is_a_frame_of_the_size_asked_for(camera):
    camera.open(controls())
    capture = camera.capture()
    assert capture.frame.image.shape == (240, 320, 3)
    assert capture.frame.image.dtype == np.uint8
    assert capture.frame.pixel_size_um == 0.65
    assert capture.camera == camera.name
    assert len(capture.frame.sha256) == 64


def test_stain_is_amber_so_channels_are_red_green_blue(camera):
    camera.open(controls(exposure_s=0.1))
    red, green, blue = camera.capture().frame.image.reshape(-1, 3).astype(float).mean(axis=0)
    assert red > green > blue
    preview = camera.preview().reshape(-1, 3).astype(float).mean(axis=0)
    assert preview[0] > preview[1] > preview[2]
    assert preview == pytest.approx([red, green, blue], rel=0.35, abs=1.5)


def test_capture_says_which_controls_the_frame_really_had(camera):
    asked = controls(exposure_s=0.05, gain=2.0, red_gain=1.5, blue_gain=0.8)
    camera.open(asked)
    real = camera.capture().controls
    assert msgspec.structs.astuple(real) == pytest.approx(msgspec.structs.astuple(asked), rel=0.05)
    record = camera.capture().record()
    assert record["exposure_s"] == real.exposure_s
    assert record["camera"] == camera.name


def test_the_first_frame_after_a_change_has_the_new_controls(camera):
    camera.open(controls(exposure_s=0.02))
    dark = camera.capture()
    camera.apply(controls(exposure_s=0.2))
    bright = camera.capture()
    assert bright.controls.exposure_s == pytest.approx(0.2, rel=0.02)
    assert bright.frame.image.mean() > 2 * dark.frame.image.mean()


def test_gain_brightens_and_too_much_saturates(camera):
    camera.open(controls(exposure_s=0.1))
    normal = camera.capture()
    camera.apply(controls(exposure_s=0.8, gain=8.0))
    burnt = camera.capture()
    assert normal.saturated_fraction < 0.01 < burnt.saturated_fraction
    assert burnt.frame.image.mean() > 3 * normal.frame.image.mean()


def test_red_gain_acts_on_red_only(camera):
    camera.open(controls(exposure_s=0.05))
    plain = camera.preview().reshape(-1, 3).astype(float).mean(axis=0)
    camera.apply(controls(exposure_s=0.05, red_gain=2.0))
    red = camera.preview().reshape(-1, 3).astype(float).mean(axis=0)
    assert red[0] > 1.3 * plain[0]
    assert red[1] == pytest.approx(plain[1], rel=0.2, abs=1)


def test_averaging_lowers_the_noise_and_keeps_the_level(camera):
    camera.open(controls(exposure_s=0.02))
    single, mean = camera.capture(), camera.capture(16)
    assert (single.average_frames, mean.average_frames) == (1, 16)

    def noise(capture):
        green = capture.frame.image[..., 1].astype(float)
        return np.median(np.abs(np.diff(green, axis=1)))

    assert noise(mean) <= noise(single)
    assert mean.frame.image.mean() == pytest.approx(single.frame.image.mean(), rel=0.25, abs=1)


def test_preview_is_small_uint8_rgb_of_the_same_shape(camera):
    camera.open(controls())
    preview = camera.preview()
    assert preview.dtype == np.uint8
    assert preview.ndim == 3
    assert preview.shape[2] == 3
    assert preview.shape[1] <= 640
    assert preview.shape[1] / preview.shape[0] == pytest.approx(4 / 3, rel=0.05)


def test_ranges_are_ordered_and_the_controls_within(camera):
    camera.open(controls())
    for low, high in msgspec.structs.astuple(camera.ranges):
        assert 0 < low <= high
    assert camera.ranges.exposure_s[1] >= 10


@pytest.mark.parametrize("wrong", [{"exposure_s": 1e5}, {"gain": 1000.0}, {"gain": 0.1}])
def test_controls_out_of_range_are_refused_and_the_old_ones_stay(camera, wrong):
    camera.open(controls())
    with pytest.raises(CameraError, match=f"{LABELS[next(iter(wrong))]} must be"):
        camera.apply(controls(**wrong))
    assert camera.capture().controls.exposure_s == pytest.approx(0.02, rel=0.02)


def test_opens_again_after_close_and_closes_twice(camera):
    for _ in range(2):
        camera.open(controls())
        assert camera.capture().frame.height == 240
        camera.close()
        camera.close()
    with pytest.raises(CameraError, match="closed"):
        camera.capture()


def test_capture_as_a_file_keeps_pixels_and_pixel_size(camera):
    camera.open(controls())
    capture = camera.capture()
    frame = decode_frame(capture_tiff(capture), "capture.tif")
    assert np.array_equal(frame.image, capture.frame.image)
    assert frame.pixel_size_um == pytest.approx(0.65)
    assert frame.bits == 8


def test_no_camera_refuses_everything_with_a_sentence():
    camera = NoCamera()
    camera.close()
    for call in (
        lambda: camera.open(controls()),
        lambda: camera.apply(controls()),
        camera.capture,
        camera.preview,
        lambda: camera.ranges,
    ):
        with pytest.raises(CameraMissingError, match="No camera is set up"):
            call()
