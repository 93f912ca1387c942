"""The owner thread: requests, previews, light, and every way in which a camera lets one down."""

import gc
import json
import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import nullcontext
from pathlib import Path

import fake_picamera2
import msgspec
import numpy as np
import pytest
from appliance import wait_for

from device.camera import CameraControls, CameraThread, ControlRanges, open_camera
from device.camera.front import CameraFront
from device.camera.picamera import PiCamera
from device.camera.pictures import as_frame, focus_score, saturated_fraction
from device.camera.process import Patience, ProcessCamera
from device.camera.ranges import fit_controls
from device.camera.response import fix_response
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

    kind, name, remark = "simulated", "scripted", ""
    field = None
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
        self.controls = fit_controls(controls, self.ranges)
        return self.controls

    def apply(self, controls):
        self._do("apply")
        self.controls = controls

    def capture(self, average_frames=1):
        self._do("capture")
        self.gate.wait(5)
        if error := self.trouble.get("capture"):
            raise error
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

    def interrupt(self):
        self.calls.append("interrupt")
        self.trouble["capture"] = CameraLostError("interrupted")
        self.gate.set()


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


def reaches(owner, state, seconds=30.0):
    wait_for(lambda: owner.status.state == state, seconds)
    return owner.status


def test_capture_gives_a_picture_and_its_true_count(own):
    owner = own(SimulatedCamera(SETTINGS, time_scale=0))
    reaches(owner, "ready")
    first, second = owner.capture().result(30), None
    reaches(owner, "ready")
    second = owner.capture().result(30)
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
    owner.capture().result(30)
    owner.change(gain=2.0)
    wait_for(lambda: camera.count("apply") == 1)
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
    assert wish.result(30).camera == "scripted"
    assert camera.count("capture") == 1
    assert owner.capture().result(30)


def test_changed_controls_hold_for_the_next_capture_and_survive_a_restart(own, tmp_path):
    kept = tmp_path / "camera.json"
    owner = own(ScriptedCamera(), remember=kept)
    reaches(owner, "ready")
    status = owner.change(exposure_s=0.5, average_frames=4)
    assert (status.exposure_s, status.average_frames) == (0.5, 4)
    capture = owner.capture().result(30)
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
    wait_for(lambda: camera.count("preview") >= 4)
    wait_for(lambda: owner.status.preview_age_s > 0.3)
    asleep = camera.count("preview")
    time.sleep(0.2)
    assert camera.count("preview") == asleep


