"""A study as an RO-Crate (version 1.1): a folder that other laboratories and archives can open.

    ro-crate-metadata.json     what everything is (https://w3id.org/ro/crate/1.1)
    study.json                 question, groups, and the place of every image
    counts/ID/                 image, probability map, labels, pictures, result.json; row.json: settings, corrections
    assays/NAME-VERSION.json   the assays that were used
    models/NAME.json           their model cards
    reviews/ID.json            blinded reviews: marks, and the log as it was chained
    images.csv, report.html    tables, and report and figure where their libraries are installed

`fluocount open FOLDER` (device.studies.opening) reads it back.
"""

import hashlib
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import msgspec

from device import __version__
from device.assays.library import encode_assay
from device.errors import ConflictError, FluocountError, InputError, NotFoundError
from device.machine.files import sha256_of
from device.models.card import find_model
from device.store import CountRow, Store
from device.store.adopting import ForeignReview, ForeignStudy
from device.store.records import WAITING, Correction
from device.store.results import PRODUCTS
from device.store.studies import Study
from device.studies.bundle import Part, write_folder
from device.studies.tables import images_csv
from device.studies.values import image_lines

METADATA = "ro-crate-metadata.json"
PROFILE = "https://w3id.org/ro/crate/1.1"
CONTEXT = [f"{PROFILE}/context", {"sha256": "https://schema.org/sha256"}]
"""RO-Crate 1.1 does not know sha256 itself; a term that no context defines is lost when others read it."""
NO_LICENCE = "No licence was stated: ask the authors before you use these data."
_MEDIA = {
    ".json": "application/json",
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".tif": "image/tiff",
    ".tiff": "image/tiff",
    ".csv": "text/csv",
    ".html": "text/html",
    ".svg": "image/svg+xml",
}


_DESCRIPTOR = {
    "@id": METADATA,
    "@type": "CreativeWork",
    "conformsTo": {"@id": PROFILE},
    "about": {"@id": "./"},
}
_SOFTWARE = {
    "@id": "#fluocount",
    "@type": "SoftwareApplication",
    "name": "fluocount",
    "version": __version__,
}


class StoredRow(msgspec.Struct, frozen=True, kw_only=True):
    """The file row.json of a count."""

    row: CountRow
    corrections: tuple[Correction, ...]


def write_crate(store: Store, name: str, out_dir: Path, licence: str = NO_LICENCE) -> list[Path]:
    """Write a study as an RO-Crate; returns the files.

    Args:
        store: with the study.
        name: of the study.
        out_dir: new or empty.
        licence: of the data: its name, or its address.

    Raises:
        InputError: the folder holds files already.
        StorageError: it cannot be written.
        NotFoundError, ConflictError: as `crate_parts`.
    """
    return write_folder(crate_parts(store, name, licence), out_dir)


def crate_parts(store: Store, name: str, licence: str = NO_LICENCE) -> Iterator[Part]:
    """The files of the crate one by one, its metadata last.

    Raises:
        NotFoundError: there is no such study, or an image stayed on the instrument that made the count.
        ConflictError: an image is still being counted.
    """
    study = store.studies.get(name)
    rows = _rows(store, name)
    return _add_metadata(study, _contents(store, name, rows), licence)


def _add_metadata(study: Study, contents: Iterator[Part], licence: str) -> Iterator[Part]:
    """The files, then the metadata that name each with its size and SHA-256."""
    entities = []
    for path, content in contents:
        entities.append(_file_entity(path, content))
        yield path, content
    yield METADATA, _metadata(study, sorted(entities, key=lambda one: str(one["@id"])), licence)


def _rows(store: Store, name: str) -> list[CountRow]:
    """Every count of every image of the study, also the earlier ones, in their order."""
    rows: dict[str, CountRow] = {}
    for image in store.studies.images(name):
        for row in store.counts.versions(image.row.version_of or image.row.id):
            if row.status in WAITING:
                raise ConflictError(f"{row.image} is still being counted; wait until that is done.")
            if not store.counts.original_path(row).is_file():
                raise NotFoundError(f"The image {row.image} is missing; restore it from a backup.")
            rows[row.id] = row
    return sorted(rows.values(), key=lambda row: row.sequence)


