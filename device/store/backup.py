"""Settings, database, images and results in one tar file, written while the service runs.

settings/fluocount.toml
data/results/<id>/...
data/models/...            the models that were installed
data/fluocount.sqlite      a consistent copy, made after the files it speaks of
manifest.json              last: an archive without it was cut short
"""

import io
import os
import sqlite3
import tarfile
import tempfile
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import NamedTuple

import msgspec

from device import __version__
from device.errors import StorageError
from device.machine.files import sync_folder
from device.models.card import INSTALLED_NAME
from device.store import DATABASE_NAME
from device.store.kind import require_own

FORMAT = 1
MANIFEST_NAME = "manifest.json"
SETTINGS_MEMBER = "settings/fluocount.toml"
DATABASE_MEMBER = f"data/{DATABASE_NAME}"
RESULTS_MEMBER = "data/results"
MODELS_MEMBER = f"data/{INSTALLED_NAME}"
CAMERA_NAME = "camera.json"
_BLOCK_BYTES = 1 << 20
"""A whole-slide image never lies in the memory at once."""
RowState = tuple[str, int]
"""Status and revision."""
Progress = Callable[[int, int], None]
"""Called with (results done, results in total)."""


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """Description of an archive, stored in it.

    Attributes:
        format: of the archive, see FORMAT.
        version: of the fluocount that wrote it.
        created_s: seconds since 1970 by that machine's clock.
        counts: number of counts in the database.
        results: False if it contains settings and database only.
    """

    format: int
    version: str
    created_s: float
    counts: int
    results: bool


def write_backup(
    target: Path,
    data_dir: Path,
    settings_path: Path | None,
    *,
    results: bool = True,
    progress: Progress = lambda done, total: None,
) -> Manifest:
    """Write the archive. If the backup fails, no file is left.

    Args:
        target: a new file.
        data_dir: the data folder; others may continue to write there.
        settings_path: the settings file, None if there is none.
        results: False leaves images and products out.
        progress: called with (results done, results in total).

    Raises:
        StorageError: target exists, nothing to back up, damaged database, disk full.
    """
    if target.exists():
        raise StorageError(f"{target} already exists; choose a new name for the backup.")
    database = _require_database(data_dir)
    try:
        with _whole_file(target) as stream:
            return _write(stream, _Source(data_dir, settings_path, results), progress)
    except OSError as error:
        raise StorageError(
            f"The backup {target} could not be written ({error.strerror}); "
            "check free space and permissions there."
        ) from None
    except sqlite3.Error as error:
        raise StorageError(
            f"The database {database} cannot be copied ({error}); run `fluocount doctor`."
        ) from None


def _require_database(data_dir: Path) -> Path:
    require_own(data_dir, "save it with pg_dump, and copy the data folder after that")
    database = data_dir / DATABASE_NAME
    if not database.is_file():
        raise StorageError(
            f"There is no database in {data_dir}; check that this is the data folder."
        )
    return database


@contextmanager
def _whole_file(target: Path) -> Iterator[io.BufferedWriter]:
    """A file that only its owner can read, and that gets its name only when complete."""
    partial = target.with_name(f".{target.name}.part")
    try:
        partial.unlink(missing_ok=True)  # left by a backup that was killed
        with partial.open("xb") as stream:
            os.fchmod(stream.fileno(), 0o600)  # it contains images and the password's hash
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        partial.rename(target)
        sync_folder(target.parent)
    finally:
        partial.unlink(missing_ok=True)


def backup_parts(data_dir: Path, settings_path: Path | None, *, results: bool) -> Iterator[bytes]:
    """The archive in pieces as it is made, to be sent; one that breaks off lacks its end, and restore says so.

    Args:
        data_dir, settings_path, results: as `write_backup`.

    Raises:
        StorageError: there is nothing to back up, before anything is sent.
    """
    _require_database(data_dir)
    return _parts(_Source(data_dir, settings_path, results))


def _parts(source: "_Source") -> Iterator[bytes]:
    with _scratch(source.data_dir) as scratch:
        yield from _archive(scratch, source, lambda done, total: None)


class _Source(NamedTuple):
    """What is backed up."""

    data_dir: Path
    settings_path: Path | None
    results: bool


def _scratch(folder: Path) -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(dir=folder, prefix=".fluocount-")


