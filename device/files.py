"""Files that are whole or absent, whatever happens to the power."""

import os
import re
import secrets
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path, PurePath
from typing import IO

PARTIAL_SUFFIX = ".part"
_PARTIAL = re.compile(r"\.[0-9a-f]{16}\.part")


def display_name(path: PurePath | str) -> str:
    """A path as text for tables and people; bytes that are no UTF-8 are shown as \\xNN."""
    return str(path).encode(errors="surrogateescape").decode(errors="backslashreplace")


def sync_folder(folder: Path) -> None:
    """Make renames in a folder survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_atomic(path: Path, data: bytes) -> None:
    """Write to a temporary name in the same folder, sync, rename, sync the folder.

    Raises:
        OSError: as the file system gives it (disk full, read-only); nothing is left under `path` then.
    """
    with open_atomic(path) as stream:
        stream.write(data)


def write_beside(path: Path, contents: Mapping[str, bytes]) -> None:
    """Write `path`.SUFFIX for every suffix, in this order; each is whole or absent.

    Raises:
        OSError: as the file system gives it; those before are there.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    for suffix, data in contents.items():
        with open_atomic(path.with_name(f"{path.name}.{suffix}"), sync_parent=False) as stream:
            stream.write(data)
    sync_folder(path.parent)


@contextmanager
def open_atomic(path: Path, *, sync_parent: bool = True) -> Iterator[IO[bytes]]:
    """A file to write that appears under `path` when the block ends well, and not at all otherwise.

    Args:
        path: the file.
        sync_parent: False where the caller syncs the folder himself, after several files.

    Raises:
        OSError: as the file system gives it.
    """
    temporary = path.with_name(f".{secrets.token_hex(8)}{PARTIAL_SUFFIX}")
    try:
        with temporary.open("xb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    if sync_parent:
        sync_folder(path.parent)


def remove_partial(root: Path, older_than_s: float = 3600.0) -> int:
    """Remove what a killed process left half written below `root`; returns how many files."""
    removed = 0
    for path in root.rglob(f".*{PARTIAL_SUFFIX}"):
        if _PARTIAL.fullmatch(path.name) and time.time() - path.stat().st_mtime > older_than_s:
            path.unlink(missing_ok=True)
            removed += 1
    return removed
