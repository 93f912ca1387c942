"""The owner thread: wishes, previews, light, and every way in which a camera lets one down."""

import threading
import time

import fake_picamera2
import msgspec
import numpy as np
import pytest

from device.camera import CameraControls, CameraThread, ControlRanges, open_camera
from device.camera.picamera import PiCamera
from device.camera.pictures import as_frame, focus_score, saturated_fraction
from device.camera.simulated import SimulatedCamera
from device.config import CameraSettings
from device.errors import (
    CameraBusyError,
    CameraError,
    CameraLostError,
    CameraMissingError,
    InputError,
)

SETTINGS = CameraSettings(
    width_px=320,
    height_px=240,
    exposure_s=0.01,
    preview_period_s=0.02,
    lit_preview_period_s=0.05,
    viewer_timeout_s=0.4,
)


class ScriptedCamera:
    """Does what the test says: raises `trouble`, or takes `takes_s` for each picture."""

    kind, name = "simulated", "scripted"
    ranges = ControlRanges(
        exposure_s=(0.001, 1.0), gain=(1.0, 8.0), red_gain=(0.1, 4.0), blue_gain=(0.1, 4.0)
    )

    def __init__(self, takes_s=0.0):
        self.takes_s = takes_s
        self.trouble = {}
        self.calls = []
        self.threads = set()
        self.gate = threading.Event()
        self.gate.set()

    def count(self, name):
        return self.calls.count(name)

    def _do(self, name):
        self.calls.append(name)
        self.threads.add(threading.current_thread().name)
        if error := self.trouble.get(name):
            raise error

    def open(self, controls):
        self._do("open")
        self.controls = controls

    def apply(self, controls):
        self._do("apply")
        self.controls = controls

    def capture(self, average_frames=1):
        self._do("capture")
        self.gate.wait(5)
        time.sleep(self.takes_s)
        image = np.full((8, 8, 3), 7, np.uint8)
        from device.camera import Capture

        return Capture(
            frame=as_frame(image, "scripted", None),
            controls=self.controls,
            average_frames=average_frames,
            saturated_fraction=0.0,
            camera=self.name,
        )

    def preview(self):
        self._do("preview")
        time.sleep(self.takes_s)
        return np.full((8, 8, 3), self.count("preview") % 200, np.uint8)

    def close(self):
        self.calls.append("close")


@pytest.fixture
def own():
    """Start owners that are stopped at the end."""
    owners = []

    def start(camera=None, settings=SETTINGS, **options):
        owner = CameraThread(settings, camera=camera, **({"retry_s": 0.05} | options))
        owners.append(owner)
        owner.start()
        return owner

    yield start
    for owner in owners:
        owner.stop()


@pytest.fixture
def sensor():
    with fake_picamera2.installed() as hardware:
        yield hardware


def until(holds, seconds=5.0):
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.005)


def reaches(owner, state, seconds=5.0):
    until(lambda: owner.status.state == state, seconds)
    return owner.status


def test_capture_gives_a_picture_and_its_true_count(own):
    owner = own(SimulatedCamera(SETTINGS, time_scale=0))
    reaches(owner, "ready")
    first, second = owner.capture().result(5), None
    reaches(owner, "ready")
    second = owner.capture().result(5)
    assert first.true_count > 0
    assert first.frame.sha256 != second.frame.sha256
    assert owner.status.captures == 2


def test_simulated_fields_are_reproducible_and_the_preview_shows_what_is_captured_next():
    one, other = (SimulatedCamera(SETTINGS, time_scale=0) for _ in range(2))
    for camera in (one, other):
        camera.open(CameraControls())
    seen = one.preview()
    other.preview()
    first, again = one.capture(), other.capture()
    assert first.frame.sha256 == again.frame.sha256
    assert first.true_count == again.true_count
    small = first.frame.image[: seen.shape[0], : seen.shape[1]]
    assert np.corrcoef(seen.ravel(), small.ravel())[0, 1] > 0.9
    assert np.corrcoef(one.preview().ravel(), seen.ravel())[0, 1] < 0.5


def test_one_thread_only_touches_the_camera(own):
    camera = ScriptedCamera()
    owner = own(camera)
    reaches(owner, "ready")
    owner.preview_jpeg()
    owner.capture().result(5)
    owner.change(gain=2.0)
    until(lambda: camera.count("apply") == 1)
    assert camera.threads == {"camera"}


def test_a_second_capture_is_refused_while_one_is_under_way(own):
    camera = ScriptedCamera()
    owner = own(camera)
    reaches(owner, "ready")
    camera.gate.clear()
    wish = owner.capture()
    with pytest.raises(CameraBusyError, match="is running"):
        owner.capture()
    reaches(owner, "exposing")
    camera.gate.set()
    assert wish.result(5).camera == "scripted"
    assert camera.count("capture") == 1
    assert owner.capture().result(5)


