"""Connections that strangers cannot use up.

waitress reads a request completely, wherever it comes from, before the app sees it, and stops accepting when its places
are taken. So here, within waitress's own channel and parser:

- whoever may not come in is told so after the headers; the body is not taken;
- headers, bodies and silence between requests have deadlines;
- an address holds only so many connections that have not shown who they are, and when all places are taken the one
  that waits longest of the busiest address goes, never one that is being served.
"""

import logging
import socket
import time
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import suppress
from http import HTTPStatus
from typing import Any

from waitress.channel import HTTPChannel
from waitress.parser import HTTPRequestParser
from waitress.task import WSGITask

MOST_CONNECTIONS = 200
"""Each may hold two descriptors (socket and body), and a process has 1024."""
KEPT_FREE = 8
PER_ADDRESS = 40
"""Waiting connections of one address: six for each of half a dozen browsers behind one router."""
HEADERS_S = 10.0
IDLE_S = 30.0
"""Silence between two requests; a page that is open asks every few seconds."""
BODY_GRACE_S = 20.0
BODY_BYTES_S = 10_000
"""A slow wireless network sends a hundred times as much."""
DRAIN_S = 2.0
"""After a refusal the sender gets this long to see the answer: a connection closed on unread bytes would lose it."""
_DRAIN_BLOCK = 1 << 16

Environ = dict[str, Any]
Gate = Callable[[Environ], "Refused | None"]
_log = logging.getLogger(__name__)


class Refused:
    """An answer to a request whose body was not taken, in the form that waitress's ErrorTask asks for."""

    def __init__(self, status: int, headers: Iterable[tuple[str, str]], body: bytes) -> None:
        self._status = f"{status} {HTTPStatus(status).phrase}"
        self._headers = [
            pair for pair in headers if pair[0].lower() not in ("content-length", "connection")
        ]
        self._body = body

    def to_response(self, _ident: str | None = None) -> tuple[str, list[tuple[str, str]], bytes]:
        """Status line, headers and body."""
        return self._status, self._headers, self._body


class GatedParser(HTTPRequestParser):  # type: ignore[misc]
    """Asks the gate as soon as the headers of a request with a body are there."""

    def __init__(self, adj: Any, channel: "Channel") -> None:
        super().__init__(adj)
        self._channel = channel
        self.began_s = time.monotonic()

    def received(self, data: bytes) -> int:
        """Take bytes of the request; returns how many."""
        before = self.headers_finished
        consumed = int(super().received(data))
        if self.headers_finished and not before:
            self.began_s = time.monotonic()
            if self.body_rcv is not None:
                self._ask()
        return consumed

    @property
    def phase(self) -> str:
        """`headers` until they are there, then `body`."""
        return "body" if self.headers_finished else "headers"

    def _ask(self) -> None:
        refusal = self._channel.ask_gate(self)
        if refusal is not None:
            self.error, self.completed, self.expect_continue = refusal, True, False
            self._channel.refused = True


