"""The button wired into the whole appliance: a real edge on a mock pin becomes a count."""

import io
import os
import signal
import time

import fake_picamera2
import msgspec
import pytest
from appliance import make_settings, png, wait_for
from conftest import FakeSegmenter

from device.config import ButtonSettings, CameraSettings
from device.counting.assay import Objective
from device.errors import CameraError
from device.panel.button import led_state
from device.service import Service
from device.web import create_app

BUTTON, LED, LIGHT = 17, 27, 22


def with_button(tmp_path, **button):
    settings = ButtonSettings(**({"enabled": True, "bounce_s": 0.02} | button))
    return msgspec.structs.replace(make_settings(tmp_path), button=settings)


@pytest.fixture
def service(factory, tmp_path):
    made = Service(
        with_button(tmp_path, excitation_pin=LIGHT), load_segmenter=lambda model: FakeSegmenter()
    )
    made.start()
    wait_for(lambda: made.camera.status.state == "ready")
    yield made
    made.stop()


def press(factory):
    factory.pin(BUTTON).drive_low()
    time.sleep(0.06)
    factory.pin(BUTTON).drive_high()


def finished(service):
    return [row for row in service.store.counts.search() if row.status == "done"]


def test_a_press_becomes_a_count_and_the_light_was_on_only_for_it(service, factory):
    light = factory.pin(LIGHT)
    light.clear_states()
    press(factory)
    row = wait_for(lambda: next(iter(finished(service)), None))
    assert row.origin == "capture"
    assert row.capture["true_count"] > 0
    assert service.last_refusal is None
    assert [state.state for state in light.states] == [False, True, False]


def test_a_press_counts_with_the_assay_and_the_objective_of_the_settings(factory, tmp_path):
    settings = with_button(tmp_path, assay="DAPI nuclei", objective="40x")
    made = Service(settings, load_segmenter=lambda model: FakeSegmenter())
    made.start()
    wait_for(lambda: made.camera.status.state == "ready")
    press(factory)
    assert "no objective '40x'" in wait_for(lambda: made.last_refusal).text
    made.store.objectives.save(Objective(name="40x", pixel_size_um=0.325), "ann")
    press(factory)
    row = wait_for(lambda: next(iter(made.store.counts.search()), None))
    assert (row.settings.assay.name, row.settings.objective.name) == ("DAPI nuclei", "40x")
    made.stop()


@pytest.fixture
def slow_pi(factory, tmp_path):
    """The appliance with picamera2's stand-in, an exposure of ten seconds, and its sensor."""
    settings = with_button(tmp_path, excitation_pin=LIGHT)
    camera = CameraSettings(kind="pi", width_px=320, height_px=240, exposure_s=10.0)
    settings = msgspec.structs.replace(settings, camera=camera)
    with fake_picamera2.installed() as sensor:
        sensor.frame_s = 10.0
        made = Service(settings, load_segmenter=lambda model: FakeSegmenter())
        made.start()
        wait_for(lambda: made.camera.status.state == "ready")
        yield made
        made.camera._camera.interrupt()  # the stand-in would end its frame first
        made.stop()


def is_lit(factory):
    return factory.pin(LIGHT).state


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGABRT])
def test_the_light_goes_off_when_the_cameras_process_ends_in_mid_exposure(slow_pi, factory, end):
    press(factory)
    wait_for(lambda: is_lit(factory))
    os.kill(slow_pi.camera._camera.pid, end)
    wait_for(lambda: not is_lit(factory))
    assert "ended by itself" in wait_for(lambda: slow_pi.last_refusal).text
    assert finished(slow_pi) == []
    wait_for(lambda: slow_pi.camera.status.state == "ready")
    assert not is_lit(factory)


def test_the_light_goes_off_when_the_cameras_process_hangs(slow_pi, factory, monkeypatch):
    monkeypatch.setattr(slow_pi.camera._camera, "_frame_s", lambda: 0.5)
    press(factory)
    wait_for(lambda: is_lit(factory))
    os.kill(slow_pi.camera._camera.pid, signal.SIGSTOP)
    wait_for(lambda: not is_lit(factory))
    assert "did not answer" in wait_for(lambda: slow_pi.last_refusal).text


def test_the_page_answers_and_images_are_counted_while_the_camera_hangs(slow_pi, factory):
    press(factory)
    wait_for(lambda: is_lit(factory))
    os.kill(slow_pi.camera._camera.pid, signal.SIGSTOP)
    client = create_app(slow_pi).test_client()
    began = time.monotonic()
    assert client.get("/api/v1/status").json["camera"]["state"] == "exposing"
    sent = client.post("/api/v1/counts", data={"image": (io.BytesIO(png()), "a.png")})
    assert sent.status_code == 202
    wait_for(lambda: finished(slow_pi))
    assert time.monotonic() - began < 10  # the exposure and its patience would have taken 36
    assert is_lit(factory)  # the exposure asked for is not over yet
    os.kill(slow_pi.camera._camera.pid, signal.SIGKILL)
    wait_for(lambda: not is_lit(factory))


def test_stopping_in_mid_exposure_switches_the_light_off(slow_pi, factory):
    press(factory)
    wait_for(lambda: is_lit(factory))
    slow_pi.camera.stop(timeout_s=0.2)
    assert not is_lit(factory)


def test_a_press_that_the_camera_refuses_is_told_on_the_page(service, factory, monkeypatch):
    def refuse():
        raise CameraError("The camera is being cleaned.")

    monkeypatch.setattr(service.camera, "capture", refuse)
    press(factory)
    refusal = wait_for(lambda: service.last_refusal)
    assert refusal.text == "The camera is being cleaned."
    assert finished(service) == []


def test_pins_that_fail_are_a_problem_and_captures_are_not_taken_in_the_dark(factory, tmp_path):
    settings = with_button(tmp_path, excitation_pin=LIGHT, led_pin=LIGHT)
    made = Service(settings, load_segmenter=lambda model: FakeSegmenter())
    made.start()
    wait_for(lambda: made.camera.status.state == "ready")
    assert "Pin 22" in {problem.code: problem.text for problem in made.problems}["button"]
    with pytest.raises(CameraError, match="light cannot be switched on"):
        made.require_accepting().capturer.capture()
    made.stop()


def test_without_the_setting_no_pin_is_touched(tmp_path):
    made = Service(make_settings(tmp_path))
    assert made.panel is None


@pytest.mark.parametrize(
    ("camera", "counting", "fault", "led"),
    [
        ("ready", False, False, "ready"),
        ("ready", True, False, "busy"),
        ("exposing", False, False, "busy"),
        ("opening", False, False, "busy"),
        ("lost", True, False, "error"),
        ("none", False, False, "error"),
        ("ready", True, True, "error"),
    ],
)
def test_led_says_whether_a_press_would_be_taken(camera, counting, fault, led):
    assert led_state(camera, counting=counting, fault=fault) == led
