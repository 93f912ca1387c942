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
from device.machine.pipe import Pipe
from device.models.card import INSTALLED_NAME
from device.store import DATABASE_NAME

FORMAT = 1
MANIFEST_NAME = "manifest.json"
SETTINGS_MEMBER = "settings/fluocount.toml"
DATABASE_MEMBER = f"data/{DATABASE_NAME}"
RESULTS_MEMBER = "data/results"
MODELS_MEMBER = f"data/{INSTALLED_NAME}"
CAMERA_NAME = "camera.json"
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
    pipe = Pipe()
    with (
        tarfile.open(fileobj=pipe, mode="w|", format=tarfile.PAX_FORMAT) as archive,
        _scratch(source.data_dir) as scratch,
    ):
        for _ in _fill(archive, scratch, source, lambda done, total: None):
            yield pipe.take()
    yield pipe.take()


class _Source(NamedTuple):
    """What is backed up."""

    data_dir: Path
    settings_path: Path | None
    results: bool


def _scratch(folder: Path) -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(dir=folder, prefix=".fluocount-")


def _write(stream: io.BufferedWriter, source: _Source, progress: Progress) -> Manifest:
    with (
        tarfile.open(fileobj=stream, mode="w", format=tarfile.PAX_FORMAT) as archive,
        _scratch(Path(stream.name).parent) as scratch,
    ):
        filling = _fill(archive, scratch, source, progress)
        while True:
            try:
                next(filling)
            except StopIteration as ended:
                manifest: Manifest = ended.value
                return manifest


def _fill(
    archive: tarfile.TarFile, scratch: str, source: _Source, progress: Progress
) -> Generator[None, None, Manifest]:
    """Add every member, with a pause after each; returns the manifest, which is the last."""
    data_dir, settings_path, results = source
    if settings_path is not None and settings_path.is_file():
        archive.add(settings_path, SETTINGS_MEMBER)
    if (data_dir / CAMERA_NAME).is_file():
        archive.add(data_dir / CAMERA_NAME, f"data/{CAMERA_NAME}")
    for path in sorted((data_dir / INSTALLED_NAME).glob("[a-z0-9]*.*")):
        archive.add(path, f"{MODELS_MEMBER}/{path.name}")
        yield
    copy = Path(scratch) / DATABASE_NAME
    if results:
        counts = yield from _add_results(archive, data_dir, copy, progress)
    else:
        counts = len(copy_database(data_dir / DATABASE_NAME, copy))
    archive.add(copy, DATABASE_MEMBER)
    manifest = Manifest(
        format=FORMAT,
        version=__version__,
        created_s=time.time(),
        counts=counts,
        results=results,
    )
    _add_bytes(archive, MANIFEST_NAME, msgspec.json.encode(manifest))
    return manifest


def _add_results(
    archive: tarfile.TarFile, data_dir: Path, copy: Path, progress: Progress
) -> Generator[None, None, int]:
    """Copy the database and add the files of its rows, again until both agree; returns the rows.

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
            found = _add_folder(archive, folder, f"{RESULTS_MEMBER}/{name}")
            revisions.update((name, revision) for revision in found)
            progress(number + 1, len(changed))
            yield
        added = rows
        before = lacking
        lacking = {
            name for name, (_, revision) in rows.items() if (name, revision) not in revisions
        }
        if lacking <= before:  # none, or files that were missing already
            return len(rows)


def _add_folder(archive: tarfile.TarFile, folder: Path, member: str) -> set[int]:
    """Add a result folder; returns the revisions that are complete in it; 0 is the image only."""
    revisions = set()
    subfolders = [path for path in folder.glob("[0-9]*") if path.is_dir()]
    for revision, part in [(0, folder), *((int(path.name), path) for path in subfolders)]:
        try:
            for path in sorted(part.iterdir()):
                if path.is_file() and not path.name.startswith("."):
                    archive.add(path, f"{member}/{path.relative_to(folder)}")
            revisions.add(revision)
        except FileNotFoundError:
            continue  # replaced by a newer revision, which the next round adds
    return revisions


def _add_bytes(archive: tarfile.TarFile, name: str, data: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(data)
    member.mtime = int(time.time())
    archive.addfile(member, io.BytesIO(data))


def copy_database(source: Path, target: Path) -> dict[str, RowState]:
    """Copy a database while others write to it; returns the state of every count by id."""
    with (
        closing(sqlite3.connect(source, timeout=30)) as original,
        closing(sqlite3.connect(target)) as copy,
    ):
        original.backup(copy)
        found = copy.execute("SELECT id, status, revision FROM counts")
        return {name: (status, revision) for name, status, revision in found}
