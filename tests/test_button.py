"""The case on gpiozero's mock pins: real edges in, real levels out."""

import threading
import time

import msgspec
import pytest
from appliance import wait_for

from device.config import ButtonSettings
from device.errors import CameraBusyError, CameraError, PinsError
from device.panel import button as button_module
from device.panel.button import PATTERNS, Panel, power_off

BUTTON, LED, LIGHT = 17, 27, 22
SETTINGS = ButtonSettings(
    enabled=True,
    excitation_pin=LIGHT,
    bounce_s=0.03,
    hold_s=0.3,
    excitation_settle_s=0.0,
)


class Case:
    """A panel with everything it calls written down."""

    def __init__(self, factory, settings=SETTINGS, **options):
        self.pin = {number: factory.pin(number) for number in (BUTTON, LED, LIGHT)}
        self.presses, self.refusals = [], []
        self.led = "ready"
        self.answer = lambda: None
        self.dawdle = lambda: None
        calls = {
            "on_press": self._press,
            "led": self._led,
            "on_refused": self.refusals.append,
        }
        self.panel = Panel(settings, **(calls | options))

    def _press(self):
        self.presses.append(time.monotonic())
        self.answer()

    def _led(self):
        self.dawdle()
        return self.led

    def down(self):
        self.pin[BUTTON].drive_low()

    def up(self):
        self.pin[BUTTON].drive_high()

    def press(self, seconds=0.08):
        self.down()
        time.sleep(seconds)
        self.up()


@pytest.fixture
def case(factory):
    made = Case(factory)
    made.panel.open()
    yield made
    made.panel.close()


def settle(seconds=0.15):
    time.sleep(seconds)


def test_capture_happens_on_release_and_once(case):
    case.down()
    settle()
    assert case.presses == []
    case.up()
    wait_for(lambda: len(case.presses) == 1)
    settle()
    assert len(case.presses) == 1


def test_bouncing_contacts_are_one_press(case):
    for _ in range(6):
        case.down()
        time.sleep(0.004)
        case.up()
        time.sleep(0.004)
    case.down()
    settle()
    for _ in range(6):
        case.up()
        time.sleep(0.004)
        case.down()
        time.sleep(0.004)
    case.up()
    wait_for(lambda: len(case.presses) == 1)
    settle()
    assert len(case.presses) == 1


def test_a_spike_is_no_press(case):
    case.press(seconds=0.002)
    settle()
    assert case.presses == []
    assert case.refusals == []


def test_a_press_on_a_busy_computer_is_not_lost(case):
    reached, gate = threading.Event(), threading.Event()

    def dawdle():
        reached.set()
        gate.wait(5)

    case.dawdle = dawdle
    assert reached.wait(5)
    case.press()
    case.press(seconds=0.002)  # a spike stays one
    gate.set()
    wait_for(lambda: len(case.presses) == 1)
    settle()
    assert len(case.presses) == 1


def test_two_presses_are_two_captures(case):
    case.press()
    wait_for(lambda: len(case.presses) == 1)
    settle(0.05)
    case.press()
    wait_for(lambda: len(case.presses) == 2)


def test_a_press_while_busy_is_refused_visibly_and_the_first_one_goes_on(case):
    gate, done = threading.Event(), []
    case.answer = lambda: done.append(gate.wait(5))
    case.press()
    wait_for(lambda: len(case.presses) == 1)
    settle(0.05)
    case.press()
    wait_for(lambda: len(case.refusals) == 1)
    assert "is running" in case.refusals[0]
    wait_for(lambda: case.panel.shown == "refused")
    gate.set()
    wait_for(lambda: done == [True])
    assert len(case.presses) == 1


def test_a_refusal_by_the_camera_reaches_people_with_its_reason(case):
    def refuse():
        raise CameraBusyError("Another program holds the camera.")

    case.answer = refuse
    case.press()
    wait_for(lambda: case.refusals == ["Another program holds the camera."])


def test_a_bug_behind_a_press_is_not_silent_and_the_button_lives_on(case):
    case.answer = lambda: 1 / 0
    case.press()
    wait_for(lambda: len(case.refusals) == 1)
    assert "division by zero" in case.refusals[0]
    case.answer = lambda: None
    settle(0.05)
    case.press()
    wait_for(lambda: len(case.presses) == 2)


def hold_case(factory, **changes):
    held = []
    import msgspec

    settings = msgspec.structs.replace(SETTINGS, **({"shutdown_on_hold": True} | changes))
    made = Case(factory, settings, on_hold=lambda: held.append(1))
    made.panel.open()
    return made, held


@pytest.mark.parametrize("active_high", [True, False])
def test_closing_switches_the_light_off_before_its_pin_is_released(factory, active_high):
    settings = msgspec.structs.replace(SETTINGS, excitation_active_high=active_high)
    made = Case(factory, settings)
    made.panel.open()
    made.panel.light(True)
    assert made.pin[LIGHT].state is active_high
    made.pin[LIGHT].clear_states()
    made.panel.close()
    assert [state.state for state in made.pin[LIGHT].states][1] is not active_high


def test_hold_shuts_down_once_and_its_release_captures_nothing(factory):
    made, held = hold_case(factory)
    made.down()
    wait_for(lambda: held == [1])
    settle(0.4)
    made.up()
    settle()
    assert held == [1]
    assert made.presses == []
    made.press()
    wait_for(lambda: len(made.presses) == 1)
    made.panel.close()


