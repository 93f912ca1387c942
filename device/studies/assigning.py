"""Stored counts into a study from a table that names them by id or by file name."""

from pathlib import Path

from device.errors import InputError
from device.store import CountRow, Filter, Store
from device.store.studies import NOWHERE, Place
from device.studies.loading import read_places
from device.studies.naming import Splitter


def assign_table(store: Store, name: str, table: Path) -> int:
    """Put the counts that a table names into a study; returns how many.

    Raises:
        InputError: a line names no count, or a file name that several counts have.
        NotFoundError: there is no such study.
    """
    return assign_named(store, name, read_places(table))


def assign_named(store: Store, name: str, places: dict[str, Place]) -> int:
    """As `assign_table`, with the places already read."""
    by_name: dict[str, list[str]] = {}
    for row in store.counts.oldest_first(Filter(newest=True)):
        for known in {row.id, row.image, Path(row.image).name}:
            by_name.setdefault(known, []).append(row.id)
    found: dict[str, Place] = {}
    for image, place in places.items():
        ids = by_name.get(image, [])
        if len(ids) != 1:
            said = (
                "no stored count"
                if not ids
                else f"{len(ids)} stored counts, so it is not clear which"
            )
            raise InputError(
                f"The table names {image!r}, of which there is {said}; give the id of the count."
            )
        if not place.is_complete:
            raise InputError(f"The table gives no group or no subject for {image!r}.")
        found[ids[0]] = place
    store.studies.assign(name, found)
    return len(found)


def assign_watched(store: Store, name: str, row: CountRow, path: str) -> None:
    """Put the count of a watched file into a study, where its pattern says.

    A name that does not fit is in the study without a place, and the report lists it: it is never left out in silence.
    """
    study = store.studies.get(name)
    place = NOWHERE
    if study.pattern:
        split = Splitter(study.pattern)(path)
        known = not study.groups or split.place.group in study.groups
        place = split.place if known and not split.problem else NOWHERE
    store.studies.assign(name, {row.id: place})
