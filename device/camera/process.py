"""The Raspberry Pi's camera in its own process.

libcamera can hang with the interpreter's lock held, which silences every thread, and it aborts its
process on an assertion. Here that costs a restart of the camera: whoever waits longer than a frame can
take ends the process, and `open` starts a new one. A process that ended holds nothing: no camera, no
memory, no descriptors.
"""

import contextlib
import logging
import mmap
import os
import signal
import socket
import subprocess
import sys
import threading
from dataclasses import dataclass

import msgspec
import numpy as np
import numpy.typing as npt

from device import errors
from device.camera import messages as say
from device.camera.base import CameraControls, Capture, ControlRanges, PreviewImage, SensorField
from device.camera.ranges import check_controls
from device.config import CameraSettings
from device.counting.records import Frame
from device.errors import CameraError, CameraLostError

_log = logging.getLogger(__name__)

_FRAME_S = 1.5
"""How long the other process waits for a frame beyond its exposure, see picamera.frame_patience_s."""


class Patience(msgspec.Struct, frozen=True, kw_only=True):
    """How long the camera's process may be silent before it is ended, in seconds.

    Attributes:
        step_s: in a step of opening: import of picamera2, start of libcamera, configuration; a cold
            Pi 4 takes five.
        work_s: beyond the time a frame itself may take: conversion, average, hash of 12 megapixels.
        close_s: while it lets go of the camera.
        end_s: after SIGKILL; longer only where the kernel's driver hangs.
    """

    step_s: float = 30.0
    work_s: float = 5.0
    close_s: float = 5.0
    end_s: float = 2.0


class ProcessCamera:
    """A Camera whose driver runs elsewhere; `interrupt` may be called from any thread.

    Args:
        settings: `[camera]`.
        patience: how long to wait for what.
    """

    kind = "pi"

    def __init__(self, settings: CameraSettings, patience: Patience | None = None) -> None:
        self._settings = settings
        self._patience = patience or Patience()
        self._controls = CameraControls()
        self._opened: say.Opened | None = None
        self._running: _Running | None = None
        self._guard = threading.Lock()

    @property
    def name(self) -> str:
        """Model of the sensor, known after `open`."""
        return "Raspberry Pi camera" if self._opened is None else self._opened.name

    @property
    def ranges(self) -> ControlRanges:
        """What the sensor takes in its configured mode; raises CameraError before `open`."""
        if self._opened is None:
            raise CameraError("The camera has not started; its ranges are not known yet.")
        return self._opened.ranges

    @property
    def field(self) -> SensorField | None:
        """What the camera itself says."""
        return None if self._opened is None else self._opened.field

    @property
    def remark(self) -> str:
        """What the camera itself remarks."""
        return "" if self._opened is None else self._opened.remark

    @property
    def pid(self) -> int | None:
        """Number of the process, None while there is none."""
        running = self._running
        return None if running is None else running.process.pid

    def open(self, controls: CameraControls) -> CameraControls:
        """Start the process and the camera in it."""
        self.close()
        running = _start(self._settings)
        with self._guard:
            self._running = running
        try:
            answer = self._ask(say.Open(self._settings, controls), self._patience.step_s)
        except CameraError:
            self.close()
            raise
        assert isinstance(answer, say.Opened)
        self._opened, self._controls = answer, answer.controls
        return answer.controls

    def apply(self, controls: CameraControls) -> None:
        """Use other controls from the next frame on."""
        check_controls(controls, self.ranges)
        exposures_s = self._controls.exposure_s + controls.exposure_s
        self._ask(say.Apply(controls), self._patience.step_s + 2 * exposures_s)
        self._controls = controls

    def capture(self, average_frames: int = 1) -> Capture:
        """Take a picture; each of its frames has its time."""
        answer = self._ask(say.Take(average_frames), self._frame_s())
        assert isinstance(answer, say.Taken)
        fields = {name: getattr(answer, name) for name in _CAPTURE_FIELDS}
        frame = Frame(
            self._picture(answer.shape),
            answer.source,
            answer.sha256,
            pixel_size_um=self._settings.pixel_size_um,
        )
        return Capture(frame=frame, **fields)

    def preview(self) -> PreviewImage:
        """The small stream."""
        answer = self._ask(say.Look(), self._frame_s())
        assert isinstance(answer, say.Seen)
        return self._picture(answer.shape)

    def close(self) -> None:
        """Ask the process to let go of the camera, and end it in any case; bounded in time."""
        if self._running is None:
            return
        try:
            self._ask(say.Close(), self._patience.close_s + 2 * self._controls.exposure_s)
        except CameraError as error:
            _log.warning("Closing the camera: %s", error)
        self._end()

    def interrupt(self) -> None:
        """End the process; the call under way fails with CameraLostError."""
        with self._guard:
            if self._running is not None:
                self._running.process.kill()

    def _frame_s(self) -> float:
        return self._patience.work_s + _FRAME_S + 3 * self._controls.exposure_s

    def _ask(self, request: say.Request, silent_s: float) -> say.Answer:
        """Send a request and wait for its answer; progress renews the time.

        Raises:
            CameraLostError: no answer in time, or the process ended; it is gone then.
            CameraError: what the camera itself says.
        """
        running = self._running
        if running is None:
            raise CameraError("The camera is closed; start it first.")
        answer: say.Answer | None = say.Progress()
        try:
            running.channel.settimeout(silent_s)
            say.send(running.channel, request)
            while isinstance(answer, say.Progress):
                answer = say.receive_answer(running.channel)
        except TimeoutError:
            running.process.kill()  # at once: the excitation light may be on
            self._end()
            raise CameraLostError(
                f"The camera driver did not answer for {silent_s:.0f} s, so it was stopped; the "
                "camera restarts automatically. If this happens again, restart the Pi."
            ) from None
        except OSError:  # the process ended and its end of the channel with it
            answer = None
        if answer is None:
            raise CameraLostError(
                f"The camera driver ended by itself ({self._end()}); the camera restarts "
                "automatically. If this happens again, check the ribbon cable."
            )
        if isinstance(answer, say.Failed):
            raise _error(answer)
        return answer

    def _picture(self, shape: tuple[int, int, int]) -> npt.NDArray[np.uint8]:
        """A copy of the picture that lies in the shared memory."""
        assert self._running is not None
        height, width, channels = shape
        shared = np.frombuffer(self._running.memory, np.uint8, height * width * channels)
        return shared.reshape(shape).copy()

    def _end(self) -> str:
        """End the process and give back all that belongs to it; how it ended, in words."""
        with self._guard:
            running, self._running = self._running, None
        return "" if running is None else running.end(self._patience.end_s)