def test_a_short_press_does_not_shut_down(factory):
    made, held = hold_case(factory)
    made.press(seconds=0.15)
    wait_for(lambda: len(made.presses) == 1)
    settle(0.4)
    assert held == []
    made.panel.close()


def test_hold_reads_the_pin_again(factory, monkeypatch):
    made, held = hold_case(factory)
    made.down()
    settle(0.1)
    # The release happened but its edge was lost.
    monkeypatch.setattr(made.pin[BUTTON], "_state", True)
    settle(0.5)
    assert held == []
    made.panel.close()


def test_where_hold_is_not_enabled_a_long_press_is_a_press(factory):
    made, held = hold_case(factory, shutdown_on_hold=False)
    made.press(seconds=0.5)
    wait_for(lambda: len(made.presses) == 1)
    assert held == []
    made.panel.close()


def test_a_button_that_is_down_at_the_start_captures_nothing(factory):
    made = Case(factory)
    pin = made.pin[BUTTON]
    drive_high = pin.drive_high
    pin.drive_high = lambda: None  # the contact is stronger than the pull-up
    pin._change_state(False)
    made.panel.open()
    pin.drive_high = drive_high
    settle(0.05)
    made.up()
    settle()
    assert made.presses == []
    made.press()
    wait_for(lambda: len(made.presses) == 1)
    made.panel.close()


def changes_of(pin, seconds):
    pin.clear_states()
    time.sleep(seconds)
    return len(pin.states) - 1


def test_led_patterns_tell_the_states_apart(case):
    led = case.pin[LED]
    wait_for(lambda: led.state)
    assert changes_of(led, 0.6) == 0
    case.led = "busy"
    wait_for(lambda: case.panel.shown == "busy")
    assert 2 <= changes_of(led, 1.6) <= 5
    case.led = "off"
    wait_for(lambda: case.panel.shown == "off")
    assert not led.state
    assert changes_of(led, 0.3) == 0
    assert len({str(pattern) for pattern in PATTERNS.values()}) == len(PATTERNS)


def test_led_flickers_after_a_refusal_then_tells_the_state_again(case, monkeypatch):
    monkeypatch.setattr(button_module, "REFUSED_S", 0.5)
    wait_for(lambda: case.panel.shown == "ready")

    def refuse():
        raise CameraError("no camera")

    case.answer = refuse
    case.press()
    wait_for(lambda: case.panel.shown == "refused")
    assert changes_of(case.pin[LED], 0.4) >= 4
    wait_for(lambda: case.panel.shown == "ready")
    assert changes_of(case.pin[LED], 0.3) == 0
    assert case.pin[LED].state


def test_a_broken_led_does_not_cost_the_button(factory):
    made = Case(factory, led=lambda: 1 / 0)
    made.panel.open()
    made.press()
    wait_for(lambda: len(made.presses) == 1)
    made.panel.close()


def test_light_is_off_at_the_start_follows_the_switch_and_is_off_at_the_end(case):
    light = case.pin[LIGHT]
    assert (light.function, light.state) == ("output", False)
    case.panel.light(True)
    assert light.state
    case.panel.light(False)
    assert not light.state
    case.panel.light(True)
    case.panel.close()
    assert light.function == "input" or not light.state


def test_light_of_a_relay_board_that_switches_on_low(factory):
    import msgspec

    made = Case(factory, msgspec.structs.replace(SETTINGS, excitation_active_high=False))
    made.panel.open()
    assert made.pin[LIGHT].state
    made.panel.light(True)
    assert not made.pin[LIGHT].state
    made.panel.close()


def test_without_its_pin_the_light_refuses_instead_of_taking_dark_pictures(factory):
    panel = Case(factory).panel
    with pytest.raises(CameraError, match="no picture is taken"):
        panel.light(True)
    panel.light(False)


def test_parts_that_are_not_fitted_are_left_alone(factory):
    settings = ButtonSettings(enabled=True, led_pin=None)
    made = Case(factory, settings)
    made.panel.open()
    made.press()
    wait_for(lambda: len(made.presses) == 1)
    made.panel.close()
    assert made.pin[LED].function == made.pin[LIGHT].function == "input"


def test_one_pin_for_two_parts_is_refused_and_nothing_stays_open(factory):
    with pytest.raises(PinsError, match="Pin 17 cannot be used with mock"):
        Panel(ButtonSettings(enabled=True, led_pin=BUTTON), on_press=lambda: None).open()
    made = Case(factory)
    made.panel.open()
    made.panel.close()


def test_opens_again_after_close(case):
    case.panel.close()
    case.panel.close()
    case.panel.open()
    case.press()
    wait_for(lambda: len(case.presses) == 1)


def test_without_gpio_the_sentence_says_what_is_needed(monkeypatch):
    monkeypatch.delenv("GPIOZERO_PIN_FACTORY", raising=False)
    from gpiozero import Device

    monkeypatch.setattr(Device, "pin_factory", None)
    try:
        import lgpio  # noqa: F401

        pytest.skip("lgpio is installed here")
    except ImportError:
        pass
    with pytest.raises(PinsError, match=r"with lgpio .*group gpio"):
        Panel(ButtonSettings(enabled=True), on_press=lambda: None).open()


def test_refused_shutdown_says_so(tmp_path, monkeypatch):
    fake = tmp_path / "systemctl"
    fake.write_text('#!/bin/sh\necho "Access denied" >&2\ntest "$1" = poweroff && exit 4\nexit 0\n')
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    with pytest.raises(PinsError, match="Access denied"):
        power_off()
