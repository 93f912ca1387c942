"""Restores what device.store.backup saved. Existing data is moved aside, never deleted."""

import os
import shutil
import sqlite3
import time
from contextlib import closing
from pathlib import Path

import msgspec

from device.config import load_settings
from device.errors import ConflictError, StorageError
from device.machine.files import sync_folder, write_atomic
from device.models.card import INSTALLED_NAME
from device.store import DATABASE_NAME
from device.store.archived import Archive, check_database, open_archive, require_room
from device.store.backup import (
    CAMERA_NAME,
    DATABASE_MEMBER,
    MODELS_MEMBER,
    RESULTS_MEMBER,
    SETTINGS_MEMBER,
    Manifest,
)
from device.store.kind import require_own
from device.store.lock import WORKER_LOCK, FileLock

_DATABASE_FILES = (DATABASE_NAME, f"{DATABASE_NAME}-wal", f"{DATABASE_NAME}-shm")


class Restored(msgspec.Struct, frozen=True, kw_only=True):
    """The outcome of a restore.

    Attributes:
        manifest: of the archive.
        lacking: counts whose image the archive does not hold.
        set_aside: folder with what was there before, None where nothing was.
        settings_beside: the archive's settings file where another one is in use, else None.
    """

    manifest: Manifest
    lacking: int
    set_aside: Path | None
    settings_beside: Path | None


def restore_backup(
    archive: Path, data_dir: Path, settings_path: Path | None, *, set_aside: bool = False
) -> Restored:
    """Check the whole archive, then put its contents in place; existing data moves to before-restore-*.

    Args:
        archive: what write_backup wrote.
        data_dir: the data folder; created if missing. No service may run on it.
        settings_path: place of the settings, None leaves them alone.
        set_aside: restore even if the data folder has counts that are not in the archive.

    Raises:
        InputError: not a complete backup, or from a newer fluocount.
        ConflictError: the service is running, or the data folder has counts that are not in the archive.
        StorageError: it could not be written; the data folder is unchanged.
    """
    require_own(data_dir, "restore it with pg_restore, and the folder by copying it back")
    scratch = data_dir / ".restore"
    lock = FileLock(data_dir / WORKER_LOCK)
    try:
        data_dir.mkdir(parents=True, exist_ok=True)
        _acquire(lock, data_dir)
        shutil.rmtree(scratch, ignore_errors=True)
        with open_archive(archive) as source:
            require_room(data_dir, source.size({DATABASE_MEMBER}))
            manifest, lacking = source.manifest, _unpack(source, scratch)
        if not set_aside:
            _refuse_to_hide(data_dir / DATABASE_NAME, scratch / DATABASE_MEMBER)
        _own(scratch, data_dir)
        aside = _swap(scratch, data_dir, manifest.results)
        beside = _restore_settings(scratch / SETTINGS_MEMBER, settings_path)
    except OSError as error:
        raise StorageError(
            f"The backup could not be restored to {data_dir} ({error.strerror}: {error.filename})."
        ) from None
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
        lock.release()
    return Restored(manifest=manifest, lacking=lacking, set_aside=aside, settings_beside=beside)


def _acquire(lock: FileLock, data_dir: Path) -> None:
    if not lock.try_acquire():
        raise ConflictError(
            f"A running service uses {data_dir}; stop it first: sudo systemctl stop fluocount."
        )


def _unpack(source: Archive, scratch: Path) -> int:
    """Write what belongs to the counts of the database to `scratch`; returns how many counts have no image.

    The database comes first: what it says decides which files are written at all.
    """
    source.extract(DATABASE_MEMBER, scratch / DATABASE_MEMBER)
    ids = check_database(scratch / DATABASE_MEMBER, source.manifest)
    wanted = {name for name in source.names if not name.startswith(f"{RESULTS_MEMBER}/")}
    images: set[str] = set()
    for name in source.names - wanted if source.manifest.results else ():
        count_id, _, file = name.removeprefix(f"{RESULTS_MEMBER}/").partition("/")
        if count_id in ids:  # else it was deleted while the backup was written
            wanted.add(name)
            if file.startswith("original"):
                images.add(count_id)
    require_room(scratch, source.size(wanted))
    for name in sorted(wanted - {DATABASE_MEMBER}):
        source.extract(name, scratch / name)
    if SETTINGS_MEMBER in wanted:
        load_settings(scratch / SETTINGS_MEMBER)
    return len(ids - images) if source.manifest.results else 0


def _refuse_to_hide(present: Path, restored: Path) -> None:
    """Raise if the data folder has counts that are not in the backup, because they would disappear."""
    if not present.exists():
        return
    try:
        lacking = len(_ids(present) - _ids(restored))
        what = f"{lacking} count(s) that are not in the backup"
    except sqlite3.DatabaseError as error:
        lacking, what = 1, f"a database that cannot be read ({error})"
    if lacking:
        raise ConflictError(
            f"{present.parent} contains {what}. Nothing was changed. With --set-aside the backup replaces "
            "them and they move to a folder before-restore-... there."
        )


def _ids(database: Path) -> set[str]:
    with closing(sqlite3.connect(database, timeout=30)) as connection:
        return {row[0] for row in connection.execute("SELECT id FROM counts")}


def _own(scratch: Path, data_dir: Path) -> None:
    """Give restored files to the owner of the data folder, which is the service's user."""
    if os.geteuid() != 0:
        return
    owner = data_dir.stat()
    for path in (data_dir / WORKER_LOCK, scratch, *scratch.rglob("*")):
        os.chown(path, owner.st_uid, owner.st_gid)


def _swap(scratch: Path, data_dir: Path, results: bool) -> Path | None:
    """Move the old database (and results) aside and the new ones in place; returns the folder of the old ones."""
    aside = data_dir / time.strftime("before-restore-%Y%m%d-%H%M%S")
    camera = scratch / "data" / CAMERA_NAME
    names = [*_DATABASE_FILES, *(["results"] if results else [])]
    names += [CAMERA_NAME] if camera.exists() else []
    models = scratch / MODELS_MEMBER
    names += [INSTALLED_NAME] if models.exists() else []
    old = [data_dir / name for name in names if (data_dir / name).exists()]
    if old:
        aside.mkdir(mode=0o750)
        shutil.copystat(data_dir, aside)
        if os.geteuid() == 0:
            os.chown(aside, data_dir.stat().st_uid, data_dir.stat().st_gid)
    for path in old:
        path.rename(aside / path.name)
    if (scratch / RESULTS_MEMBER).is_dir():
        (scratch / RESULTS_MEMBER).rename(data_dir / "results")
    if models.exists():
        models.rename(data_dir / INSTALLED_NAME)
    if camera.exists():
        camera.rename(data_dir / CAMERA_NAME)
    (scratch / DATABASE_MEMBER).rename(data_dir / DATABASE_NAME)
    sync_folder(data_dir)
    return aside if old else None


def _restore_settings(saved: Path, target: Path | None) -> Path | None:
    """Put the settings in place if there are none, else beside the settings in use."""
    if target is None or not saved.is_file():
        return None
    data = saved.read_bytes()
    if not target.exists():
        write_atomic(target, data)
        target.chmod(0o644)
        return None
    if target.read_bytes() == data:
        return None
    beside = target.with_name(f"{target.name}.from-backup")
    write_atomic(beside, data)
    return beside