def test_changed_controls_hold_for_the_next_capture_and_survive_a_restart(own, tmp_path):
    kept = tmp_path / "camera.json"
    owner = own(ScriptedCamera(), remember=kept)
    reaches(owner, "ready")
    status = owner.change(exposure_s=0.5, average_frames=4)
    assert (status.exposure_s, status.average_frames) == (0.5, 4)
    capture = owner.capture().result(5)
    assert (capture.controls.exposure_s, capture.average_frames) == (0.5, 4)
    after = CameraThread(SETTINGS, camera=ScriptedCamera(), remember=kept).status
    assert (after.exposure_s, after.gain, after.average_frames) == (0.5, 1.0, 4)


@pytest.mark.parametrize("damage", [b"", b"{", b'{"controls": {"gain": -1}, "average_frames": 1}'])
def test_damaged_memory_of_controls_falls_back_to_the_settings_and_says_so(
    tmp_path, caplog, damage
):
    kept = tmp_path / "camera.json"
    kept.write_bytes(damage)
    status = CameraThread(SETTINGS, camera=ScriptedCamera(), remember=kept).status
    assert status.exposure_s == 0.01
    assert "camera.json" in caplog.text


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"exposure_s": 5.0}, "exposure must be 0.001 to 1 s"),
        ({"gain": 0.5}, "gain must be 1 to 8"),
        ({"gain": float("nan")}, "gain must be above zero"),
        ({"average_frames": 0}, "average must be"),
        ({"average_frames": 2.5}, "whole number"),
        ({"average_frames": 65}, "average must be 1 to 64"),
        ({"focus": 1.0}, "no camera control focus"),
    ],
)
def test_values_outside_the_range_change_nothing(own, values, sentence):
    owner = own(ScriptedCamera())
    before = reaches(owner, "ready")
    with pytest.raises(InputError, match=sentence):
        owner.change(**({"red_gain": 2.0} | values))
    assert owner.status.red_gain == before.red_gain


def test_preview_runs_only_while_somebody_looks(own):
    camera = ScriptedCamera()
    owner = own(camera)
    reaches(owner, "ready")
    time.sleep(0.15)
    assert camera.count("preview") == 0
    assert owner.preview_jpeg().startswith(b"\xff\xd8")
    until(lambda: camera.count("preview") >= 4)
    until(lambda: owner.status.preview_age_s > 0.3)
    asleep = camera.count("preview")
    time.sleep(0.2)
    assert camera.count("preview") == asleep


def test_who_comes_back_sees_a_new_picture_not_the_old_one(own):
    camera = ScriptedCamera()
    owner = own(camera)
    reaches(owner, "ready")
    owner.preview_jpeg()
    until(lambda: owner.status.preview_age_s > 0.6)
    owner.preview_jpeg()
    assert owner.status.preview_age_s < 0.3


def test_twenty_viewers_cost_one_picture(own):
    camera = ScriptedCamera(takes_s=0.05)
    owner = own(camera)
    reaches(owner, "ready")
    pictures = []
    viewers = [
        threading.Thread(target=lambda: pictures.append(owner.preview_jpeg())) for _ in range(20)
    ]
    for viewer in viewers:
        viewer.start()
    for viewer in viewers:
        viewer.join()
    assert len(pictures) == 20
    assert camera.count("preview") <= 3


def test_status_never_waits_for_an_exposure(own):
    camera = ScriptedCamera()
    owner = own(camera)
    reaches(owner, "ready")
    camera.gate.clear()
    owner.capture()
    began = time.monotonic()
    assert reaches(owner, "exposing").state == "exposing"
    with pytest.raises(CameraError, match="still running"):
        owner.preview_jpeg(wait_s=0.05)
    assert time.monotonic() - began < 1
    camera.gate.set()


def test_light_is_on_only_while_exposing_and_off_after_every_trouble(own):
    camera, switched = ScriptedCamera(), []

    def switch(on):
        switched.append((on, tuple(camera.calls)))

    owner = own(camera, excitation=switch)
    reaches(owner, "ready")
    time.sleep(0.1)
    assert switched == []
    owner.capture().result(5)
    assert [on for on, _ in switched] == [True, False]
    assert "capture" not in switched[0][1]
    assert switched[1][1][-1] == "capture"
    camera.trouble["capture"] = CameraLostError("gone")
    with pytest.raises(CameraLostError):
        owner.capture().result(5)
    assert [on for on, _ in switched] == [True, False, True, False]


