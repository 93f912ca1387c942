"""Free space of the data folder, compared with the two limits in the settings."""

import shutil
from pathlib import Path
from typing import Literal

import msgspec

from device.config import StorageSettings
from device.errors import StorageError

MB = 1_000_000


class DiskState(msgspec.Struct, frozen=True, kw_only=True):
    """Free space on the file system of the data folder in MB, and its level."""

    free_mb: int
    total_mb: int
    warn_free_mb: int
    refuse_free_mb: int
    level: Literal["ok", "warn", "refuse"]

    @property
    def problem(self) -> str | None:
        """What is wrong and what to do, None where there is enough space."""
        if self.level == "ok":
            return None
        refused = self.level == "refuse"
        limit_mb = self.refuse_free_mb if refused else self.warn_free_mb
        what = "no new images are accepted" if refused else "space is running low"
        return (
            f"The disk has {self.free_mb} MB free, below {limit_mb} MB: {what}; "
            "export and delete counts that are no longer needed."
        )


def disk_state(folder: Path, settings: StorageSettings) -> DiskState:
    """Measure the file system that holds `folder`."""
    usage = shutil.disk_usage(folder)
    free_mb = usage.free // MB
    level: Literal["ok", "warn", "refuse"] = "ok"
    if free_mb < settings.warn_free_mb:
        level = "warn"
    if free_mb < settings.refuse_free_mb:
        level = "refuse"
    return DiskState(
        free_mb=free_mb,
        total_mb=usage.total // MB,
        warn_free_mb=settings.warn_free_mb,
        refuse_free_mb=settings.refuse_free_mb,
        level=level,
    )


def require_space(folder: Path, settings: StorageSettings, needed_bytes: int = 0) -> None:
    """Raise if `needed_bytes` more would leave less than `refuse_free_mb` free.

    Raises:
        StorageError: with the figures and what to do.
    """
    state = disk_state(folder, settings)
    if state.free_mb - needed_bytes // MB < settings.refuse_free_mb:
        raise StorageError(
            f"The disk of {folder} has only {state.free_mb} MB free and no images are accepted below "
            f"{settings.refuse_free_mb} MB; export and delete counts that are no longer needed."
        )
