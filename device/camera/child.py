"""The camera's own process: `python -m device.camera.child CHANNEL MEMORY`, two descriptors.

It owns picamera2, does what `device.camera.process` asks, one request after another, and ends with it.
It never uses the pins: the service switches the excitation light, and switches it off after any failure here.
"""

import ctypes
import logging
import mmap
import os
import signal
import socket
import sys
from contextlib import suppress
from typing import Any

import numpy as np
import numpy.typing as npt

from device.camera import messages as say
from device.camera.picamera import PiCamera
from device.errors import CameraError
from device.machine.log import set_up_logging

_log = logging.getLogger(__name__)

_SET_PARENT_DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG of prctl(2)


class CameraServer:
    """Answers requests until the channel closes.

    Args:
        channel: where requests come from.
        memory: where pictures are left.
    """

    def __init__(self, channel: socket.socket, memory: mmap.mmap) -> None:
        self._channel = channel
        self._memory = np.frombuffer(memory, np.uint8)
        self._camera: PiCamera | None = None

    def run(self) -> None:
        """Serve; returns when asked to close and when the service is gone."""
        while (request := say.receive_request(self._channel)) is not None:
            try:
                answer = self._answer(request)
            except CameraError as error:
                answer = say.Failed(type(error).__name__, str(error))
            except Exception as error:  # noqa: BLE001 - a driver raises what it likes
                _log.exception("The camera")
                answer = say.Failed(
                    "CameraError", f"The camera failed ({error}); it is opened again."
                )
            say.send(self._channel, answer)
            if isinstance(request, say.Close):
                return

    def _answer(self, request: say.Request) -> say.Answer:
        match request:
            case say.Open():
                self._camera = PiCamera(request.settings, self._progress)
                controls = self._camera.open(request.controls)
                camera = self._camera
                return say.Opened(camera.name, camera.ranges, controls, camera.field, camera.remark)
            case say.Apply():
                self._opened().apply(request.controls)
                return say.Done()
            case say.Take():
                return self._take(request.average_frames)
            case say.Look():
                return say.Seen(self._leave(self._opened().preview()))
            case say.Close():
                if self._camera is not None:
                    self._camera.close()
                return say.Done()

    def _take(self, average_frames: int) -> say.Taken:
        capture = self._opened().capture(average_frames)
        return say.Taken(
            shape=self._leave(capture.frame.image),
            source=capture.frame.source,
            sha256=capture.frame.sha256,
            controls=capture.controls,
            average_frames=capture.average_frames,
            saturated_fraction=capture.saturated_fraction,
            camera=capture.camera,
            field=capture.field,
            fixed_response=capture.fixed_response,
        )

    def _leave(self, picture: npt.NDArray[Any]) -> tuple[int, int, int]:
        """Copy a picture (H, W, 3) to the shared memory; its shape."""
        self._memory[: picture.size].reshape(picture.shape)[:] = picture
        height, width, channels = picture.shape
        return height, width, channels

    def _opened(self) -> PiCamera:
        if self._camera is None:
            raise CameraError("The camera is closed; start it first.")
        return self._camera

    def _progress(self) -> None:
        say.send(self._channel, say.Progress())


def main() -> None:
    """Serve on the descriptors of the command line."""
    # Ctrl-C in a terminal reaches every process there; this one ends when the service asks.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # A driver that hangs would keep the camera after a kill of the service.
    ctypes.CDLL(None).prctl(_SET_PARENT_DEATH_SIGNAL, signal.SIGKILL, 0, 0, 0)
    set_up_logging()
    channel = socket.socket(fileno=int(sys.argv[1]))
    descriptor = int(sys.argv[2])
    memory = mmap.mmap(descriptor, 0)
    os.close(descriptor)
    with suppress(BrokenPipeError):  # the service is gone and needs no answer
        CameraServer(channel, memory).run()


if __name__ == "__main__":
    main()
