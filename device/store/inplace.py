"""Are the files of a database still those that it was opened with?

SQLite goes on happily with files that were deleted or replaced under it: what it commits then is lost.
"""

import sqlite3
import threading
import time
from contextlib import closing
from pathlib import Path

from device.errors import StorageError, UnavailableError
from device.machine.files import FileIdentity, identity, sync_folder
from device.store.connection import StoreConnection

_SIDE_FILES = ("-wal", "-shm")


class InPlace:
    """Watches over the files of one database.

    Args:
        path: the database.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._identity: FileIdentity | None = None
        self._rescued: Path | None = None
        self._rescuing = threading.Lock()

    @property
    def made(self) -> bool:
        """False until `remember`: the file may be missing."""
        return self._identity is not None

    def remember(self) -> None:
        """The file is made: from now on it must stay."""
        self._identity = identity(self._path)

    def side_files(self) -> tuple[FileIdentity | None, ...]:
        """While a connection is open SQLite never replaces -wal and -shm: whoever does takes commits away."""
        return tuple(identity(self._path.with_name(self._path.name + end)) for end in _SIDE_FILES)

    def require(self, connection: StoreConnection) -> None:
        """Refuse to work on files that were deleted or replaced under the running program.

        Raises:
            StorageError: they were; what the connection still knows is saved beside them.
            UnavailableError: the system does not tell now.
        """
        if not self.made:
            return
        try:
            in_place = identity(self._path) == self._identity
            if in_place and self.side_files() == connection.side_files:
                return
        except OSError as error:
            raise UnavailableError(
                f"The database {self._path} cannot be read ({error.strerror}); check the disk."
            ) from error
        self._rescue(connection)
        raise self._lost()

    def explain(self, error: Exception) -> Exception:
        """Why a connection could not be made: `error`, but for a file that is gone."""
        try:
            gone = self.made and identity(self._path) is None
        except OSError:
            gone = False
        return self._lost() if gone else error

    def _lost(self) -> StorageError:
        name = self._path.name
        what = f"The database {self._path} was deleted or replaced while fluocount ran; nothing is accepted."
        if self._rescued is None:
            return StorageError(
                f"{what} Stop fluocount and restore a backup with `fluocount restore`."
            )
        return StorageError(
            f"{what} What it held is saved in {self._rescued}: stop fluocount, give that file the name {name}, "
            f"remove {name}-wal and {name}-shm, and start it again."
        )

    def _rescue(self, connection: StoreConnection) -> None:
        """An open file outlives its name: copy it while there is a connection to it."""
        with self._rescuing:
            if self._rescued is not None:
                return
            stamp = time.strftime("rescued-%Y%m%d-%H%M%S")
            target = self._path.with_name(f"{self._path.name}.{stamp}")
            try:
                copy_whole(connection, target)
                self._rescued = target
            except (sqlite3.Error, OSError):
                return  # damaged too, or the disk is full


def copy_whole(connection: sqlite3.Connection, target: Path) -> None:
    """Write a consistent copy under `target`, whole or not at all.

    Raises:
        sqlite3.Error, OSError: it could not be written.
    """
    partial = target.with_name(target.name + ".part")
    partial.unlink(missing_ok=True)
    with closing(sqlite3.connect(partial)) as copy:
        connection.backup(copy)
    partial.replace(target)
    sync_folder(target.parent)
