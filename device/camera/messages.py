"""What the service and the camera's process say to each other, one message a datagram.

Pictures are not sent here: they are in memory that both processes share.
"""

import socket

import msgspec

from device.camera.base import CameraControls, ControlRanges, SensorField
from device.config import CameraSettings

LARGEST = 65536


class Open(msgspec.Struct, frozen=True, tag=True):
    """Open the camera of these settings; answered by Opened."""

    settings: CameraSettings
    controls: CameraControls


class Apply(msgspec.Struct, frozen=True, tag=True):
    """Use other controls; answered by Done."""

    controls: CameraControls


class Take(msgspec.Struct, frozen=True, tag=True):
    """Take a full picture; answered by Taken."""

    average_frames: int


class Look(msgspec.Struct, frozen=True, tag=True):
    """Take a small picture; answered by Seen."""


class Close(msgspec.Struct, frozen=True, tag=True):
    """Close the camera and end; answered by Done."""


Request = Open | Apply | Take | Look | Close


class Progress(msgspec.Struct, frozen=True, tag=True):
    """A step is done, more follow."""


class Opened(msgspec.Struct, frozen=True, tag=True):
    """The camera is open."""

    name: str
    ranges: ControlRanges
    controls: CameraControls
    field: SensorField | None
    remark: str


class Taken(msgspec.Struct, frozen=True, tag=True, kw_only=True):
    """A full picture lies in the shared memory; the fields are those of Capture and its Frame."""

    shape: tuple[int, int, int]
    source: str
    sha256: str
    controls: CameraControls
    average_frames: int
    saturated_fraction: float
    camera: str
    field: SensorField | None
    fixed_response: bool


class Seen(msgspec.Struct, frozen=True, tag=True):
    """A small picture lies in the shared memory."""

    shape: tuple[int, int, int]


class Done(msgspec.Struct, frozen=True, tag=True):
    """It is done."""


class Failed(msgspec.Struct, frozen=True, tag=True):
    """It failed; the name of a CameraError's class and its sentence."""

    kind: str
    text: str


Answer = Progress | Opened | Taken | Seen | Done | Failed


def send(channel: socket.socket, message: Request | Answer) -> None:
    """Send one message."""
    channel.send(msgspec.msgpack.encode(message))


def receive_request(channel: socket.socket) -> Request | None:
    """The next request; None when the other end is gone."""
    data = channel.recv(LARGEST)
    return msgspec.msgpack.decode(data, type=Request) if data else None


def receive_answer(channel: socket.socket) -> Answer | None:
    """The next answer; None when the other end is gone. Raises TimeoutError as the channel is set."""
    data = channel.recv(LARGEST)
    return msgspec.msgpack.decode(data, type=Answer) if data else None
