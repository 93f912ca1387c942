"""Takes finished counts, studies and reviews of another installation into the store, all or nothing."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from device.errors import ConflictError
from device.machine import clock
from device.store import Store, rows
from device.store.protocols import Connection
from device.store.records import Correction, CountRow
from device.store.results import PRODUCTS, remove_unaccepted
from device.store.reviews import Marked, Review
from device.store.studies import Place, Study


class ForeignCount(msgspec.Struct, frozen=True, kw_only=True):
    """A count of another installation, whose files were checked.

    Attributes:
        row: as it was there.
        corrections: its whole log.
        folder: with `original` plus suffix and, where it is done, every product.
    """

    row: CountRow
    corrections: tuple[Correction, ...]
    folder: Path


class ForeignReview(msgspec.Struct, frozen=True, kw_only=True):
    """A review with its marks and its log as it was chained."""

    review: Review
    finished: bool
    head: str
    lines: int
    created_s: float
    strata: dict[str, str]
    marks: tuple[tuple[str, str, Marked], ...]
    log: tuple[tuple[int, str, str], ...]


class ForeignStudy(msgspec.Struct, frozen=True, kw_only=True):
    """A study with the places of its images by count id."""

    study: Study
    places: dict[str, Place]


def adopt(
    store: Store,
    foreign: ForeignStudy,
    counts: Sequence[ForeignCount],
    reviews: Sequence[ForeignReview],
) -> int:
    """Take a study with its counts and reviews into the store; returns how many counts are new.

    Counts that are there already, with the same image, stay as they are.

    Raises:
        ConflictError: there is a study of that name, or a count of another image under the same id.
        StorageError: it could not be written; nothing is left, but for what may be committed all the same.
    """
    known = {study.name for study in store.studies.all()}
    if foreign.study.name in known:
        raise ConflictError(
            f"There is already a study {foreign.study.name!r} here; open the folder with another --data-dir."
        )
    new = [one for one in counts if _is_new(store, one.row)]
    written: list[str] = []
    try:
        for one in new:
            _keep_original(store, one)
            written.append(one.row.id)  # from here on its folder is this call's own
            _keep_products(store, one)
        with store.database.transaction() as connection:
            for one in new:
                _insert_count(connection, one)
            _insert_study(connection, foreign)
            for review in reviews:
                _insert_review(connection, review)
    except BaseException:
        for count_id in written:
            remove_unaccepted(store.database, store.folders, count_id)
        raise
    return len(new)


def _is_new(store: Store, row: CountRow) -> bool:
    found = store.database.connection().execute(
        "SELECT image_sha256 FROM counts WHERE id = ?", (row.id,)
    ).fetchone()  # fmt: skip
    if found is not None and found["image_sha256"] != row.image_sha256:
        raise ConflictError(
            f"A count of another image has the same id as that of {row.image}; open the folder with another --data-dir."
        )
    return found is None


def _keep_original(store: Store, one: ForeignCount) -> None:
    original = one.folder / f"original{one.row.suffix}"
    store.folders.keep_original(one.row.id, one.row.suffix, original.read_bytes())


def _keep_products(store: Store, one: ForeignCount) -> None:
    row = one.row
    if row.status == "done":
        products = {name: (one.folder / name).read_bytes() for name in PRODUCTS}
        store.folders.keep_products(row.id, row.revision, products)


def _insert_count(connection: Connection, one: ForeignCount) -> None:
    values = msgspec.to_builtins(one.row)
    del values["sequence"]
    # A person or token of that name here is somebody else.
    values |= {"once_key": None, "keep": True, "owner": ""}
    rows.encode_json(values)
    _insert(connection, "counts", values)
    for correction in one.corrections:
        fields = msgspec.to_builtins(correction)
        del fields["id"]
        _insert(connection, "corrections", fields)


def _insert_study(connection: Connection, foreign: ForeignStudy) -> None:
    """Write a study and its places within a transaction of the caller."""
    study = foreign.study
    content = msgspec.json.encode(study).decode()
    connection.execute("INSERT INTO studies VALUES (?, ?, ?)", (study.name, content, clock.now_s()))
    for count_id, place in foreign.places.items():
        connection.execute(
            "INSERT INTO study_images VALUES (?, ?, ?, ?, ?, ?)",
            (study.name, count_id, place.group, place.subject, place.slice, place.region),
        )


def _insert_review(connection: Connection, one: ForeignReview) -> None:
    review = one.review
    _insert(
        connection,
        "reviews",
        {
            "id": review.id,
            "study": review.study,
            "content": msgspec.json.encode(review).decode(),
            "finished": one.finished,
            "head": one.head,
            "lines": one.lines,
            "created_s": one.created_s,
        },
    )
    for key, count_id in review.keys.items():
        connection.execute(
            "INSERT INTO review_items VALUES (?, ?, ?, ?)",
            (key, review.id, count_id, one.strata[key]),
        )
    for key, observer, marked in one.marks:
        points = msgspec.json.encode(marked.points).decode()
        connection.execute(
            "INSERT INTO review_marks VALUES (?, ?, ?, ?)", (key, observer, points, marked.done)
        )
    for number, content, link in one.log:
        connection.execute(
            "INSERT INTO review_log VALUES (?, ?, ?, ?)", (review.id, number, content, link)
        )


def _insert(connection: Connection, table: str, values: Mapping[str, object]) -> None:
    names = ", ".join(values)
    marks = ", ".join(f":{name}" for name in values)
    connection.execute(f"INSERT INTO {table} ({names}) VALUES ({marks})", values)
