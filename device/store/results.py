"""The result folders: DATA_DIR/results/<id>/original.* and, per revision, <id>/<revision>/*.

A revision is one set of products that belong together (a count, or a later re-labelling of it). It
is written under a hidden name, synced and renamed; the database row says which revision holds.
"""

import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from device.errors import NotFoundError, StorageError
from device.machine.files import sync_folder, write_atomic

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


def safe_suffix(name: str) -> str:
    """The name's suffix in lower case if it is one of SUFFIXES, else ''.

    Nothing else of a name that came from outside reaches the disk.
    """
    suffix = Path(name).suffix.lower()
    return suffix if suffix in SUFFIXES else ""


class ResultFolders:
    """Original images and products on the disk. Names below are the server's own.

    Args:
        root: DATA_DIR/results; made if absent.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        root.mkdir(parents=True, exist_ok=True)

    def folder(self, count_id: str) -> Path:
        """Folder of one count; `count_id` is one that the database knows."""
        return self.root / count_id

    def original(self, count_id: str, suffix: str) -> Path:
        """Path of the image as it came."""
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
        """Write the image's bytes; they are on the disk when this returns.

        Raises:
            StorageError: it could not be written; nothing is left.
        """
        folder = self.folder(count_id)
        try:
            folder.mkdir()
            write_atomic(self.original(count_id, suffix), data)
            sync_folder(self.root)
        except OSError as error:
            shutil.rmtree(folder, ignore_errors=True)
            raise _not_kept(folder, error) from error

    def keep_products(self, count_id: str, revision: int, products: Mapping[str, bytes]) -> None:
        """Write one revision whole or not at all; replaces an uncommitted one of that number.

        Raises:
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
            raise _not_kept(folder, error) from error

    def drop_revisions(self, count_id: str, except_revision: int) -> None:
        """Remove every revision but one, and half-written ones."""
        for path in self.folder(count_id).iterdir():
            if path.is_dir() and path.name != str(except_revision):
                shutil.rmtree(path)

    def remove(self, count_id: str) -> None:
        """Remove a count's folder."""
        if self.folder(count_id).exists():
            shutil.rmtree(self.folder(count_id))

    def folders(self) -> list[Path]:
        """Every folder there is, whether the database knows it or not."""
        return [path for path in self.root.iterdir() if path.is_dir()]


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
