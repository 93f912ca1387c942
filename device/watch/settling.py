"""Decides when a file is complete: closed by its writer, or unchanged for a while."""

import os
import stat
import threading
from dataclasses import dataclass
from pathlib import Path

PATIENCE = 15
"""A file that was opened for writing, or is empty, counts as complete after this many settle times
without a change: its writer may have died, or the file was linked into the folder."""


@dataclass(frozen=True, slots=True)
class Version:
    """What distinguishes two contents of one path without reading them."""

    size: int
    mtime_ns: int


@dataclass(slots=True)
class _Pending:
    version: Version | None
    since_s: float
    open: bool


class NotRegularError(OSError):
    """A folder, pipe or device with the name of an image."""


def look(path: Path) -> Version:
    """Size and time through an open file: on NFS that asks the server, not the attribute cache.

    Raises:
        OSError: missing, not readable, still locked by its writer, or not a regular file.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        return version_of(descriptor)
    finally:
        os.close(descriptor)


def version_of(descriptor: int) -> Version:
    """`look` for an open file."""
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        raise NotRegularError("not a regular file")
    return Version(status.st_size, status.st_mtime_ns)


class Settling:
    """The files that were noticed and not read yet. Any thread may report files.

    Args:
        settle_s: how long a file must stay unchanged, in seconds.
    """

    def __init__(self, settle_s: float) -> None:
        self._settle_s = settle_s
        self._pending: dict[Path, _Pending] = {}
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._pending)

    def __contains__(self, path: Path) -> bool:
        return path in self._pending

    def notice(self, path: Path, now_s: float, *, being_written: bool | None = None) -> None:
        """Something happened to a file.

        Args:
            path: the file.
            now_s: monotonic time.
            being_written: True while its writer has it open, False once closed or renamed, None
                if unknown.
        """
        with self._lock:
            known = self._pending.get(path)
            if known is None:
                self._pending[path] = _Pending(None, now_s, bool(being_written))
                return
            if being_written is not None:
                known.open = being_written
            if being_written:
                known.since_s = now_s

    def forget(self, path: Path) -> None:
        """Forget a file that was read, renamed or deleted."""
        with self._lock:
            self._pending.pop(path, None)

    def due(self, now_s: float) -> list[Path]:
        """Files to check now: new and unchanged ones, the longest waiting first."""
        with self._lock:
            quiet = [
                (known.since_s, path)
                for path, known in self._pending.items()
                if known.version is None or now_s - known.since_s >= self._settle_s
            ]
        return [path for _, path in sorted(quiet)]

    def complete(self, path: Path, version: Version, now_s: float) -> bool:
        """Record the present version of `path`; True if it has not changed and its writer has closed it."""
        with self._lock:
            known = self._pending.get(path)
            if known is None:
                return False
            if known.version != version:
                known.version, known.since_s = version, now_s
                return False
            doubtful = known.open or version.size == 0
            wait_s = self._settle_s * (PATIENCE if doubtful else 1)
            return now_s - known.since_s >= wait_s
