"""The button wired into the whole appliance: a real edge on a mock pin becomes a count."""

import time

import msgspec
import pytest
from appliance import make_settings, wait_for
from conftest import FakeSegmenter

from device.config import ButtonSettings
from device.errors import CameraError
from device.panel.button import led_state
from device.service import Service

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