def _write(stream: io.BufferedWriter, source: _Source, progress: Progress) -> Manifest:
    with _scratch(Path(stream.name).parent) as scratch:
        making = _archive(scratch, source, progress)
        while True:
            try:
                stream.write(next(making))
            except StopIteration as ended:
                manifest: Manifest = ended.value
                return manifest


def _archive(scratch: str, source: _Source, progress: Progress) -> Generator[bytes, None, Manifest]:
    """The archive in blocks; returns the manifest, which is the last member."""
    data_dir, settings_path, results = source
    if settings_path is not None and settings_path.is_file():
        yield from _file(settings_path, SETTINGS_MEMBER)
    if (data_dir / CAMERA_NAME).is_file():
        yield from _file(data_dir / CAMERA_NAME, f"data/{CAMERA_NAME}")
    for path in sorted((data_dir / INSTALLED_NAME).glob("[a-z0-9]*.*")):
        yield from _file(path, f"{MODELS_MEMBER}/{path.name}")
    copy = Path(scratch) / DATABASE_NAME
    if results:
        counts = yield from _results(data_dir, copy, progress)
    else:
        counts = len(copy_database(data_dir / DATABASE_NAME, copy))
    yield from _file(copy, DATABASE_MEMBER)
    manifest = Manifest(
        format=FORMAT,
        version=__version__,
        created_s=time.time(),
        counts=counts,
        results=results,
    )
    written = Path(scratch) / MANIFEST_NAME
    written.write_bytes(msgspec.json.encode(manifest))
    yield from _file(written, MANIFEST_NAME)
    yield tarfile.NUL * tarfile.RECORDSIZE
    return manifest


def _results(data_dir: Path, copy: Path, progress: Progress) -> Generator[bytes, None, int]:
    """Copy the database and give the files of its rows, again until both agree; returns the rows.

    Meanwhile counts finish and old revisions are deleted, so a file may be gone when its turn comes.
    A later member of the same name replaces the earlier one on extraction.
    """
    added: dict[str, RowState] = {}
    revisions: set[tuple[str, int]] = set()
    lacking: set[str] = set()
    while True:
        rows = copy_database(data_dir / DATABASE_NAME, copy)
        changed = [name for name, state in rows.items() if added.get(name) != state]
        for number, name in enumerate(changed):
            folder = data_dir / "results" / name
            found = yield from _folder(folder, f"{RESULTS_MEMBER}/{name}")
            revisions.update((name, revision) for revision in found)
            progress(number + 1, len(changed))
        added = rows
        before = lacking
        lacking = {
            name for name, (_, revision) in rows.items() if (name, revision) not in revisions
        }
        if lacking <= before:  # none, or files that were missing already
            return len(rows)


def _folder(folder: Path, member: str) -> Generator[bytes, None, set[int]]:
    """The files of a result folder; returns the revisions that are complete in it; 0 is the image only."""
    revisions = set()
    subfolders = [path for path in folder.glob("[0-9]*") if path.is_dir()]
    for revision, part in [(0, folder), *((int(path.name), path) for path in subfolders)]:
        try:
            for path in sorted(part.iterdir()):
                if path.is_file() and not path.name.startswith("."):
                    yield from _file(path, f"{member}/{path.relative_to(folder)}")
            revisions.add(revision)
        except FileNotFoundError:
            continue  # replaced by a newer revision, which the next round adds
    return revisions


def _file(path: Path, name: str) -> Iterator[bytes]:
    """A member in blocks: tarfile itself would write a whole image or database before anything is sent."""
    with path.open("rb") as source:
        held = os.fstat(source.fileno())
        member = tarfile.TarInfo(name)
        member.size, member.mtime = held.st_size, held.st_mtime
        member.mode, member.uid, member.gid = held.st_mode & 0o7777, held.st_uid, held.st_gid
        yield member.tobuf(tarfile.PAX_FORMAT)
        left = held.st_size
        while left:
            block = source.read(min(left, _BLOCK_BYTES))
            if not block:
                raise StorageError(f"{path} was cut while it was copied; make the backup again.")
            left -= len(block)
            yield block
    yield tarfile.NUL * (-held.st_size % tarfile.BLOCKSIZE)


def copy_database(source: Path, target: Path) -> dict[str, RowState]:
    """Copy a database while others write to it; returns the state of every count by id."""
    with (
        closing(sqlite3.connect(source, timeout=30)) as original,
        closing(sqlite3.connect(target)) as copy,
    ):
        original.backup(copy)
        found = copy.execute("SELECT id, status, revision FROM counts")
        return {name: (status, revision) for name, status, revision in found}
