"""A study's export as a stream of files: written into a new folder, or sent as one ZIP while it is made."""

import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path

from device.errors import InputError, StorageError
from device.machine.files import open_atomic
from device.machine.pipe import Pipe

Part = tuple[str, bytes | Path]
"""A path within the export, and its contents or the file that they are copied from."""
_BLOCK_BYTES = 1 << 20
"""A whole-slide image never lies in the memory at once."""
_PACKED = (".jpg", ".jpeg", ".png")
"""Compressed already."""


def write_folder(parts: Iterable[Part], out_dir: Path) -> list[Path]:
    """Write the files into a new folder; returns them.

    Raises:
        InputError: the folder holds files already.
        StorageError: it cannot be written.
    """
    require_empty(out_dir)
    written = []
    try:
        out_dir.mkdir(parents=True, exist_ok=True)
        for path, content in parts:
            target = out_dir / path
            target.parent.mkdir(parents=True, exist_ok=True)
            with open_atomic(target) as stream:
                stream.writelines(_blocks(content))
            written.append(target)
    except OSError as error:
        raise StorageError(
            f"{out_dir} cannot be written ({error.strerror}); check the folder."
        ) from None
    return written


def zip_parts(parts: Iterable[Part], folder: str) -> Iterator[bytes]:
    """A ZIP of the files in pieces as it is made: it needs neither memory nor disk.

    Args:
        parts: read one at a time.
        folder: that the files are in within the ZIP.
    """
    pipe = Pipe()
    with zipfile.ZipFile(pipe, "w", zipfile.ZIP_DEFLATED) as archive:
        for path, content in parts:
            entry = zipfile.ZipInfo(f"{folder}/{path}")
            entry.compress_type = (
                zipfile.ZIP_STORED if path.endswith(_PACKED) else zipfile.ZIP_DEFLATED
            )
            entry.external_attr = 0o644 << 16  # else unzip makes files without any permission
            # A size that is not announced could not be above 2 GB.
            entry.file_size = content.stat().st_size if isinstance(content, Path) else len(content)
            with archive.open(entry, "w") as target:
                for block in _blocks(content):
                    target.write(block)
                    yield pipe.take()
    yield pipe.take()


def require_empty(out_dir: Path) -> None:
    """Raise where a folder holds something.

    Raises:
        InputError: with what to do.
    """
    if out_dir.exists() and (not out_dir.is_dir() or any(out_dir.iterdir())):
        raise InputError(f"{out_dir} contains files already; name a new folder.")


def _blocks(content: bytes | Path) -> Iterator[bytes]:
    if isinstance(content, bytes):
        yield content
        return
    with content.open("rb") as source:
        while block := source.read(_BLOCK_BYTES):
            yield block
