"""gpiozero devices with a fixed pin factory, because gpiozero would silently fall back to another one."""

import os
from collections.abc import Callable
from typing import Any

from device.errors import PinsError

_FACTORY = "GPIOZERO_PIN_FACTORY"


def open_button(pin: int) -> Any:
    """A `gpiozero.Button` between the pin and ground; raises PinsError."""
    return _open(pin, lambda gpio: gpio.Button(pin, pull_up=True))


def open_led(pin: int) -> Any:
    """A `gpiozero.LED`, off; raises PinsError."""
    return _open(pin, lambda gpio: gpio.LED(pin, initial_value=False))


def open_output(pin: int, active_high: bool) -> Any:
    """A `gpiozero.OutputDevice`, off; raises PinsError."""
    return _open(
        pin, lambda gpio: gpio.OutputDevice(pin, active_high=active_high, initial_value=False)
    )


def _open(pin: int, make: Callable[[Any], Any]) -> Any:
    os.environ.setdefault(_FACTORY, "lgpio")
    try:
        import gpiozero

        return make(gpiozero)
    except Exception as error:
        raise PinsError(
            f"Pin {pin} cannot be used with {os.environ[_FACTORY]} ({error}). This needs a Raspberry Pi with "
            "python3-lgpio, a user in the group gpio, and a different pin for each part."
        ) from error
