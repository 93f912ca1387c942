"""Which stored counts a person has looked through: those that teach an assay, and those that train a network."""

from collections.abc import Sequence

from device.errors import InputError
from device.store import CountRow, Filter, Store


def list_looked_through(store: Store, name: str, ids: Sequence[str] = ()) -> list[CountRow]:
    """The counts of an assay that a person has looked through, oldest first.

    Args:
        store: where they are.
        name: of the assay.
        ids: these counts, also where there was nothing to correct; none: every newest finished count of the assay that
            has corrections or is marked as reviewed.

    Raises:
        NotFoundError: there is no such count.
        InputError: a named count is of another assay.
    """
    if ids:
        rows = [store.counts.get(one) for one in dict.fromkeys(ids)]
    else:
        newest = store.counts.oldest_first(Filter(status="done", newest=True))
        rows = [row for row in newest if assay_name(row) == name and _is_seen(store, row)]
    for row in rows:
        if assay_name(row) != name:
            other = "the assay " + assay_name(row) if assay_name(row) else "no assay"
            raise InputError(
                f"{row.image} was counted with {other}, not with {name}: different assays are not mixed. "
                "Count it again with this assay, or leave it out."
            )
    return sorted(rows, key=lambda row: row.sequence)


def assay_name(row: CountRow) -> str:
    """Name of the assay that a count was made with; empty where it was none."""
    return "" if row.settings.assay is None else row.settings.assay.name


def _is_seen(store: Store, row: CountRow) -> bool:
    return bool(row.reviewed_by or store.corrections.in_force(row.id))
