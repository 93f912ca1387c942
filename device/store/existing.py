"""Opens an existing store, for commands that read results.

A database that several servers share counts as existing: its address is in the settings, and its tables are made.
"""

from pathlib import Path

import msgspec

from device.config import StorageSettings
from device.errors import InputError
from device.store import Store, open_store
from device.store.kind import may_exist


def open_existing(settings: StorageSettings, data_dir: Path | None = None) -> Store:
    """Open the store of `data_dir`, or of the settings; never makes a file of its own.

    Raises:
        InputError: there is none.
        StorageError: it is damaged or cannot be read.
    """
    if data_dir is not None:
        settings = msgspec.structs.replace(settings, data_dir=str(data_dir))
    if not may_exist(settings):
        raise InputError(
            f"There are no stored counts in {Path(settings.data_dir).expanduser()}; name the data folder with "
            "--data-dir or the settings file with --config."
        )
    return open_store(settings)