def _contents(store: Store, name: str, rows: list[CountRow]) -> Iterator[Part]:
    """Every file but the metadata."""
    places = {
        image.row.version_of or image.row.id: image.place for image in store.studies.images(name)
    }
    yield "study.json", _pretty(ForeignStudy(study=store.studies.get(name), places=places))
    for row in rows:
        yield from _count(store, row.id)
    found = [row.settings.assay for row in rows if row.settings.assay is not None]
    used = {(assay.name, assay.version): assay for assay in found}
    for _, assay in sorted(used.items()):
        yield f"assays/{_plain(assay.name)}-{assay.version}.json", encode_assay(assay)
    yield from _cards({store.result(row.id).model.name for row in rows if row.status == "done"})
    for review in store.reviews.of_study(name):
        yield f"reviews/{review.id}.json", _pretty(foreign_review(store, review.id))
    yield "images.csv", images_csv(name, image_lines(store, name)).encode()
    yield from _report(store, name)


def _count(store: Store, count_id: str) -> Iterator[Part]:
    # Read together: somebody may correct the count while the export is on its way.
    with store.database.transaction():
        row, log = store.counts.get(count_id), tuple(store.corrections.of(count_id))
    folder = f"counts/{row.id}"
    yield f"{folder}/row.json", _pretty(StoredRow(row=row, corrections=log))
    original = store.counts.original_path(row)
    yield f"{folder}/{original.name}", original
    if row.status == "done":
        for product in PRODUCTS:
            yield f"{folder}/{product}", store.folders.product(row.id, row.revision, product)


def _cards(models: set[str]) -> Iterator[Part]:
    """The cards of the models that are installed here; the results name each model's version and SHA-256 anyway."""
    for model in sorted(models):
        try:
            card = find_model(model).with_suffix(".json")
            yield f"models/{_plain(card.stem)}.json", card.read_bytes()
        except (FluocountError, OSError):
            continue


def _report(store: Store, name: str) -> Iterator[Part]:
    from device.studies.analysis import analyse
    from device.studies.comparing import require_statistics
    from device.studies.report import report_files

    try:
        require_statistics()
    except InputError:
        return
    for path, data in report_files(store, analyse(store, name)).items():
        if path != "images.csv":
            yield path, data


def foreign_review(store: Store, review_id: str) -> ForeignReview:
    """A review as it leaves the house."""
    review = store.reviews.get(review_id)
    head, lines, created_s = store.reviews.end_of_log(review_id)
    marks = sorted(store.reviews.marks(review_id).items())
    return ForeignReview(
        review=review,
        finished=store.reviews.is_finished(review_id),
        head=head,
        lines=lines,
        created_s=created_s,
        strata=store.reviews.strata(review_id),
        marks=tuple((key, observer, marked) for (key, observer), marked in marks),
        log=tuple(store.reviews.raw_log(review_id)),
    )


def _metadata(study: Study, files: list[dict[str, Any]], licence: str) -> bytes:
    now = datetime.now(UTC).isoformat(timespec="seconds")
    images = [one["@id"] for one in files if "/original" in one["@id"]]
    licence_id = licence if licence.startswith(("https://", "http://")) else "#licence"
    described = f"The study {study.name}: images, counts and how they were checked."
    root = {
        "@id": "./",
        "@type": "Dataset",
        "name": study.name,
        "description": study.question or described,
        "datePublished": now,
        "license": {"@id": licence_id},
        "hasPart": [{"@id": one["@id"]} for one in files],
        "mentions": {"@id": "#counting"},
    }
    counting = {
        "@id": "#counting",
        "@type": "CreateAction",
        "name": "Cells were counted in the images",
        "endTime": now,
        "instrument": {"@id": "#fluocount"},
        "object": [{"@id": image} for image in images],
        "result": [{"@id": one["@id"]} for one in files if one["@id"].endswith("/result.json")],
    }
    said = {"@id": licence_id, "@type": "CreativeWork", "name": licence}
    graph = [_DESCRIPTOR, root, said, _SOFTWARE, counting, *files]
    return _pretty({"@context": CONTEXT, "@graph": graph})


def _file_entity(path: str, content: bytes | Path) -> dict[str, Any]:
    media = _MEDIA.get(Path(path).suffix.lower(), "application/octet-stream")
    if isinstance(content, Path):
        size, digest = content.stat().st_size, sha256_of(content)
    else:
        size, digest = len(content), hashlib.sha256(content).hexdigest()
    return {
        "@id": quote(path),
        "@type": "File",
        "name": Path(path).name,
        "encodingFormat": media,
        "contentSize": str(size),
        "sha256": digest,
    }


def _pretty(value: object) -> bytes:
    return msgspec.json.format(msgspec.json.encode(value), indent=1) + b"\n"


def _plain(name: str) -> str:
    """A name as every file system takes it."""
    return "".join(letter if letter.isalnum() or letter in "._-" else "_" for letter in name)
