"""Locks between processes: one worker, one watcher per folder, and no restore while either runs."""

import fcntl
import os
from pathlib import Path

WORKER_LOCK = "worker.lock"
"""In the data folder: the process that holds it counts."""


class FileLock:
    """flock on a file, which contains the owner's process id for people. The kernel releases it when the owner dies.

    Args:
        path: created if missing; its folder must exist.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor: int | None = None

    def try_acquire(self) -> bool:
        """Take the lock if it is free."""
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.ftruncate(descriptor, 0)
            os.write(descriptor, f"{os.getpid()}\n".encode())
        except BlockingIOError:
            os.close(descriptor)
            return False
        except OSError:
            os.close(descriptor)  # else the lock would never be let go
            raise
        self._descriptor = descriptor
        return True

    def release(self) -> None:
        """Release the lock; does nothing if it is not held."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
