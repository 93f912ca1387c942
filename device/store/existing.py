"""Opens an existing store, for commands that read results."""

from pathlib import Path

import msgspec

from device.config import StorageSettings
from device.errors import InputError
from device.store import DATABASE_NAME, Store, open_store


def open_existing(settings: StorageSettings, data_dir: Path | None = None) -> Store:
    """Open the store of `data_dir`, or of the settings; never creates one.

    Raises:
        InputError: there is none.
        StorageError: it is damaged or cannot be read.
    """
    if data_dir is not None:
        settings = msgspec.structs.replace(settings, data_dir=str(data_dir))
    folder = Path(settings.data_dir).expanduser()
    if settings.database is None and not (folder / DATABASE_NAME).is_file():
        raise InputError(
            f"There are no stored counts in {folder}; name the data folder with --data-dir or the "
            "settings file with --config."
        )
    return open_store(settings)