class Channel(HTTPChannel):  # type: ignore[misc]
    """One connection.

    Attributes:
        refused: its last request was refused with its body unread.
    """

    gate: Gate

    def __init__(
        self, server: Any, sock: socket.socket, addr: Any, adj: Any, map: Any = None
    ) -> None:
        self.refused = False
        self._drain_until_s: float | None = None
        self.waits_since_s = time.monotonic()
        super().__init__(server, sock, addr, adj, map=map)
        make_room(server.active_channels.values(), len(map or ()), self)

    def parser_class(self, adj: Any) -> GatedParser:
        """waitress calls this for every request."""
        return GatedParser(adj, self)

    def ask_gate(self, request: GatedParser) -> Refused | None:
        """What the gate says to a request whose headers are there."""
        body, request.body_rcv = request.body_rcv, None
        try:
            environ = WSGITask(self, request).get_environment()
        finally:
            request.body_rcv = body
        environ["fluocount.chunked"] = request.chunked
        environ["fluocount.pending_bytes"] = sum(
            map(_body_bytes, self.server.active_channels.values())
        )
        return type(self).gate(environ)

    @property
    def is_waiting(self) -> bool:
        """True while no request is served on it and nothing of value arrives."""
        return not self.requests and not self.total_outbufs_len and self._phase != "body"

    @property
    def _phase(self) -> str:
        return "silence" if self.request is None else self.request.phase

    def overdue(self, now_s: float) -> str | None:
        """Which deadline has passed, if any."""
        if self._drain_until_s is not None:
            return "drained" if now_s > self._drain_until_s else None
        if self.requests or self.total_outbufs_len:
            return None
        request = self.request
        if request is None:
            silent_s = now_s - self.waits_since_s
            return "silence" if silent_s > (IDLE_S if self.served else HEADERS_S) else None
        took_s = now_s - request.began_s
        if request.phase == "headers":
            return "headers" if took_s > HEADERS_S else None
        slow = request.body_bytes_received < (took_s - BODY_GRACE_S) * BODY_BYTES_S
        return "body" if took_s > BODY_GRACE_S and slow else None

    served = False

    def service(self) -> None:
        """Serve a request, in a thread of the server."""
        super().service()
        self.served, self.waits_since_s = True, time.monotonic()

    def readable(self) -> bool:
        """Whether bytes are wanted."""
        return self._drain_until_s is not None or bool(super().readable())

    def writable(self) -> bool:
        """Whether there is something to send or to close."""
        return bool(super().writable()) and (self._drain_until_s is None or self.will_close)

    def handle_read(self) -> None:
        """Take bytes, or throw them away after a refusal."""
        if self._drain_until_s is None:
            super().handle_read()
            return
        try:
            left = self.recv(_DRAIN_BLOCK)
        except OSError:
            left = b""
        if not left:
            super().handle_close()

    def handle_close(self) -> None:
        """Close, after a refusal only once the other side has had time to read it."""
        if self.refused and self._drain_until_s is None and self.connected:
            self._drain_until_s = time.monotonic() + DRAIN_S
            self.will_close = self.close_when_flushed = False
            with suppress(OSError):
                self.socket.shutdown(socket.SHUT_WR)
            return
        super().handle_close()


def make_room(channels: Iterable[Channel], places: int, new: Channel) -> None:
    """Close the connection that waits longest where one address, or all together, hold too many."""
    waiting = [channel for channel in channels if channel is not new and channel.is_waiting]
    own = [channel for channel in waiting if channel.addr[0] == new.addr[0]]
    behind_proxy = new.adj.trusted_proxy == new.addr[0]  # all of its clients have that address
    if len(own) >= PER_ADDRESS and not behind_proxy:
        _close_longest(own)
    elif places >= MOST_CONNECTIONS - KEPT_FREE and waiting:
        held = Counter(channel.addr[0] for channel in waiting)
        most = max(held.values())
        _close_longest([channel for channel in waiting if held[channel.addr[0]] == most])


def close_overdue(channels: Iterable[Channel]) -> None:
    """Close connections whose deadline has passed."""
    now_s = time.monotonic()
    for channel in list(channels):
        if (which := channel.overdue(now_s)) is not None:
            if which != "silence":
                _log.info("connection of %s closed: its %s took too long", channel.addr[0], which)
            channel.refused = False  # it has had its time
            channel.will_close = True


def _close_longest(channels: list[Channel]) -> None:
    def since_s(channel: Channel) -> float:
        return channel.waits_since_s if channel.request is None else channel.request.began_s

    channel = min(channels, key=since_s)
    channel.refused = False
    channel.handle_close()


def _body_bytes(channel: Channel) -> int:
    """Bytes of bodies that were announced on a connection and are not yet worked through."""
    requests = [*channel.requests, *([] if channel.request is None else [channel.request])]
    return sum(request.content_length for request in requests if not request.error)
