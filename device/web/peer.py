"""Who is at the other end of a connection from this machine: the kernel knows the owner of every socket.

A reverse proxy that tells nothing about its clients looks like a browser of this machine but for its owner.
"""

import os
import sys
from collections.abc import Mapping
from pathlib import Path

TABLES = (Path("/proc/net/tcp"), Path("/proc/net/tcp6"))
_TIME_WAIT = "06"
_PEOPLE = range(1000, 60000)
"""Ids of people's accounts on Debian and elsewhere: from UID_MIN of login.defs to below systemd's dynamic users and
nobody. System accounts, such as www-data of nginx, are below."""


def is_person(environ: Mapping[str, object]) -> bool:
    """True where the program that sent this request belongs to a person, or to the account that fluocount runs under.

    True also where nobody can tell: no such table on this system, or a request that came through no socket.
    """
    port, own_port = environ.get("REMOTE_PORT"), environ.get("SERVER_PORT")
    if port is None or not sys.platform.startswith("linux"):
        return True
    owners = socket_owners(int(str(port)), int(str(own_port)))
    return bool(owners) and all(uid == os.geteuid() or uid in _PEOPLE for uid in owners)


def socket_owners(port: int, remote_port: int) -> set[int]:
    """User ids that own sockets of this machine from `port` to `remote_port`; closed ones belong to nobody any more."""
    owners = set()
    for table in TABLES:
        try:
            lines = table.read_text(encoding="ascii").splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            # number, local address:port, remote address:port, state, queues, timer, retransmits, user id, ...
            fields = line.split()
            if (
                _port(fields[1]) == port
                and _port(fields[2]) == remote_port
                and fields[3] != _TIME_WAIT
            ):
                owners.add(int(fields[7]))
    return owners


def _port(address: str) -> int:
    return int(address.rpartition(":")[2], 16)
