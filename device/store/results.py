"""The result folders: DATA_DIR/results/<id>/original.* and, per revision, <id>/<revision>/*.

A revision is one set of products that belong together (a count, or a later re-labelling of it). It
is written under a hidden name, synced and renamed; the database row names the valid revision.
"""

import logging
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path

from device.errors import NotFoundError, StorageError
from device.machine.files import sync_folder, write_atomic
from device.store import rows
from device.store.protocols import Database

_log = logging.getLogger(__name__)

SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp")
PRODUCTS = (
    "result.json",
    "probability.png",
    "labels.tiff",
    "outlines.png",
    "overlay.jpg",
    "image.jpg",
    "thumbnail.jpg",
)


_ID = re.compile(r"[0-9a-f]{16}")
_REVISION = re.compile(r"\.?([0-9]+)(?:\.part)?")
_LEAVING = ".deleted-"


def is_count_id(text: str) -> bool:
    """True for what can be the id of a count, and so the name of its folder."""
    return _ID.fullmatch(text) is not None


def safe_suffix(name: str) -> str:
    """The name's suffix in lower case if it is one of SUFFIXES, else ''.

    No other part of an uploaded name reaches the disk.
    """
    suffix = Path(name).suffix.lower()
    return suffix if suffix in SUFFIXES else ""


class ResultFolders:
    """Original images and products on the disk. File names never come from an upload.

    Args:
        root: DATA_DIR/results; created if missing.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        root.mkdir(parents=True, exist_ok=True)

    def folder(self, count_id: str) -> Path:
        """Folder of one count; `count_id` is one that the database knows.

        Raises:
            StorageError: the database was tampered with: this would be a path of somebody's choice.
        """
        if not is_count_id(count_id):
            raise StorageError(
                f"{count_id!r} is not the id of a count; the database is damaged, restore a backup."
            )
        return self.root / count_id

    def original(self, count_id: str, suffix: str) -> Path:
        """Path of the original image."""
        return self.folder(count_id) / f"original{suffix}"

    def product(self, count_id: str, revision: int, name: str) -> Path:
        """Path of one of PRODUCTS.

        Raises:
            NotFoundError: it is not there.
        """
        path = self.folder(count_id) / str(revision) / name
        if name not in PRODUCTS or not path.is_file():
            raise NotFoundError(
                f"There is no {name} for this count; it exists when the count is done."
            )
        return path

    def keep_original(self, count_id: str, suffix: str, data: bytes) -> None:
        """Write the bytes of the image; they are on the disk when this returns.

        Raises:
            StorageError: it could not be written; no file is left, but for those of another who has begun that count.
        """
        folder = self.folder(count_id)
        try:
            folder.mkdir()
        except FileExistsError:
            raise StorageError(
                f"{folder} is there already: another program takes the same count in; try again in a minute."
            ) from None
        except OSError as error:
            raise _not_kept(folder, error) from error
        try:
            write_atomic(self.original(count_id, suffix), data)
            sync_folder(self.root)
        except OSError as error:
            shutil.rmtree(folder, ignore_errors=True)
            raise _not_kept(folder, error) from error

    def receive_original(self, count_id: str, suffix: str, data: bytes | None) -> None:
        """A folder for a count of another instrument, with its image if that came along.

        Raises:
            StorageError: it could not be written.
        """
        folder = self.folder(count_id)
        try:
            folder.mkdir(exist_ok=True)
            if data is not None:
                write_atomic(self.original(count_id, suffix), data)
            sync_folder(self.root)
        except OSError as error:
            raise _not_kept(folder, error) from error

    def keep_products(self, count_id: str, revision: int, products: Mapping[str, bytes]) -> None:
        """Write one complete revision or none; replaces an uncommitted one of the same number.

        Raises:
            NotFoundError: the count was deleted meanwhile.
            StorageError: it could not be written.
        """
        folder = self.folder(count_id)
        partial, final = folder / f".{revision}.part", folder / str(revision)
        try:
            for leftover in (partial, final):
                if leftover.exists():
                    shutil.rmtree(leftover)
            partial.mkdir()
            for name, data in products.items():
                _write_synced(partial / name, data)
            sync_folder(partial)
            partial.rename(final)
            sync_folder(folder)
        except OSError as error:
            shutil.rmtree(partial, ignore_errors=True)
            if not folder.exists():
                raise NotFoundError("This count was deleted meanwhile.") from None
            raise _not_kept(folder, error) from error

    def drop_revisions(self, count_id: str, below: int) -> None:
        """Remove the revisions before one that is valid, and half-written ones; what resists is left to the sweep.

        A later one stays: another server may have made it valid meanwhile.
        """
        for path in _entries(self.folder(count_id)):
            number = _REVISION.fullmatch(path.name)
            if number is not None and int(number[1]) < below and path.is_dir():
                shutil.rmtree(path, ignore_errors=True)

    def remove(self, count_id: str) -> None:
        """Remove a count's folder. Whoever writes to it at this moment finds it gone, and leaves nothing behind.

        What a sick disk does not let go is left to the sweep: no row stands for it any more.
        """
        leaving = self.root / f"{_LEAVING}{count_id}"
        try:
            self.folder(count_id).rename(leaving)
        except FileNotFoundError:
            return
        except OSError as error:
            _log.warning("the folder of the count %s could not be removed: %s", count_id, error)
            return
        shutil.rmtree(leaving, ignore_errors=True)

    def folders(self) -> Iterator[Path]:
        """Every folder of a count, whether the database knows it or not."""
        return (path for path in _entries(self.root) if is_count_id(path.name) and path.is_dir())

    def remove_left(self) -> None:
        """Finish deletions that were cut off."""
        for path in _entries(self.root):
            if path.name.startswith(_LEAVING):
                shutil.rmtree(path, ignore_errors=True)

    def list_uncommitted(self, count_id: str, revision: int) -> list[Path]:
        """Below a count's folder, what its present revision does not need."""
        keep = str(revision)
        return [
            path
            for path in _entries(self.folder(count_id))
            if path.name != keep and (path.name.startswith(".") or path.name.isdecimal())
        ]


def remove_unaccepted(database: Database, folders: ResultFolders, count_id: str) -> None:
    """Remove the folder of a count whose writing failed, if no row stands for it.

    An error may come after the commit: what a row stands for stays, and so does what cannot be asked now.
    """
    with suppress(StorageError):
        if rows.find(database.connection(), "id", count_id) is None:
            folders.remove(count_id)


def _entries(folder: Path) -> Iterator[Path]:
    """What a folder holds when the first is asked for; nothing where it was deleted meanwhile."""
    with suppress(FileNotFoundError):
        names = [entry.name for entry in os.scandir(folder)]
        yield from (folder / name for name in names)


def _write_synced(path: Path, data: bytes) -> None:
    with path.open("wb") as stream:
        stream.write(data)
        stream.flush()
        os.fsync(stream.fileno())


def _not_kept(folder: Path, error: OSError) -> StorageError:
    return StorageError(
        f"{folder} could not be written ({error.strerror}); check free space and permissions of the "
        "data folder."
    )
