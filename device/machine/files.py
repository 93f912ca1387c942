"""Files that are complete or absent, even after a power cut."""

import hashlib
import os
import re
import secrets
import time
import zipfile
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path, PurePath
from typing import IO

PARTIAL_SUFFIX = ".part"
_PARTIAL = re.compile(r"\.[0-9a-f]{16}\.part")


FileIdentity = tuple[int, int]
"""Device and inode: which file a path means."""


def identity(path: Path) -> FileIdentity | None:
    """Which file is there now; None where there is none.

    Raises:
        OSError: the system does not tell.
    """
    try:
        status = path.stat()
    except FileNotFoundError:
        return None
    return status.st_dev, status.st_ino


def sha256_of(path: Path) -> str:
    """Hex digest of a file; read in blocks, because an original may be larger than the memory that is free.

    Raises:
        OSError: it cannot be read.
    """
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def display_name(path: PurePath | str) -> str:
    """A path as text for tables and people; bytes that are no UTF-8 are shown as \\xNN."""
    return str(path).encode(errors="surrogateescape").decode(errors="backslashreplace")


def one_line(text: str) -> str:
    """Text for a terminal or a table: line ends, tabs and other control characters are shown as \\n, \\t, \\xNN."""
    return "".join(
        letter if letter.isprintable() else letter.encode("unicode_escape").decode()
        for letter in display_name(text)
    )


def read_entry(archive: zipfile.ZipFile, entry: str, most_bytes: int) -> bytes:
    """One entry of a ZIP from outside, whatever its header claims.

    Raises:
        ValueError: it is larger.
        KeyError: there is none of that name.
    """
    with archive.open(entry) as stream:
        data = stream.read(most_bytes + 1)
    if len(data) > most_bytes:
        raise ValueError(f"{entry} is too large")
    return data


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
    """Write `path`.SUFFIX for every suffix; each is complete or absent, and they appear in this order.

    Raises:
        OSError: as the file system gives it; those before are there.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporaries = {suffix: _temporary_name(path) for suffix in contents}
    try:
        with ExitStack() as stack:
            streams = []
            for suffix, data in contents.items():
                streams.append(stack.enter_context(temporaries[suffix].open("xb")))
                streams[-1].write(data)
                streams[-1].flush()
            # Synced together they wait for the disk once, not once per file.
            with ThreadPoolExecutor(len(streams)) as pool:
                list(pool.map(lambda stream: os.fsync(stream.fileno()), streams))
        for suffix, temporary in temporaries.items():
            temporary.replace(path.with_name(f"{path.name}.{suffix}"))
    except BaseException:
        for temporary in temporaries.values():
            temporary.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def _temporary_name(path: Path) -> Path:
    return path.with_name(f".{secrets.token_hex(8)}{PARTIAL_SUFFIX}")


@contextmanager
def open_atomic(path: Path) -> Iterator[IO[bytes]]:
    """A file to write, which appears as `path` only if the block ends without an error.

    Raises:
        OSError: as the file system gives it.
    """
    temporary = _temporary_name(path)
    try:
        with temporary.open("xb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


@contextmanager
def place_whole(path: Path) -> Iterator[Path]:
    """Where a library that wants a path may write; it becomes `path` only if the block ends without an error.

    Its name ends as `path` does, because some libraries choose the format by that.

    Raises:
        OSError: as the file system gives it.
    """
    part = path.with_name(f"part-{secrets.token_hex(8)}-{path.name}")
    try:
        yield part
        with part.open("rb") as stream:
            os.fsync(stream.fileno())
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def remove_partial(root: Path, older_than_s: float = 3600.0) -> int:
    """Remove incomplete files that a killed process left below `root`; returns how many."""
    removed = 0
    for path in root.rglob(f".*{PARTIAL_SUFFIX}"):
        with suppress(FileNotFoundError):
            if _PARTIAL.fullmatch(path.name) and time.time() - path.stat().st_mtime > older_than_s:
                path.unlink()
                removed += 1
    return removed
