"""One decoding process, as its parent sees it."""

import json
import os
import socket
import subprocess
import sys
from contextlib import suppress

import msgspec

from device.errors import BusyError
from device.sandbox.messages import Answer, Job, receive, send

_START_S = 120.0
"""A Pi that is busy with something else may take half a minute to import the decoders."""
_BOOT = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); "
    "from device.sandbox.child import main; main(int(sys.argv[2]), int(sys.argv[3]))"
)
_ENVIRONMENT = {
    # Every thread of a mathematical library and every arena would take address space, which is limited.
    "OPENBLAS_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "MALLOC_ARENA_MAX": "1",
    # Blocks of up to 16 MB stay for the next file: new pages cost 8 of 60 ms a frame of 2 Mpx.
    "MALLOC_MMAP_THRESHOLD_": "16000000",
    "MALLOC_TRIM_THRESHOLD_": "16000000",
}
_LEAKED_BYTES = 150_000_000
"""A process that holds so much more than after its start has lost memory to a decoder, and is replaced."""


class ProcessDied(Exception):  # noqa: N818 - not an error of the program
    """The process ended in the middle of a question, or answered nonsense."""


class DecodingProcess:
    """A process that waits for questions.

    It is being started when the constructor returns.

    Raises:
        BusyError: the system starts no process now.
    """

    def __init__(self) -> None:
        here, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        lifeline, self._lifeline = os.pipe()
        self._channel = here
        self._idle_bytes: int | None = None
        try:
            self._process = subprocess.Popen(
                [
                    *(sys.executable, "-P", "-c", _BOOT, json.dumps(sys.path)),
                    *(str(there.fileno()), str(lifeline)),
                ],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                pass_fds=(there.fileno(), lifeline),
                env=os.environ | _ENVIRONMENT,
                start_new_session=True,  # Ctrl-C is for the program alone
            )
        except OSError as error:
            self._channel.close()
            os.close(self._lifeline)
            raise BusyError(
                f"No process can be started now ({error.strerror}); wait a moment."
            ) from None
        finally:
            there.close()
            os.close(lifeline)

    @property
    def pid(self) -> int:
        """Number of the process."""
        return self._process.pid

    def is_alive(self) -> bool:
        """False once it ended."""
        return self._process.poll() is None

    def wait_until_ready(self) -> None:
        """Wait for the end of its start.

        Raises:
            BusyError: it does not start.
        """
        if self._idle_bytes is not None:
            return
        try:
            answer, _ = self._listen(_START_S)
        except (TimeoutError, ProcessDied):
            raise BusyError(
                "The process that reads images does not start; details are in the log. Restart the instrument."
            ) from None
        self._idle_bytes = answer.resident_bytes

    def ask(self, job: Job, file: int, limit_s: float) -> tuple[Answer, int | None]:
        """An answer, and the descriptor of the memory that goes with it, which is the caller's to close.

        Raises:
            TimeoutError: it takes longer; the process must be ended.
            ProcessDied: it ended, or answered nonsense.
        """
        try:
            send(self._channel, job, file)
        except OSError as error:
            raise ProcessDied(str(error)) from None
        return self._listen(limit_s)

    def is_worn(self, answer: Answer) -> bool:
        """True when it should be replaced: it reached its limit, or keeps memory that it no longer needs."""
        grown = answer.resident_bytes - (self._idle_bytes or 0)
        return answer.out_of_memory or answer.failed is not None or grown > _LEAKED_BYTES

    def end(self) -> None:
        """Kill it and wait for its end."""
        self._process.kill()
        self._process.wait()
        self._channel.close()
        with suppress(OSError):
            os.close(self._lifeline)

    def abandon(self) -> None:
        """After a fork: let go of it without ending it."""
        self._channel.close()
        os.close(self._lifeline)

    def _listen(self, limit_s: float) -> tuple[Answer, int | None]:
        self._channel.settimeout(limit_s)
        try:
            packet, memory = receive(self._channel)
        except TimeoutError:
            raise
        except OSError as error:
            raise ProcessDied(str(error)) from None
        try:
            return msgspec.json.decode(packet, type=Answer), memory
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            if memory is not None:
                os.close(memory)
            raise ProcessDied(f"no answer ({error})") from None
