"""Where assays come from: shipped files, the settings file, the store, a file that somebody sent."""

from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from device.config import Settings
from device.counting.assay import DEFAULT, Assay, Objective
from device.counting.records import DECODE_ERRORS
from device.errors import InputError, NotFoundError

if TYPE_CHECKING:
    from device.store import Store

SHIPPED_DIR = Path(__file__).parent
SHIPPED_BY = "fluocount"
MAX_FILE_BYTES = 100_000
"""An assay with its calibration has about 4,000."""


def decode_assay(data: bytes, name: str) -> Assay:
    """An assay from the bytes of its JSON file.

    Args:
        data: of the file.
        name: of the file, for the sentence.

    Raises:
        InputError: it is none.
    """
    if len(data) > MAX_FILE_BYTES:
        raise InputError(
            f"{name} is too large for an assay; choose a file that was exported as one."
        )
    try:
        return msgspec.json.decode(data, type=Assay)
    except DECODE_ERRORS as error:
        raise InputError(
            f"{name} is no assay that this fluocount can use ({str(error).rstrip('.')}); choose a file that was "
            "exported as one."
        ) from None


def encode_assay(assay: Assay) -> bytes:
    """The JSON file of an assay, for people too."""
    return msgspec.json.format(msgspec.json.encode(assay), indent=2) + b"\n"


def read_assay(path: Path) -> Assay:
    """An assay from its file.

    Raises:
        InputError: the file cannot be read, or is no assay.
    """
    try:
        return decode_assay(path.read_bytes(), path.name)
    except OSError as error:
        raise InputError(
            f"{path} cannot be read ({error.strerror}); check the file name."
        ) from None


def shipped_assays() -> list[Assay]:
    """The assays that come with fluocount."""
    return [read_assay(path) for path in sorted(SHIPPED_DIR.glob("*.json"))]


def assay_of_settings(settings: Settings) -> Assay:
    """The assay `default`: what the settings file says about counting."""
    return Assay(
        name=DEFAULT,
        about="Model and reading as the settings file says",
        model=settings.counting.model,
        reading=settings.reading,
    )


def stock(store: "Store", settings: Settings) -> None:
    """Put the shipped assays and the settings' default into a store; assays of people are left alone."""
    store.assays.follow_settings(assay_of_settings(settings))
    for assay in shipped_assays():
        if store.assays.find(assay.name) is None:
            store.assays.save(assay, SHIPPED_BY)


def find_assay(name: str | None, settings: Settings) -> Assay:
    """The assay for a command that counts without the store: a .json file, a stored one, or a shipped one.

    Args:
        name: of the assay, or the path of its file; None: what the settings file says.
        settings: name the data folder.

    Raises:
        InputError: there is none of that name, or the file is no assay.
        StorageError: the store cannot be read.
    """
    if name is None:
        return assay_of_settings(settings)
    if name.endswith(".json"):
        return read_assay(Path(name))
    known = {assay.name: assay for assay in (*shipped_assays(), assay_of_settings(settings))}
    known |= {assay.name: assay for assay in _load_stored(settings)}
    if name not in known:
        raise InputError(
            f"There is no assay {name!r}; there are: {', '.join(sorted(known))}. The path of an exported assay (.json) "
            "can be given too."
        )
    return known[name]


def find_objective(name: str | None, settings: Settings) -> Objective | None:
    """The objective of that name in the store, for a command that counts without it; None where none is asked for.

    Raises:
        NotFoundError: there is none of that name.
        StorageError: the store cannot be read.
    """
    from device.store.existing import open_existing
    from device.store.kind import may_exist

    if name is None:
        return None
    if not may_exist(settings.storage):
        raise NotFoundError(
            f"There is no objective {name!r}: no list of objectives was found in {settings.data_dir}; add it with "
            "`fluocount objective set`."
        )
    with closing(open_existing(settings.storage)) as store:
        return store.objectives.get(name)


def _load_stored(settings: Settings) -> list[Assay]:
    """The newest version of every assay in the store, if there is one; the store is opened only here."""
    from device.store.existing import open_existing
    from device.store.kind import may_exist

    if not may_exist(settings.storage):
        return []
    with closing(open_existing(settings.storage)) as store:
        return store.assays.newest()
