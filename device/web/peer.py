"""Who is at the other end of a connection from this machine: the kernel knows the owner of every socket.

A reverse proxy that tells nothing about its clients looks like a browser of this machine but for its owner.
"""

import math
import os
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path

TABLES = (Path("/proc/net/tcp"), Path("/proc/net/tcp6"))
_TIME_WAIT = "06"
_FRESH_S = 0.5
"""A port goes to another program much later: the kernel keeps the pair of a closed connection for a minute."""
_PEOPLE = range(1000, 60000)
"""Ids of people's accounts on Debian and elsewhere: from UID_MIN of login.defs to below systemd's dynamic users and
nobody. System accounts, such as www-data of nginx, are below."""


def is_person(environ: Mapping[str, object]) -> bool:
    """True where the program that sent this request belongs to a person, or to the account that fluocount runs under.

    True also where this is unknown: no such table on this system, or a request that came through no socket.
    """
    port, own_port = environ.get("REMOTE_PORT"), environ.get("SERVER_PORT")
    if port is None or not sys.platform.startswith("linux"):
        return True
    owners = socket_owners(int(str(port)), int(str(own_port)))
    return bool(owners) and all(uid == os.geteuid() or uid in _PEOPLE for uid in owners)


def is_owner(environ: Mapping[str, object]) -> bool:
    """True only where the program that sent this request surely runs under the account of fluocount itself."""
    port, own_port = environ.get("REMOTE_PORT"), environ.get("SERVER_PORT")
    if port is None or not sys.platform.startswith("linux"):
        return False
    return socket_owners(int(str(port)), int(str(own_port))) == {os.geteuid()}


def socket_owners(port: int, remote_port: int) -> set[int]:
    """User ids that own sockets of this machine from `port` to `remote_port`; closed ones have no owner any more."""
    return _table.owners(port, remote_port)


class _Table:
    """The kernel's table, read once for all that are connected at about the same time.

    It has a line for every socket that was closed in the last minute too: read anew for each of a hundred uploads
    that are tried again and again, it took all of the server's time.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._read_s = -math.inf
        self._owners: dict[tuple[int, int], set[int]] = {}

    def owners(self, port: int, remote_port: int) -> set[int]:
        """User ids of the sockets between two ports."""
        pair = port, remote_port
        with self._lock:
            if pair not in self._owners or time.monotonic() - self._read_s > _FRESH_S:
                self._owners, self._read_s = _read_owners(), time.monotonic()
            return set(self._owners.get(pair, ()))


_table = _Table()


def _read_owners() -> dict[tuple[int, int], set[int]]:
    """User ids by local and remote port."""
    owners: dict[tuple[int, int], set[int]] = {}
    for table in TABLES:
        try:
            lines = table.read_text(encoding="ascii").splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            # number, local address:port, remote address:port, state, queues, timer, retransmits, user id, ...
            fields = line.split(None, 8)
            if fields[3] != _TIME_WAIT:
                pair = _port(fields[1]), _port(fields[2])
                owners.setdefault(pair, set()).add(int(fields[7]))
    return owners


def _port(address: str) -> int:
    return int(address.rpartition(":")[2], 16)
