"""One decoding process, as its parent sees it."""

import json
import os
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import msgspec

from device.errors import BusyError
from device.sandbox.messages import Answer, Job, receive, send

_START_S = 120.0
"""A Pi that is busy with something else may take half a minute to import the decoders."""
_STARVED = 15
"""How many times as long a file of the queue may take when other programs use the processors."""
_USED_UP = 0.9
"""The clock of processor time is coarse, and reading the file counts a little less than the clock on the wall."""
_LOOK_S = 0.3
_LOOKS = 10
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_STARVING = "The computer is so busy that images are not read in time; wait until it has less to do, then try again."
_BOOT = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); "
    "from device.sandbox.child import main; main(int(sys.argv[2]), int(sys.argv[3]))"
)
_ENVIRONMENT = {
    # Every thread of a mathematical library and every arena would take address space, which is limited.
    "OPENBLAS_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "MALLOC_ARENA_MAX": "1",
    # Up to 32 MB stay for the next file: new pages cost 8 of 50 ms a frame of 2 Mpx.
    "MALLOC_MMAP_THRESHOLD_": "16000000",
    "MALLOC_TRIM_THRESHOLD_": "32000000",
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

    def ask(
        self, job: Job, file: int, limit_s: float, *, hurried: bool
    ) -> tuple[Answer, int | None]:
        """An answer, and the descriptor of the memory that goes with it, which is the caller's to close.

        Args:
            job: the question.
            file: descriptor of the image.
            limit_s: processor time that it may take. Time that other programs take does not make a file bad.
            hurried: somebody waits, and is told after `limit_s` that the computer is busy.

        Raises:
            TimeoutError: it takes longer, or does nothing any more; the process must be ended.
            BusyError: other programs leave it too little time; the process must be ended.
            ProcessDied: it ended, or answered nonsense.
        """
        try:
            send(self._channel, job, file)
        except OSError as error:
            raise ProcessDied(str(error)) from None
        before_s, patience_s = self._processor_s(), limit_s * (1 if hurried else _STARVED)
        end_s = time.monotonic() + patience_s
        wait_s = limit_s
        while True:
            try:
                return self._listen(wait_s)
            except TimeoutError:
                spent_s = self._processor_s() - before_s
                if spent_s >= _USED_UP * limit_s or not self._is_at_work():
                    raise
                if time.monotonic() >= end_s:
                    raise BusyError(_STARVING) from None
            wait_s = max(min(limit_s - spent_s, end_s - time.monotonic()), _LOOK_S)

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

    def _processor_s(self) -> float:
        """Processor time of the process so far."""
        fields = self._state()
        # utime and stime are fields 14 and 15; the name, field 2, is cut off.
        return (int(fields[11]) + int(fields[12])) / _TICKS_PER_S if fields else 0.0

    def _is_at_work(self) -> bool:
        """Whether it computes, waits for the disk or for a processor; a decoder that waits for itself sleeps."""
        for _ in range(_LOOKS):
            fields = self._state()
            if fields and fields[0] in "RD":
                return True
            time.sleep(_LOOK_S / _LOOKS)
        return False

    def _state(self) -> list[str]:
        try:
            text = Path(f"/proc/{self.pid}/stat").read_text()
        except OSError:  # ended
            return []
        return text.rpartition(")")[2].split()

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
