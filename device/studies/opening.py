"""Opens the exported folder of a study: everything is checked before anything is stored."""

from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import unquote

import msgspec

from device.counting.records import DECODE_ERRORS, CountResult
from device.errors import InputError
from device.export.corrected import corrected_count
from device.export.stored import in_force
from device.machine.files import sha256_of
from device.store import Store
from device.store.adopting import ForeignCount, ForeignReview, ForeignStudy, adopt
from device.store.records import WAITING
from device.store.regions import check_regions
from device.store.results import PRODUCTS, SUFFIXES, is_count_id
from device.studies.crate import METADATA, PROFILE, StoredRow

Record = TypeVar("Record")
_LARGEST_METADATA_BYTES = 200_000_000
"""Some 100,000 counts."""


class Opened(msgspec.Struct, frozen=True, kw_only=True):
    """What came out of a folder.

    Attributes:
        study: its name.
        counts: how many it holds. new: how many were not here yet.
        faults: what somebody changed in the log of a review.
    """

    study: str
    counts: int
    new: int
    faults: tuple[str, ...]


def open_study(store: Store, folder: Path) -> Opened:
    """Check a folder and take its study, counts and reviews into the store.

    Args:
        store: receives them; best a new one.
        folder: as `write_crate` made it.

    Raises:
        InputError: it is none, incomplete, or a file is not the one that was written.
        ConflictError: the study is here already.
        StorageError: it could not be written; nothing is left.
    """
    files = _checked_files(folder)
    foreign = _decode(folder / "study.json", ForeignStudy)
    counts = [_count(folder, path) for path in files if path.endswith("/row.json")]
    counts.sort(key=lambda one: one.row.sequence)
    reviews = [
        _decode(folder / path, ForeignReview) for path in files if path.startswith("reviews/")
    ]
    _require_complete(foreign, counts, reviews)
    new = adopt(store, foreign, counts, reviews)
    faults = [fault for one in reviews for fault in store.reviews.faults(one.review.id)]
    return Opened(study=foreign.study.name, counts=len(counts), new=new, faults=tuple(faults))


def _checked_files(folder: Path) -> list[str]:
    """The paths of all files that the metadata name; each is there and has the SHA-256 that it had.

    Raises:
        InputError: no metadata, or a file is missing, changed, or outside the folder.
    """
    files = {
        unquote(str(one["@id"])): one.get("sha256")
        for one in _graph(folder)
        if "File" in _types(one)
    }
    for name, sha256 in files.items():
        path = folder / name
        inside = path.resolve().is_relative_to(folder.resolve())
        if not inside or not path.is_file():
            raise InputError(f"{name} is missing in {folder}; copy the whole folder again.")
        if sha256_of(path) != sha256:
            raise InputError(
                f"{name} is not the file that was exported; copy the folder again, or ask for a new one."
            )
    return list(files)


def _graph(folder: Path) -> list[dict[str, Any]]:
    path = folder / METADATA
    if folder.is_file():
        raise InputError(
            f"{folder} is a file; unpack it, and name the folder that comes out of it."
        )
    try:
        if path.stat().st_size > _LARGEST_METADATA_BYTES:
            raise InputError(f"{path} is too large for the description of a study.")
        described = msgspec.json.decode(path.read_bytes())
        graph = described["@graph"]
        root = next(one for one in graph if one["@id"] == METADATA)
    except OSError:
        raise InputError(
            f"{folder} is not the folder of a study: it has no {METADATA}; name the folder that was exported."
        ) from None
    except (*DECODE_ERRORS, KeyError, TypeError, StopIteration):
        raise InputError(f"{path} cannot be read; copy the folder again.") from None
    if root.get("conformsTo") != {"@id": PROFILE}:
        raise InputError(
            f"{path} does not say that it is an RO-Crate 1.1; name a folder that fluocount exported."
        )
    return [one for one in graph if isinstance(one, dict) and isinstance(one.get("@id"), str)]


def _types(entity: dict[str, Any]) -> list[str]:
    found = entity.get("@type", [])
    return found if isinstance(found, list) else [found]


def _decode(path: Path, kind: type[Record]) -> Record:
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except OSError as error:
        raise InputError(
            f"{path} cannot be read ({error.strerror}); copy the folder again."
        ) from None
    except DECODE_ERRORS as error:
        raise InputError(
            f"{path} cannot be used ({error}); export the study again, or upgrade this fluocount."
        ) from None


def _count(folder: Path, path: str) -> ForeignCount:
    """A count whose files say the same as its row.

    Raises:
        InputError: they do not.
    """
    stored = _decode(folder / path, StoredRow)
    row, place = stored.row, (folder / path).parent
    wrong = InputError(f"The files in {place} do not belong together; export the study again.")
    if not is_count_id(row.id) or place.name != row.id or row.suffix not in (*SUFFIXES, ""):
        raise wrong
    original = place / f"original{row.suffix}"
    if not original.is_file() or row.status in WAITING:
        raise wrong
    if sha256_of(original) != row.image_sha256:
        raise wrong
    if row.status == "done":
        if any(not (place / name).is_file() for name in PRODUCTS):
            raise wrong
        result = _decode(place / "result.json", CountResult)
        corrected = corrected_count(result, in_force(stored.corrections, result))
        found = (result.image_sha256, result.count, corrected)
        if found != (row.image_sha256, row.count, row.corrected_count):
            raise wrong
        check_regions(row.image, row.regions, result.width, result.height)
    if any(one.count_id != row.id for one in stored.corrections):
        raise wrong
    return ForeignCount(row=row, corrections=stored.corrections, folder=place)


def _require_complete(
    foreign: ForeignStudy, counts: list[ForeignCount], reviews: list[ForeignReview]
) -> None:
    ids = {one.row.id for one in counts}
    needed = set(foreign.places) | {one.row.version_of for one in counts} - {None}
    for one in reviews:
        needed |= set(one.review.keys.values())
        if one.review.study != foreign.study.name or set(one.strata) != set(one.review.keys):
            raise InputError(
                "A review in the folder belongs to another study; export the study again."
            )
    if not needed <= ids:
        raise InputError("The folder lacks counts that the study names; export the study again.")
