"""An image file that is open, and decoded elsewhere."""

import logging
import os
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal, Self

from device.counting.reading import AS_THE_FILE_SAYS, Reading
from device.counting.records import Frame
from device.errors import InputError
from device.imageio.decoded import unreadable
from device.imageio.header import Header
from device.machine.files import display_name
from device.sandbox.messages import Answer, Job, memory_of, unpack_frame
from device.sandbox.pool import decoders
from device.sandbox.process import ProcessDied
from device.sandbox.room import PATIENCE_S, memory_mb

LIMIT_S = 20.0
"""Processor time that a file may take, its header included."""
REQUEST_LIMIT_S = 14.0
"""The same where somebody waits for the answer: with the waiting for others, below 20 s."""
_SLACK_BYTES = 200_000_000
"""Address space for threads' stacks and for what libraries load with the first file of a kind."""

_MOST_BYTES = 1 << 40
"""A header may claim any size; the decoders refuse it, but the kernel takes no number above 63 bits."""

_log = logging.getLogger(__name__)


class ImageFile:
    """An image file that is open; made by `open_image`.

    Attributes:
        patience_s: how long to wait for others; None: as long as it takes.
    """

    def __init__(self, descriptor: int, name: str, reading: Reading, limit_s: float) -> None:
        self._file = descriptor
        self._name = name
        self._reading = reading
        self._limit_s = limit_s
        self._left_s = limit_s
        self.patience_s: float | None = None
        self._header: Header | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        os.close(self._file)

    def header(self) -> Header:
        """Sizes as the file's header tells them.

        Raises:
            InputError: no image, damaged, or too much for the decoders.
            BusyError: other files take too long.
        """
        if self._header is None:
            answer, _ = self._ask("header", 3 * os.fstat(self._file).st_size)
            assert answer.header is not None
            self._header = answer.header
        return self._header

    @contextmanager
    def reserve(self, needed_mb: float) -> Iterator[None]:
        """Wait for memory that all images of this process share, and give it back at the end.

        Raises:
            BusyError: others take it for too long.
        """
        begin_s = time.monotonic()
        with memory_mb.take(needed_mb, self.patience_s):
            self._spend_patience(time.monotonic() - begin_s)
            yield

    def frame(self) -> Frame:
        """The frame; its arrays are read-only.

        Raises:
            InputError, BusyError: as `header`; also outside the size limits.
        """
        header = self.header()
        answer, memory = self._ask("frame", 2 * header.file_bytes + header.decode_bytes)
        if memory is None:
            raise self._too_much("gave no frame")
        try:
            return unpack_frame(answer, memory)
        finally:
            os.close(memory)

    def _ask(
        self, what: Literal["header", "frame"], memory_bytes: int
    ) -> tuple[Answer, int | None]:
        memory_bytes = min(memory_bytes + _SLACK_BYTES, _MOST_BYTES)
        job = Job(what=what, name=self._name, reading=self._reading, memory_bytes=memory_bytes)
        try:
            answer, memory = self._ask_once(job)
        except ProcessDied:
            # Perhaps it was not this file's fault: the system may have ended it to have its memory.
            try:
                answer, memory = self._ask_once(job)
            except ProcessDied:
                raise self._too_much("makes the decoder crash") from None
        if answer.refused is not None:
            raise InputError(answer.refused)
        if answer.out_of_memory:
            raise self._too_much("needs far more memory than its size explains")
        if answer.failed is not None:
            _log.error("%s could not be decoded: %s", self._name, answer.failed)
            raise self._too_much("cannot be read for an unexpected reason (see the log)")
        return answer, memory

    def _ask_once(self, job: Job) -> tuple[Answer, int | None]:
        begin_s = time.monotonic()
        try:
            answer, memory, spent_s = decoders.ask(
                job, self._file, max(self._left_s, 0.1), self.patience_s
            )
        except TimeoutError:
            raise self._too_much(f"takes longer than {self._limit_s:.0f} s to read") from None
        except ProcessDied:
            self._left_s -= time.monotonic() - begin_s
            raise
        self._left_s -= spent_s
        self._spend_patience(time.monotonic() - begin_s - spent_s)
        return answer, memory

    def _spend_patience(self, seconds: float) -> None:
        if self.patience_s is not None:
            self.patience_s = max(self.patience_s - seconds, 0.0)

    def _too_much(self, what: str) -> InputError:
        return InputError(
            f"{self._name} {what}. It is damaged or not an ordinary image; export it again as PNG or plain TIFF."
        )


def open_image(
    source: Path | bytes,
    name: str,
    reading: Reading = AS_THE_FILE_SAYS,
    *,
    limit_s: float = LIMIT_S,
    request: bool = False,
) -> ImageFile:
    """Open a file, or bytes that are already in memory.

    Args:
        source: where the image is.
        name: what to call it in results and messages.
        reading: which of its pictures, and the range of its samples.
        limit_s: how long its decoding may take in all.
        request: somebody waits for the answer, who can come again: no long waiting for others.

    Raises:
        InputError: missing, unreadable, or not a file.
    """
    descriptor = memory_of(source) if isinstance(source, bytes) else _open(source, name)
    image = ImageFile(descriptor, name, reading, REQUEST_LIMIT_S if request else limit_s)
    image.patience_s = PATIENCE_S if request else None
    return image


def _open(source: Path, name: str) -> int:
    try:
        # Not blocking: a named pipe would wait for somebody who writes.
        descriptor = os.open(source, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise unreadable(name, error) from None
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise InputError(f"{name} is not a file; give an image.")
    return descriptor


def read_frame(path: Path, reading: Reading = AS_THE_FILE_SAYS) -> Frame:
    """`device.imageio.read_frame` in another process.

    Raises:
        InputError: missing, unreadable, not an image we take, damaged, outside the size limits, or too much for
            the decoders.
    """
    with open_image(path, display_name(path.name), reading) as image:
        return image.frame()


def decode_frame(data: bytes, name: str, reading: Reading = AS_THE_FILE_SAYS) -> Frame:
    """`device.imageio.decode_frame` in another process.

    Raises:
        InputError: as `read_frame`.
    """
    with open_image(data, name, reading) as image:
        return image.frame()