def test_lit_preview_is_slower_and_dark_in_between(own):
    camera, switched = ScriptedCamera(), []
    owner = own(camera, excitation=switched.append)
    reaches(owner, "ready")
    end = time.monotonic() + 0.5
    while time.monotonic() < end:
        owner.preview_jpeg()
        time.sleep(0.01)
    assert 3 <= camera.count("preview") <= 11
    until(lambda: len(switched) == 2 * camera.count("preview"))
    assert switched[::2] == [True] * (len(switched) // 2)
    assert switched[1::2] == [False] * (len(switched) // 2)


def test_a_light_that_cannot_be_switched_off_is_said_loudly(own):
    def switch(on):
        if not on:
            raise OSError("pin is gone")

    owner = own(ScriptedCamera(), excitation=switch, retry_s=5)
    reaches(owner, "ready")
    with pytest.raises(CameraError, match="switch it off by hand"):
        owner.capture().result(5)
    assert "switch it off by hand" in reaches(owner, "error").text


def test_heartbeat_notices_a_loss_before_somebody_presses(own):
    camera, switched = ScriptedCamera(), []
    owner = own(camera, heartbeat_s=0.03, excitation=switched.append)
    reaches(owner, "ready")
    until(lambda: camera.count("preview") >= 2)
    camera.trouble["preview"] = CameraLostError("no picture")
    assert reaches(owner, "lost").text == "no picture"
    assert switched == []


def test_driver_that_raises_anything_does_not_kill_the_thread(own):
    camera = ScriptedCamera()
    owner = own(camera)
    reaches(owner, "ready")
    camera.trouble["capture"] = ZeroDivisionError("in the driver")
    with pytest.raises(CameraError, match="in the driver"):
        owner.capture().result(5)
    camera.trouble.clear()
    reaches(owner, "ready")
    assert owner.capture().result(5)


def test_pauses_between_attempts_double_up_to_ten_times(own):
    camera = ScriptedCamera()
    camera.trouble["open"] = CameraMissingError("none found")
    pauses = []
    owner = own(camera, retry_s=0.01)
    end = time.monotonic() + 0.6
    while time.monotonic() < end:
        pauses.append(owner.status.retry_in_s or 0)
        time.sleep(0.001)
    assert 5 <= camera.count("open") <= 12
    assert 0.05 < max(pauses) <= 0.1


def test_stop_fails_what_is_pending_and_closes(own):
    camera = ScriptedCamera()
    owner = own(camera)
    reaches(owner, "ready")
    owner.stop()
    assert camera.calls[-1] == "close"
    with pytest.raises(CameraError, match="stopping"):
        owner.capture()


def test_without_a_camera_everything_says_so_and_nothing_runs(own):
    owner = own(settings=CameraSettings(kind="none"))
    assert owner.status.state == "none"
    for ask in (owner.capture, owner.preview_jpeg):
        with pytest.raises(CameraMissingError, match="can still upload"):
            ask()


# picamera2 and its faults


def pi_settings(**changes):
    return msgspec.structs.replace(SETTINGS, kind="pi", **changes)


def test_missing_camera_is_found_when_it_comes(own, sensor):
    sensor.present = False
    owner = own(settings=pi_settings())
    assert "ribbon cable" in reaches(owner, "missing").text
    with pytest.raises(CameraMissingError):
        owner.capture()
    sensor.present = True
    assert reaches(owner, "ready").model == "imx477"
    assert owner.capture().result(5).camera == "imx477"


def test_camera_held_by_another_program(own, sensor):
    sensor.holder = "libcamera-hello"
    owner = own(settings=pi_settings())
    assert "Another program uses the camera" in reaches(owner, "busy").text
    with pytest.raises(CameraBusyError):
        owner.preview_jpeg()
    sensor.holder = None
    reaches(owner, "ready")


@pytest.fixture
def impatient(monkeypatch):
    monkeypatch.setattr("device.camera.picamera._PATIENCE_S", 0.2)
    monkeypatch.setattr("device.camera.picamera._CLOSE_S", 0.3)
    monkeypatch.setattr("device.camera.picamera._OPEN_S", 2.0)


def test_stall_in_mid_stream_fails_the_capture_and_recovers(own, sensor, impatient):
    owner = own(settings=pi_settings(), retry_s=0.3)
    reaches(owner, "ready")
    assert owner.capture().result(5)
    sensor.stalled.set()
    began = time.monotonic()
    with pytest.raises(CameraLostError, match="sent no picture"):
        owner.capture().result(5)
    assert time.monotonic() - began < 2
    assert reaches(owner, "lost").retry_in_s is not None
    sensor.stalled.clear()
    reaches(owner, "ready")
    assert owner.capture().result(5)
    assert sensor.opened == 2


def test_stall_during_the_preview_is_seen_by_the_viewers(own, sensor, impatient):
    owner = own(settings=pi_settings(), retry_s=1.0)
    reaches(owner, "ready")
    owner.preview_jpeg()
    sensor.stalled.set()
    reaches(owner, "lost")
    with pytest.raises(CameraLostError):
        owner.preview_jpeg()
    sensor.stalled.clear()
    reaches(owner, "ready")
    assert owner.preview_jpeg()


def test_a_driver_that_never_lets_go_does_not_hold_the_owner(own, sensor, impatient, caplog):
    owner = own(settings=pi_settings())
    reaches(owner, "ready")
    sensor.hang_on_close = True
    sensor.stalled.set()
    with pytest.raises(CameraLostError):
        owner.capture().result(5)
    assert "Another program uses" in reaches(owner, "busy").text
    assert "does not close" in caplog.text


def test_a_wrongly_exposed_frame_is_taken_again(own, sensor):
    owner = own(settings=pi_settings())
    reaches(owner, "ready")
    sensor.wrong_frames = 2
    assert owner.capture().result(5).controls.exposure_s == pytest.approx(0.01)
    assert owner.status.captures == 1


def test_frames_that_stay_wrongly_exposed_are_never_counted(own, sensor):
    owner = own(settings=pi_settings())
    reaches(owner, "ready")
    sensor.exposure_factor = 0.5
    with pytest.raises(CameraError, match=r"exposure 0\.005 instead of 0\.01"):
        owner.capture().result(5)
    sensor.exposure_factor = 1.0
    reaches(owner, "ready")
    assert owner.capture().result(5)


def test_one_wrong_frame_among_averaged_ones_does_not_slip_in(own, sensor):
    owner = own(settings=pi_settings())
    reaches(owner, "ready")
    right = owner.capture().result(5).frame.image.mean()
    owner.change(average_frames=4)
    sensor.wrong_frames = 2
    assert owner.capture().result(5).frame.image.mean() == pytest.approx(right, rel=0.05)


def test_every_buffer_is_given_back(sensor):
    camera = PiCamera(pi_settings())
    camera.open(CameraControls(exposure_s=0.01))
    for _ in range(8):
        camera.preview()
        camera.capture(2)
    camera.close()
    assert sensor.holder is None


def test_odd_or_too_large_sizes_are_refused_with_a_sentence(sensor):
    for width in (321, 8000):
        camera = PiCamera(pi_settings(width_px=width))
        with pytest.raises(CameraError, match=f"does not support {width} x 240 pixels"):
            camera.open(CameraControls())
        assert sensor.holder is None


def test_usb_camera_without_fixed_exposure_is_refused(sensor):
    del sensor.offers["ExposureTime"]
    camera = PiCamera(pi_settings())
    with pytest.raises(CameraError, match="USB cameras are not supported"):
        camera.open(CameraControls())


def test_monochrome_sensor_has_no_colour_gains(sensor):
    del sensor.offers["ColourGains"]
    del sensor.offers["AwbEnable"]
    camera = PiCamera(pi_settings())
    camera.open(CameraControls(exposure_s=0.01))
    assert camera.ranges.red_gain == (1.0, 1.0)
    assert camera.capture().frame.image.shape == (240, 320, 3)
    camera.close()


def test_without_picamera2_the_sentence_names_the_package():
    with pytest.raises(CameraMissingError, match="apt install python3-picamera2"):
        PiCamera(pi_settings()).open(CameraControls())


def test_auto_never_simulates_on_a_raspberry_pi(tmp_path, monkeypatch):
    board = tmp_path / "model"
    monkeypatch.setattr("device.camera._BOARD", board)
    assert open_camera(SETTINGS).kind == "simulated"
    board.write_text("Raspberry Pi 4 Model B Rev 1.4\0")
    assert open_camera(SETTINGS).kind == "pi"


def test_focus_score_falls_as_the_picture_blurs():
    from device.synthetic import SyntheticSettings, make_frame

    look = SyntheticSettings(width_px=400, height_px=300, cell_diameter_px=19, cells=15)
    scores = [
        focus_score(make_frame(1, msgspec.structs.replace(look, blur_px=blur)).frame.image)
        for blur in (0.0, 1.0, 2.0, 4.0)
    ]
    assert scores == sorted(scores, reverse=True)
    assert scores[0] > 3 * scores[3]
    assert focus_score(np.zeros((30, 40, 3), np.uint8)) == 0


def test_saturated_fraction_counts_pixels_not_channels():
    image = np.zeros((10, 10, 3), np.uint8)
    image[0, :3] = 255
    image[1, 0, 1] = 255
    assert saturated_fraction(image) == pytest.approx(0.04)