def test_who_comes_back_sees_a_new_picture_not_the_old_one(own):
    camera = ScriptedCamera()
    owner = own(camera)
    reaches(owner, "ready")
    owner.preview_jpeg()
    wait_for(lambda: owner.status.preview_age_s > 0.6)
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
    owner.capture().result(30)
    assert [on for on, _ in switched] == [True, False]
    assert "capture" not in switched[0][1]
    assert switched[1][1][-1] == "capture"
    camera.trouble["capture"] = CameraLostError("gone")
    with pytest.raises(CameraLostError):
        owner.capture().result(30)
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
    wait_for(lambda: len(switched) == 2 * camera.count("preview"))
    assert switched[::2] == [True] * (len(switched) // 2)
    assert switched[1::2] == [False] * (len(switched) // 2)


def test_a_light_that_cannot_be_switched_off_is_said_loudly(own):
    def switch(on):
        if not on:
            raise OSError("pin is gone")

    owner = own(ScriptedCamera(), excitation=switch, retry_s=5)
    reaches(owner, "ready")
    with pytest.raises(CameraError, match="switch it off by hand"):
        owner.capture().result(30)
    assert "switch it off by hand" in reaches(owner, "error").text


def test_heartbeat_notices_a_loss_before_somebody_presses(own):
    camera, switched = ScriptedCamera(), []
    owner = own(camera, heartbeat_s=0.03, excitation=switched.append)
    reaches(owner, "ready")
    wait_for(lambda: camera.count("preview") >= 2)
    camera.trouble["preview"] = CameraLostError("no picture")
    assert reaches(owner, "lost").text == "no picture"
    assert switched == []


def test_driver_that_raises_anything_does_not_kill_the_thread(own):
    camera = ScriptedCamera()
    owner = own(camera)
    reaches(owner, "ready")
    camera.trouble["capture"] = ZeroDivisionError("in the driver")
    with pytest.raises(CameraError, match="in the driver"):
        owner.capture().result(30)
    camera.trouble.clear()
    reaches(owner, "ready")
    assert owner.capture().result(30)


@pytest.mark.parametrize(
    ("error", "longest_s"),
    [(CameraBusyError("held"), 0.05), (CameraMissingError("none found"), 0.15)],
)
def test_pauses_between_attempts_double_up_to_a_limit(own, error, longest_s, monkeypatch):
    pauses, fail = [], CameraFront.fail
    monkeypatch.setattr(
        CameraFront, "fail", lambda *told: (pauses.append(told[-1]), fail(*told))[-1]
    )
    camera = ScriptedCamera()
    camera.trouble["open"] = error
    own(camera, retry_s=0.005)
    wait_for(lambda: len(pauses) >= 8)
    assert pauses[:8] == pytest.approx([min(0.005 * 2**step, longest_s) for step in range(8)])


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
    assert owner.capture().result(30).camera == "imx477"


def test_camera_held_by_another_program(own, sensor):
    sensor.other_program = True
    owner = own(settings=pi_settings())
    assert "Another program uses the camera" in reaches(owner, "busy").text
    with pytest.raises(CameraBusyError):
        owner.preview_jpeg()
    sensor.other_program = False
    reaches(owner, "ready")


def test_stall_in_mid_stream_fails_the_capture_and_recovers(own, sensor):
    owner = own(settings=pi_settings(), retry_s=0.3)
    reaches(owner, "ready")
    assert owner.capture().result(30)
    sensor.stalled = True
    began = time.monotonic()
    with pytest.raises(CameraLostError, match="sent no picture"):
        owner.capture().result(30)
    assert time.monotonic() - began < 3
    assert reaches(owner, "lost").retry_in_s is not None
    sensor.stalled = False
    reaches(owner, "ready")
    assert owner.capture().result(30)
    assert sensor.opened == 2


def test_stall_during_the_preview_is_seen_by_the_viewers(own, sensor):
    owner = own(settings=pi_settings(), retry_s=1.0)
    reaches(owner, "ready")
    owner.preview_jpeg()
    sensor.stalled = True
    reaches(owner, "lost")
    with pytest.raises(CameraLostError):
        owner.preview_jpeg()
    sensor.stalled = False
    reaches(owner, "ready")
    assert owner.preview_jpeg()


def test_a_wrongly_exposed_frame_is_taken_again(own, sensor):
    owner = own(PiCamera(pi_settings()))
    reaches(owner, "ready")
    sensor.wrong_frames = 2
    assert owner.capture().result(30).controls.exposure_s == pytest.approx(0.01)
    assert owner.status.captures == 1


def test_frames_that_stay_wrongly_exposed_are_never_counted(own, sensor):
    owner = own(PiCamera(pi_settings()))
    reaches(owner, "ready")
    sensor.exposure_factor = 0.5
    with pytest.raises(CameraError, match=r"exposure 0\.005 instead of 0\.01"):
        owner.capture().result(30)
    sensor.exposure_factor = 1.0
    reaches(owner, "ready")
    assert owner.capture().result(30)


def test_one_wrong_frame_among_averaged_ones_does_not_slip_in(own, sensor):
    owner = own(PiCamera(pi_settings()))
    reaches(owner, "ready")
    right = owner.capture().result(30).frame.image.mean()
    owner.change(average_frames=4)
    sensor.wrong_frames = 2
    assert owner.capture().result(30).frame.image.mean() == pytest.approx(right, rel=0.05)


def test_a_gain_below_the_sensors_is_raised_and_said(own, sensor):
    sensor.lowest_gain = 1.1228
    owner = own(settings=pi_settings(gain=1.0))
    status = reaches(owner, "ready")
    assert status.gain == pytest.approx(1.1228)
    assert "gain 1.123 instead of 1" in status.text
    assert owner.capture().result(30).controls.gain == pytest.approx(1.1228, rel=0.01)
    wait_for(lambda: "gain 1.123 instead of 1" in owner.status.text)
    assert "instead" not in owner.change(gain=2.0).text


def test_controls_kept_from_another_sensor_are_brought_into_range(own, tmp_path):
    kept = tmp_path / "camera.json"
    owner = own(ScriptedCamera(), remember=kept)
    reaches(owner, "ready")
    owner.change(gain=8.0, exposure_s=1.0)
    other = ScriptedCamera()
    other.ranges = msgspec.structs.replace(other.ranges, gain=(1.0, 4.0), exposure_s=(0.001, 0.5))
    status = reaches(own(other, remember=kept), "ready")
    assert (status.gain, status.exposure_s) == (4.0, 0.5)
    assert "exposure 0.5 s instead of 1 s" in status.text


def opened(own, kept, model, **settings):
    """Status of an owner whose sensor is that model."""
    fake_picamera2.SENSOR.model = model
    owner = own(PiCamera(pi_settings(**settings)), pi_settings(**settings), remember=kept)
    status = reaches(owner, "ready")
    owner.stop()
    return status


def test_a_pixel_size_that_was_set_for_another_camera_or_field_is_said(own, sensor, tmp_path):
    kept = tmp_path / "camera.json"
    first = {"pixel_size_um": 0.65}
    assert "pixel size" not in opened(own, kept, "imx477", **first).text
    assert "pixel size" not in opened(own, kept, "imx477", **first).text
    changed = opened(own, kept, "imx708", **first).text
    assert "0.65 µm was set for imx477 at 320 x 240 pixels, but this is imx708" in changed
    larger = opened(own, kept, "imx477", width_px=640, height_px=480, **first).text
    assert "but this is imx477 at 640 x 480 pixels" in larger
    assert "pixel size" not in opened(own, kept, "imx708", pixel_size_um=0.3).text  # measured again
    wide = opened(own, kept, "imx708", height_px=180, pixel_size_um=0.3)  # all of a wide sensor
    assert "pixel size" in wide.text
    assert "pixel size" in opened(own, kept, "imx477", pixel_size_um=0.3).text


def test_what_the_pixel_size_was_set_for_leaves_the_controls_to_the_settings(own, sensor, tmp_path):
    kept = tmp_path / "camera.json"
    opened(own, kept, "imx477", pixel_size_um=0.65, gain=2.0)
    assert opened(own, kept, "imx477", pixel_size_um=0.65, gain=3.0).gain == 3.0
    owner = own(PiCamera(pi_settings(pixel_size_um=0.65)), remember=kept)
    reaches(owner, "ready")
    owner.change(gain=4.0)
    owner.stop()
    assert opened(own, kept, "imx477", pixel_size_um=0.65, gain=3.0).gain == 4.0
    assert "pixel size" in opened(own, kept, "imx708", pixel_size_um=0.65).text


# The camera's process


QUICK = Patience(step_s=1.0, work_s=0.3, close_s=0.3, end_s=2.0)
"""For a camera that hangs; one that works may take its time on a busy computer."""


def in_process(**changes):
    return ProcessCamera(pi_settings(**changes))


def gone(pid):
    """No process and no zombie of that number."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


@pytest.mark.parametrize("place", ["stop", "frame"])
@pytest.mark.parametrize(("what", "words"), [("hang", "did not answer"), ("abort", "SIGABRT")])
def test_a_driver_that_hangs_or_aborts_costs_a_restart_of_the_camera(
    own, sensor, place, what, words
):
    camera, switched = in_process(), []
    owner = own(camera, excitation=switched.append)
    reaches(owner, "ready")
    pid, camera._patience = camera.pid, QUICK
    sensor.trouble = {place: what}
    if place == "stop":
        owner.change(gain=2.0)  # other controls stop the camera first
    with pytest.raises(CameraLostError, match=words):
        owner.capture().result(30)
    assert switched in ([True, False], [])  # the light is the service's, and off
    camera._patience, sensor.trouble = Patience(), {}
    reaches(owner, "ready")
    assert owner.capture().result(30)
    assert gone(pid)
    assert camera.pid != pid


@pytest.mark.parametrize(("what", "words"), [("hang", "did not answer"), ("abort", "SIGABRT")])
def test_a_driver_that_hangs_or_aborts_at_the_start_is_tried_again(own, sensor, what, words):
    camera = ProcessCamera(pi_settings(), QUICK if what == "hang" else Patience())
    sensor.trouble = {"acquire": what}
    owner = own(camera)
    wait_for(lambda: words in owner.status.text)
    camera._patience, sensor.trouble = Patience(), {}
    reaches(owner, "ready")
    assert owner.capture().result(30)


def test_the_light_goes_off_when_the_cameras_process_dies_in_mid_exposure(own, sensor):
    camera, switched = in_process(exposure_s=1.0), []
    sensor.frame_s = 30.0
    owner = own(camera, excitation=switched.append)
    reaches(owner, "ready")
    wish = owner.capture()
    wait_for(lambda: switched == [True])
    began = time.monotonic()
    os.kill(camera.pid, signal.SIGKILL)
    wait_for(lambda: switched == [True, False])
    assert time.monotonic() - began < 10
    with pytest.raises(CameraLostError, match="SIGKILL"):
        wish.result(30)


def test_stop_breaks_off_an_exposure_that_lasts_too_long_and_the_light_goes_off(sensor):
    camera, switched = in_process(exposure_s=20.0), []
    sensor.frame_s = 20.0
    owner = CameraThread(camera._settings, camera=camera, excitation=switched.append)
    owner.start()
    reaches(owner, "ready")
    wish, pid = owner.capture(), camera.pid
    wait_for(lambda: switched == [True])
    began = time.monotonic()
    owner.stop(timeout_s=0.2)
    assert time.monotonic() - began < 10  # the exposure would have taken 20
    assert switched == [True, False]
    assert gone(pid)
    with pytest.raises(CameraError):
        wish.result(0)


def test_a_driver_that_never_lets_go_is_ended(sensor):
    camera = in_process(exposure_s=0.01)
    camera.open(CameraControls(exposure_s=0.01))
    pid, camera._patience = camera.pid, QUICK
    sensor.trouble = {"close": "hang"}
    began = time.monotonic()
    camera.close()
    assert time.monotonic() - began < 10
    assert gone(pid)
    assert not sensor.held


def test_the_cameras_process_ends_with_the_service(sensor):
    service = subprocess.Popen(
        [sys.executable, "-c", _OPEN_AND_DIE],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        stdout=subprocess.PIPE,
        text=True,
    )
    pid = int(service.stdout.readline())
    os.kill(pid, signal.SIGSTOP)  # a driver that hangs does not see that the service is gone
    service.kill()
    service.communicate()
    wait_for(lambda: not sensor.held)


_OPEN_AND_DIE = """
import time
from contextlib import nullcontext
from pathlib import Path
from device.camera import CameraControls, open_camera
from device.config import CameraSettings
camera = open_camera(CameraSettings(kind="pi", width_px=320, height_px=240))
camera.open(CameraControls())
print(camera.pid, flush=True)
time.sleep(60)
"""


def test_opening_and_failing_again_and_again_leaves_nothing_behind(sensor):
    camera, seen = in_process(), []

    def held_now():
        descriptors = len(list(Path("/proc/self/fd").iterdir()))
        return descriptors, threading.active_count(), all(gone(pid) for pid in seen)

    before = None
    for trouble in ({}, {"allocator": "OSError"}, {"acquire": "abort"}, {"start": "RuntimeError"}):
        sensor.trouble = trouble
        with pytest.raises(CameraError) if trouble else nullcontext():
            camera.open(CameraControls())
            seen.append(camera.pid)
        camera.close()
        before = before or held_now()
        assert held_now() == before
    assert not sensor.held


# Set-up


@pytest.mark.parametrize(
    ("place", "kind", "times"),
    [
        ("acquire", "RuntimeError", 300),
        ("acquire", "OSError", 300),
        ("allocator", "OSError", 300),
        ("configure", "OSError", 100),
        ("configure", "MemoryError", 100),
        ("start", "OSError", 100),
        ("start", "RuntimeError", 100),
    ],
)
def test_hundreds_of_failed_openings_leak_nothing_and_the_next_one_works(
    sensor, place, kind, times
):
    camera = PiCamera(pi_settings())
    sensor.trouble = {place: kind}
    counts = []
    for _ in range(times):
        with pytest.raises(CameraError):
            camera.open(CameraControls(exposure_s=0.01))
        counts.append(len(list(Path("/proc/self/fd").iterdir())))
    assert counts[-1] == counts[0]
    gc.collect()
    assert not [one for one in gc.get_objects() if isinstance(one, fake_picamera2.Picamera2)]
    sensor.trouble = {}
    camera.open(CameraControls(exposure_s=0.01))
    assert camera.capture().frame.height == 240
    camera.close()


def test_every_buffer_is_given_back(sensor):
    camera = PiCamera(pi_settings())
    camera.open(CameraControls(exposure_s=0.01))
    for _ in range(8):
        camera.preview()
        camera.capture(2)
    camera.close()
    assert not sensor.held


@pytest.mark.parametrize(
    ("size", "would_give"), [((321, 240), "320 x 240"), ((5000, 4000), "4056 x 3040")]
)
def test_sizes_that_the_camera_adjusts_silently_are_refused_with_a_sentence(
    sensor, size, would_give
):
    camera = PiCamera(pi_settings(width_px=size[0], height_px=size[1]))
    with pytest.raises(CameraError, match=f"does not support {size[0]} x {size[1]}.*{would_give}"):
        camera.open(CameraControls())
    assert not sensor.held


@pytest.mark.parametrize(
    "hardware",
    [
        {"id": "/base/scb/pcie@7d500000/pci@0,0/usb@0,0-1.3:1.0-046d:0825"},
        {"id": "\\\\_SB_.PCI0.XHC_.RHUB.HS05-5:1.0-5986:9102"},
        {"colour_filter": False},
    ],
)
def test_a_usb_camera_is_refused_before_libcamera_aborts(sensor, hardware):
    for name, value in hardware.items():
        setattr(sensor, name, value)
    camera = PiCamera(pi_settings())
    with pytest.raises(CameraMissingError, match="USB cameras are not supported"):
        camera.open(CameraControls())
    assert not sensor.held


def test_a_camera_without_fixed_exposure_is_refused(sensor):
    sensor.without = ["ExposureTime"]
    with pytest.raises(CameraError, match="no control for ExposureTime"):
        PiCamera(pi_settings()).open(CameraControls())
    assert not sensor.held


def test_an_old_picamera2_is_refused():
    with fake_picamera2.installed("0.3.25"), pytest.raises(CameraMissingError, match=r"0\.3\.27"):
        PiCamera(pi_settings()).open(CameraControls())


def test_monochrome_sensor_has_no_colour_gains(sensor):
    sensor.without = ["ColourGains", "AwbEnable"]
    sensor.mono = True
    camera = PiCamera(pi_settings())
    camera.open(CameraControls(exposure_s=0.01))
    assert camera.ranges.red_gain == (1.0, 1.0)
    assert camera.capture().frame.image.shape == (240, 320, 3)
    camera.close()


@pytest.mark.parametrize(
    ("model", "size", "mode"),
    [
        ("imx477", (1600, 1200), (2028, 1520)),
        ("imx477", (1280, 720), (2028, 1520)),
        ("imx477", (4056, 3040), (4056, 3040)),
        ("imx219", (640, 480), (1640, 1232)),
        ("imx219", (1920, 1080), (3280, 2464)),
        ("imx708", (1280, 720), (2304, 1296)),
        ("ov5647", (640, 480), (1296, 972)),
    ],
)
def test_the_sensor_is_read_out_in_a_mode_that_sees_the_whole_field(sensor, model, size, mode):
    sensor.model = model
    camera = PiCamera(pi_settings(width_px=size[0], height_px=size[1]))
    camera.open(CameraControls(exposure_s=0.01))
    full = fake_picamera2.MODES[model][0][0]
    assert msgspec.to_builtins(camera.field) == {
        "mode_px": mode,
        "crop_px": (0, 0, *full),
        "full_px": full,
    }
    assert camera._camera.camera_configuration()["raw"] is None
    camera.close()


def test_a_field_that_stays_cut_is_said_and_recorded(sensor, monkeypatch):
    monkeypatch.setitem(fake_picamera2.MODES, "imx708", [((4608, 2592), (4608, 2592))])
    monkeypatch.setattr(fake_picamera2.Picamera2, "_choose", lambda *_: ((1536, 864), (3072, 1728)))
    sensor.model = "imx708"
    camera = PiCamera(pi_settings())
    camera.open(CameraControls(exposure_s=0.01))
    assert "only 3072 x 1728 of its 4608 x 2592 pixels" in camera.remark
    assert camera.capture().record()["sensor_field"] == {
        "mode_px": (1536, 864),
        "crop_px": (0, 0, 3072, 1728),
        "full_px": (4608, 2592),
    }
    camera.close()


def test_very_short_exposures_are_taken_with_the_digital_gain_that_makes_up_for_them(sensor):
    sensor.line_us = 19
    camera = PiCamera(pi_settings())
    camera.open(CameraControls(exposure_s=60e-6))
    real = camera.capture().controls
    assert real.exposure_s == pytest.approx(57e-6)
    assert real.exposure_s * real.gain == pytest.approx(60e-6, rel=0.02)
    camera.close()


# The response


STANDARD = {
    "version": 2.0,
    "algorithms": [
        {"rpi.black_level": {"black_level": 4096}},
        {"rpi.alsc": {"n_iter": 100, "omega": 1.3}},
        {"rpi.contrast": {"ce_enable": 1, "gamma_curve": [0, 0, 65535, 65535]}},
        {"rpi.ccm": {"ccms": [], "saturation": [0, 0.5]}},
        {"rpi.denoise": {"normal": {"tdn": {"threshold": 0.05}, "sdn": {}}}},
    ],
}


def pi_that_knows(tmp_path, sensor, *files):
    """A root with the kernel's names of a sensor and a lens, and libcamera's tuning files."""
    for number, name in enumerate([f"{sensor.model} 10-001a", "dw9807 10-000c", "unicam-image"]):
        entry = tmp_path / f"sys/class/video4linux/v4l-subdev{number}"
        entry.mkdir(parents=True)
        (entry / "name").write_text(f"{name}\n")
    (sensor.folder / "tuning").mkdir()
    for file in files:
        (sensor.folder / "tuning" / file).write_text(json.dumps(STANDARD | {"file": file}))
    return PiCamera(pi_settings(), root=tmp_path)


def level_after(camera, exposure_s):
    camera.apply(CameraControls(exposure_s=exposure_s))
    camera.capture()
    camera.apply(CameraControls(exposure_s=0.05))
    return camera.capture().frame.image.mean()


def test_brightness_does_not_depend_on_the_frame_before(tmp_path, sensor):
    camera = pi_that_knows(tmp_path, sensor, "imx477.json")
    camera.open(CameraControls())
    assert level_after(camera, 0.2) == pytest.approx(level_after(camera, 0.001), rel=0.02)
    assert camera.capture().fixed_response
    assert camera.remark == ""
    camera.close()


def test_without_a_tuning_file_the_response_is_said_not_to_be_fixed(tmp_path, sensor):
    camera = pi_that_knows(tmp_path, sensor, "imx477.json")
    (tmp_path / "sys/class/video4linux/v4l-subdev0/name").write_text("unheard-of 10-001a\n")
    camera.open(CameraControls())
    assert level_after(camera, 0.2) < 0.9 * level_after(camera, 0.001)  # it follows the scene
    assert not camera.capture().record()["fixed_response"]
    assert "tone curve follows the scene" in camera.remark
    camera.close()


def test_a_monochrome_sensor_gets_its_own_tuning(tmp_path, sensor):
    sensor.model, sensor.mono = "imx296", True
    camera = pi_that_knows(tmp_path, sensor, "imx296.json", "imx296_mono.json")
    camera.open(CameraControls())
    assert fake_picamera2.Picamera2._cm.cms["tuning"]["file"] == "imx296_mono.json"
    assert camera.remark == ""
    camera.close()


def test_only_what_follows_the_scene_is_switched_off():
    fixed = {
        name: values for one in fix_response(STANDARD)["algorithms"] for name, values in one.items()
    }
    assert fixed["rpi.contrast"] == {"ce_enable": 0, "gamma_curve": [0, 0, 65535, 65535]}
    assert fixed["rpi.alsc"] == {"n_iter": 0, "omega": 1.3}
    assert fixed["rpi.ccm"] == {"ccms": []}
    assert fixed["rpi.denoise"] == {"normal": {"sdn": {}}}
    assert fixed["rpi.black_level"] == {"black_level": 4096}
    old = {"rpi.contrast": {"ce_enable": 1}, "rpi.alsc": {"n_iter": 100}}  # version 1 of the format
    assert fix_response(old) == {"rpi.contrast": {"ce_enable": 0}, "rpi.alsc": {"n_iter": 0}}


def test_without_picamera2_the_sentence_names_the_package():
    with pytest.raises(CameraMissingError, match="apt install python3-picamera2"):
        PiCamera(pi_settings()).open(CameraControls())


def test_auto_never_simulates_on_a_raspberry_pi(tmp_path, monkeypatch):
    board = tmp_path / "model"
    monkeypatch.setattr("device.camera.choice._BOARD", board)
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
