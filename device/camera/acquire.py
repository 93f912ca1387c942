"""Finding, making and letting go of a Picamera2, which is imported only here.

The real one leaks where its set-up fails: it stays registered with its manager and with atexit, keeps
the camera, and leaves the descriptors of its pipe open. `make` and `let_go` undo that.
"""

import logging
import os
import re
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from device.errors import CameraBusyError, CameraError, CameraMissingError

_log = logging.getLogger(__name__)

OLDEST = (0, 3, 27)
"""Before it, picamera2 may drop controls that are set before the start."""

_USB_ID = re.compile(r"/usb|-[0-9a-f]{4}:[0-9a-f]{4}$", re.IGNORECASE)
"""libcamera names a USB camera after its port, vendor and product: ...usb@0,0-1.3:1.0-046d:0825."""

_NO_USB = (
    "This is a USB camera; a camera on the ribbon cable is expected. USB cameras are not supported: "
    "take pictures with their own program and upload them."
)
_NOT_FOUND = "No camera was found; switch the Pi off and check both ends of the ribbon cable."


def import_picamera2() -> Any:
    """The class Picamera2.

    Raises:
        CameraMissingError: it cannot be imported or is too old, and what to do.
    """
    try:
        from picamera2 import Picamera2
    except ImportError as error:
        raise CameraMissingError(
            f"picamera2 cannot be imported ({error}); run `sudo apt install python3-picamera2` and "
            "create the environment with --system-site-packages."
        ) from None
    except ValueError as error:
        # simplejpeg from apt is compiled against apt's numpy.
        raise CameraMissingError(
            f"picamera2 cannot be imported ({error}); a numpy from pip hides the one from apt: "
            "install fluocount again with the constraint file of this release."
        ) from None
    _check_version()
    return Picamera2


def _check_version() -> None:
    try:
        found = version("picamera2")
    except PackageNotFoundError:
        _log.warning(
            "The version of picamera2 is unknown; %s or later is needed", _format_version(OLDEST)
        )
        return
    numbers = tuple(int(number) for number in re.findall(r"\d+", found)[:3])
    if numbers < OLDEST:
        raise CameraMissingError(
            f"picamera2 {found} is installed, {_format_version(OLDEST)} or later is needed; "
            "run `sudo apt update` and `sudo apt full-upgrade`."
        )


def _format_version(numbers: tuple[int, ...]) -> str:
    return ".".join(str(number) for number in numbers)


def find_camera(maker: Any) -> tuple[int, str]:
    """Number and model of the first camera that is not on USB.

    Raises:
        CameraMissingError: there is none, or only USB ones. They are refused here because libcamera
            aborts the process when one is asked for two streams.
    """
    found = maker.global_camera_info()
    if not found:
        raise CameraMissingError(_NOT_FOUND)
    for number, camera in enumerate(found):
        if not _USB_ID.search(str(camera.get("Id", ""))):
            return number, str(camera.get("Model", "Raspberry Pi camera"))
    raise CameraMissingError(_NO_USB)


def make(maker: Any, number: int, tuning: str | None) -> Any:
    """Open a camera: `Picamera2(number, tuning=tuning)`, but nothing stays behind when it fails.

    Raises:
        CameraBusyError, CameraMissingError, CameraError: which of them fits.
    """
    # In two steps, so that the unfinished object is available if its constructor fails.
    camera = maker.__new__(maker)
    try:
        camera.__init__(number, tuning=tuning)
    except Exception as error:
        let_go(camera)
        raise _opening_error(error) from error
    # libcamera's virtual camera has no colour filter either, but takes two streams; the contract of
    # cameras runs on it without a Pi.
    virtual = str(getattr(camera.camera, "id", "")).startswith("Virtual")
    if "ColorFilterArrangement" not in camera.camera_properties and not virtual:
        let_go(camera)
        raise CameraMissingError(_NO_USB)
    return camera


def let_go(camera: Any) -> None:
    """Close a Picamera2, half made or not, with everything that it holds; never raises."""
    with suppress(AttributeError):  # a half-made one has no lock yet
        # A job that timed out would make close() wait for a frame that never comes.
        camera.cancel_all_and_flush()
    try:
        camera.close()
    except Exception as error:  # noqa: BLE001 - the driver raises what it likes, and memory may be short
        _log.warning("Closing the camera: %s", str(error))  # the error itself would keep the object
    reader = getattr(camera, "notifymeread", None)
    if reader is not None and not reader.closed:
        reader.close()
        os.close(camera.notifyme_w)
    manager = getattr(camera, "_cm", None)
    for number, held in list(getattr(manager, "cameras", {}).items()):
        if held is camera and manager is not None:
            manager.cleanup(number)


def _opening_error(error: BaseException) -> CameraError:
    """Which CameraError a failed Picamera2() means; the reason hides in the chain of causes."""
    reasons = []
    cause: BaseException | None = error
    while cause is not None:
        reasons.append(str(cause))
        cause = cause.__cause__ or cause.__context__
    text = "; ".join(reasons)
    if "busy" in text.lower() or "in use" in text.lower():
        return CameraBusyError(
            "Another program uses the camera; close it (`fuser -v /dev/video*` names it). "
            "The camera is tried again automatically."
        )
    if isinstance(error, IndexError) or "not found" in text.lower():
        return CameraMissingError(_NOT_FOUND)
    return CameraError(f"The camera cannot be opened ({text}); it is tried again automatically.")