_CAPTURE_FIELDS = set(Capture.__struct_fields__) & set(say.Taken.__struct_fields__)


@dataclass(frozen=True, eq=False)
class _Running:
    """A process with its channel and the memory in which it leaves pictures."""

    process: "subprocess.Popen[bytes]"
    channel: socket.socket
    memory: mmap.mmap

    def end(self, wait_s: float) -> str:
        """Kill the process if it still runs and wait for its end."""
        self.channel.close()
        with contextlib.suppress(BufferError):  # somebody still looks at it; it goes with that
            self.memory.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            # Asked to close, or at its end already: it goes by itself.
            self.process.wait(0.5)
        self.process.kill()
        try:
            code = self.process.wait(wait_s)
        except subprocess.TimeoutExpired:
            # The kernel holds it; it is collected when the next process starts.
            _log.error("The camera's process %d cannot be ended; restart the Pi.", self.process.pid)
            return "it hangs in the kernel"
        return f"{signal.Signals(-code).name}" if code < 0 else f"exit status {code}"


def _start(settings: CameraSettings) -> _Running:
    """Start the process; it shares the memory for one picture, which has no name in the file system.

    Raises:
        CameraError: no process, no memory or no descriptor is to be had now.
    """
    size = settings.width_px * settings.height_px * 3
    with contextlib.ExitStack() as opened:
        try:
            ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            opened.callback(theirs.close)
            on_error = opened.enter_context(contextlib.ExitStack())
            on_error.callback(ours.close)
            descriptor = os.memfd_create("fluocount-camera")
            opened.callback(os.close, descriptor)
            os.ftruncate(descriptor, size)
            memory = mmap.mmap(descriptor, size)
            on_error.callback(memory.close)
            process = subprocess.Popen(
                # -P: the working directory is no place to import from.
                [sys.executable, "-P", "-m", "device.camera.child", *_numbers(theirs, descriptor)],
                pass_fds=(theirs.fileno(), descriptor),
                env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,  # `doctor --json` prints there; the log is standard error
            )
            on_error.pop_all()
        except OSError as error:
            raise CameraError(
                f"The camera's process cannot be started ({error}); it is tried again automatically."
            ) from error
    return _Running(process, ours, memory)


def _numbers(channel: socket.socket, descriptor: int) -> tuple[str, str]:
    return str(channel.fileno()), str(descriptor)


def _error(failed: say.Failed) -> CameraError:
    kind = getattr(errors, failed.kind, CameraError)
    return kind(failed.text) if issubclass(kind, CameraError) else CameraError(failed.text)
