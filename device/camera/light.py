"""The excitation light: on only during an exposure, and off after any error."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from device.errors import CameraError

_log = logging.getLogger(__name__)

Switch = Callable[[bool], None]


@contextmanager
def lit(switch: Switch | None) -> Iterator[None]:
    """Keep the light on inside the block; None means that there is no light.

    Raises:
        CameraError: the light could not be switched off again and bleaches the sample.
    """
    if switch is None:
        yield
        return
    try:
        switch(True)
        yield
    finally:
        try:
            switch(False)
        except Exception as error:
            _log.exception("The excitation light")
            raise CameraError(
                f"The excitation light could not be switched off ({error}); switch it off by hand."
            ) from error
