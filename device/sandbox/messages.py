"""What a decoding process is asked and answers: one packet of JSON each, with file descriptors beside it.

The bytes of a file and the arrays of a frame travel in anonymous memory (memfd): the kernel frees it with the last
process that holds it, whichever is killed first.
"""

import dataclasses
import fcntl
import math
import mmap
import os
import socket
import typing
from typing import Any, Literal

import msgspec
import numpy as np

from device.counting.reading import AS_THE_FILE_SAYS, Reading
from device.counting.records import Frame, as_three_channels
from device.imageio.header import Header

_SEALS = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE
_PACKET_BYTES = 150_000
"""Below the kernel's usual limit for one packet (212,992)."""
_ALIGNED_BYTES = 64
_AHEAD_BYTES = 12_000_000
"""More would be in memory twice while what is drawn on a picture is looked for, which takes memory too."""
_KINDS = typing.get_type_hints(Frame)
"""Of its fields; looking them up takes half a millisecond, which no image needs to pay."""


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """A question; the file's descriptor comes with it.

    Attributes:
        what: the header alone, or the whole frame.
        name: of the image, for its messages.
        reading: which picture of the file, and the range of its samples.
        memory_bytes: how much address space the process may take besides what it has.
    """

    what: Literal["header", "frame"]
    name: str
    memory_bytes: int
    reading: Reading = AS_THE_FILE_SAYS


class Array(msgspec.Struct, frozen=True, kw_only=True):
    """Where an array lies; `grey` ones have a third axis of length 3 and no step along it."""

    dtype: str
    shape: tuple[int, ...]
    offset: int
    grey: bool = False


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """An answer; the descriptor of a frame's arrays comes with it.

    Attributes:
        resident_bytes: what the process holds now.
        refused: the sentence of an InputError.
        failed: the unexpected error that was raised.
        out_of_memory: the limit was reached.
        header: or None.
        fields: of the frame, without its arrays.
        arrays: by field.
    """

    resident_bytes: int
    refused: str | None = None
    failed: str | None = None
    out_of_memory: bool = False
    header: Header | None = None
    fields: dict[str, Any] = {}
    arrays: dict[str, Array] = {}


def send(channel: socket.socket, message: msgspec.Struct, descriptor: int | None = None) -> None:
    """Send a message, and a copy of the descriptor."""
    descriptors = [] if descriptor is None else [descriptor]
    socket.send_fds(channel, [msgspec.json.encode(message)], descriptors)


def receive(channel: socket.socket) -> tuple[bytes, int | None]:
    """A packet and the descriptor that came with it, which is the caller's to close; b"" at the end."""
    data, descriptors, _, _ = socket.recv_fds(channel, _PACKET_BYTES, 1)
    for descriptor in descriptors:
        os.set_inheritable(descriptor, False)
    return data, descriptors[0] if descriptors else None


def memory_of(data: bytes) -> int:
    """A descriptor of anonymous memory that holds the bytes."""
    descriptor = os.memfd_create("fluocount", os.MFD_CLOEXEC)
    _write(descriptor, memoryview(data))
    return descriptor


class FrameMemory:
    """Memory that takes a frame's arrays to the other process; closed by who uses it, unless it is packed.

    Attributes:
        descriptor: of the memory.
    """

    def __init__(self) -> None:
        self.descriptor = os.memfd_create("fluocount", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        self._written: np.ndarray | None = None

    def write_ahead(self, samples: np.ndarray) -> None:
        """Write what is probably the image; a thread does it while it is found out what is drawn there."""
        if samples.flags.c_contiguous and samples.nbytes <= _AHEAD_BYTES:
            _write(self.descriptor, _bytes(samples))
            self._written = samples

    def pack(self, frame: Frame) -> tuple[dict[str, Any], dict[str, Array]]:
        """A frame's plain fields, and where its arrays lie in the memory, which is sealed."""
        fields, arrays, offset = {}, {}, 0
        for field in dataclasses.fields(frame):
            value = getattr(frame, field.name)
            if not isinstance(value, np.ndarray):
                fields[field.name] = msgspec.to_builtins(value)
                continue
            grey = value.ndim == 3 and value.strides[2] == 0
            plain = np.ascontiguousarray(value[..., 0] if grey else value)
            arrays[field.name] = Array(
                dtype=plain.dtype.str, shape=plain.shape, offset=offset, grey=grey
            )
            if offset or not self._holds(plain):
                os.lseek(self.descriptor, offset, os.SEEK_SET)
                _write(self.descriptor, _bytes(plain))
            offset += -(-plain.nbytes // _ALIGNED_BYTES) * _ALIGNED_BYTES
        os.ftruncate(self.descriptor, offset)
        fcntl.fcntl(self.descriptor, fcntl.F_ADD_SEALS, _SEALS)
        return fields, arrays

    def _holds(self, plain: np.ndarray) -> bool:
        """Whether the memory begins with that array."""
        written = self._written
        return written is not None and (
            (written.ctypes.data, written.nbytes) == (plain.ctypes.data, plain.nbytes)
        )


def unpack_frame(answer: Answer, descriptor: int) -> Frame:
    """The frame; its arrays are read-only and lie in the sealed memory.

    Raises:
        ValueError: not what `pack_frame` makes.
        msgspec.ValidationError: a field is not of its kind.
    """
    if fcntl.fcntl(descriptor, fcntl.F_GET_SEALS) & _SEALS != _SEALS:
        raise ValueError("The memory can still be changed from outside.")
    size = os.fstat(descriptor).st_size
    # Private: before Linux 6.7 sealed memory cannot be mapped as shared, and it is only read.
    flags = mmap.MAP_PRIVATE | mmap.MAP_POPULATE
    memory = mmap.mmap(descriptor, size, flags=flags, prot=mmap.PROT_READ)
    values: dict[str, Any] = {}
    for field in dataclasses.fields(Frame):
        if field.name in answer.arrays:
            values[field.name] = _array(memory, answer.arrays[field.name])
        elif field.name in answer.fields:
            value, kind = answer.fields[field.name], _KINDS[field.name]
            values[field.name] = None if value is None else msgspec.convert(value, kind)
    return Frame(**values)


def _array(memory: mmap.mmap, place: Array) -> Any:
    kind = np.dtype(place.dtype)
    if kind.hasobject or min((*place.shape, place.offset), default=0) < 0:
        raise ValueError("No array of numbers.")
    plain = np.frombuffer(memory, kind, math.prod(place.shape), place.offset).reshape(place.shape)
    return as_three_channels(plain) if place.grey else plain


def _bytes(plain: np.ndarray) -> memoryview:
    return plain.reshape(-1).view(np.uint8).data


def _write(descriptor: int, rest: memoryview) -> None:
    while rest:
        rest = rest[os.write(descriptor, rest) :]
