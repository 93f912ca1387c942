"""The process that decodes: one question after the other, until its parent is gone.

It is started by device.sandbox.process and imports nothing of the program but the decoders.
"""

import fcntl
import importlib
import os
import resource
import select
import socket
from pathlib import Path

import msgspec

from device.errors import InputError
from device.imageio import decode_frame
from device.imageio.decoded import unreadable
from device.imageio.header import read_header
from device.sandbox.messages import Answer, FrameMemory, Job, receive, send

_DESCRIPTORS = 64
_DECODERS = (
    *("PIL.PngImagePlugin", "PIL.JpegImagePlugin"),
    *("device.imageio.png", "device.imageio.tiff"),
)
"""What is here before the first question, so that it does not pay for the import."""
_PAGE_BYTES = resource.getpagesize()


def main(channel_number: int, lifeline: int) -> None:
    """Answer questions on a channel for as long as the other end of the lifeline is open."""
    _die_with(lifeline)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_NOFILE, (_DESCRIPTORS, _DESCRIPTORS))
    for module in _DECODERS:
        importlib.import_module(module)
    channel = socket.socket(fileno=channel_number)
    send(channel, Answer(resident_bytes=_resident_bytes()))
    while True:
        packet, file = receive(channel)
        if not packet or file is None:
            return
        answer, memory = _answer(msgspec.json.decode(packet, type=Job), file)
        os.close(file)
        send(channel, answer, memory)
        if memory is not None:
            os.close(memory)


def _die_with(lifeline: int) -> None:
    """Let the kernel end this process when the parent's end closes, whatever a decoder is doing then.

    The signal's default is to end the process. PR_SET_PDEATHSIG would depend on the thread that started us.
    """
    fcntl.fcntl(lifeline, fcntl.F_SETOWN, os.getpid())
    flags = fcntl.fcntl(lifeline, fcntl.F_GETFL)
    fcntl.fcntl(lifeline, fcntl.F_SETFL, flags | os.O_ASYNC)
    if select.select([lifeline], [], [], 0)[0]:  # it closed before the signal was asked for
        os._exit(1)


def _answer(job: Job, file: int) -> tuple[Answer, int | None]:
    """What is said to a question, and the memory that goes with it."""
    refused = failed = None
    out_of_memory = False
    try:
        _allow(job.memory_bytes)
        return _work(job, file)
    except InputError as error:
        refused, out_of_memory = str(error), isinstance(error.__context__, MemoryError)
    except MemoryError:
        out_of_memory = True
    except Exception as error:  # noqa: BLE001 - whatever it is, it costs this file only
        failed = f"{type(error).__name__}: {error}"[:1000]
    finally:
        _allow(None)
    if out_of_memory:
        return Answer(resident_bytes=_resident_bytes(), out_of_memory=True), None
    return Answer(resident_bytes=_resident_bytes(), refused=refused, failed=failed), None


def _work(job: Job, file: int) -> tuple[Answer, int | None]:
    if job.what == "header":
        with os.fdopen(os.dup(file), "rb") as stream:
            header = read_header(stream, job.name)
        return Answer(resident_bytes=_resident_bytes(), header=header), None
    try:
        data = _read(file)
    except OSError as error:
        raise unreadable(job.name, error) from None
    memory = FrameMemory()
    try:
        frame = decode_frame(data, job.name, job.reading, memory.write_ahead)
        del data
        fields, arrays = memory.pack(frame)
    except BaseException:
        os.close(memory.descriptor)
        raise
    del frame
    answer = Answer(resident_bytes=_resident_bytes(), fields=fields, arrays=arrays)
    return answer, memory.descriptor


def _read(file: int) -> bytes:
    """All of it, from its beginning."""
    with os.fdopen(os.dup(file), "rb", buffering=0) as stream:
        stream.seek(0)
        return stream.readall() or b""


def _allow(more_bytes: int | None) -> None:
    """Limit what may be taken besides what is taken; None: no limit."""
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    soft = hard
    if more_bytes is not None:
        soft = int(Path("/proc/self/statm").read_text().split()[0]) * _PAGE_BYTES + more_bytes
    resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def _resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * _PAGE_BYTES
