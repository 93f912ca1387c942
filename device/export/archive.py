"""Several stored counts in one ZIP: the table, and a folder per count with everything about it."""

import io
import re
import shutil
import zipfile
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import IO, get_args

import msgspec

from device.counting.records import to_json
from device.errors import DamagedError, NotFoundError
from device.export.corrected import corrected_count
from device.export.pictures import draw_corrected
from device.export.regions import REGIONS_COLUMNS
from device.export.stored import (
    FileFormat,
    counts_lines,
    export_file,
    load_count,
    regions_lines,
)
from device.export.tables import counts_header, csv_lines
from device.machine.pipe import Pipe
from device.store import CountRow, Store


def archive_parts(store: Store, rows: Iterable[CountRow]) -> Iterator[bytes]:
    """The archive in pieces as it is made, so that thousands of counts need neither memory nor disk.

    What cannot be read of a count is left out and named in problems.txt.

    Args:
        store: where the counts are.
        rows: done counts; read one at a time.
    """
    pipe, problems = Pipe(), list[str]()
    table, regions = csv_lines([counts_header()]), csv_lines([REGIONS_COLUMNS])
    with zipfile.ZipFile(pipe, "w", zipfile.ZIP_DEFLATED) as archive:
        for row in rows:
            table += csv_lines(counts_lines(store, [row]))
            regions += csv_lines(regions_lines(store, [row]))
            for name, open_part in _parts(store, row):
                problems += _add(archive, f"{plain_name(row)}/{name}", open_part)
                yield pipe.take()
        archive.writestr("counts.csv", table)
        archive.writestr("regions.csv", regions)
        if problems:
            archive.writestr("problems.txt", "\n".join([*problems, ""]))
    yield pipe.take()


def _add(archive: zipfile.ZipFile, name: str, open_part: Callable[[], IO[bytes]]) -> list[str]:
    """One file; returns a sentence if it cannot be read."""
    try:
        source = open_part()
    except (DamagedError, NotFoundError, OSError) as error:
        return [f"{name} is missing: {error}"]
    entry = zipfile.ZipInfo(name)
    # Images are compressed already.
    packed = name.endswith((".jpg", ".jpeg", ".png"))
    entry.compress_type = zipfile.ZIP_STORED if packed else zipfile.ZIP_DEFLATED
    with source, archive.open(entry, "w") as target:
        shutil.copyfileobj(source, target)
    return []


def _parts(store: Store, row: CountRow) -> Iterator[tuple[str, Callable[[], IO[bytes]]]]:
    """Names within the count's folder, and how each is opened."""
    if row.instrument is None or store.folders.original(row.id, row.suffix).is_file():
        original = store.counts.original_path(row)
        yield original.name, partial(_open, original)
    yield "probability.png", partial(_open_stored, store, row, "probability.png")
    yield "result.json", partial(_open_result, store, row)
    for name in ("overlay.jpg", "outlines.png"):
        yield name, partial(_open_picture, store, row, name)
    for file_format in get_args(FileFormat):
        if file_format == "regions.csv" and not row.regions:
            continue
        yield file_format, partial(_encode, store, row, file_format)


def _open(path: Path) -> IO[bytes]:
    return path.open("rb")


def _open_stored(store: Store, row: CountRow, name: str) -> IO[bytes]:
    return _open(store.product(row.id, name))


def _open_picture(store: Store, row: CountRow, name: str) -> IO[bytes]:
    count = load_count(store, row)
    if not count.is_changed(name):
        return _open_stored(store, row, name)
    return io.BytesIO(draw_corrected(store, count, name))


def _open_result(store: Store, row: CountRow) -> IO[bytes]:
    """The automatic result, what people corrected, and the regions that they drew."""
    log = store.corrections.of(row.id)
    if not (log or row.regions):
        return _open_stored(store, row, "result.json")
    corrected = corrected_count(store.result(row.id), load_count(store, row).corrections)
    made = {"corrected_count": corrected, "corrections": log, "regions": row.regions}
    return io.BytesIO(to_json({**msgspec.to_builtins(store.result(row.id)), **made}))


def _encode(store: Store, row: CountRow, file_format: FileFormat) -> IO[bytes]:
    return io.BytesIO(export_file(store, load_count(store, row), file_format))


def plain_name(row: CountRow) -> str:
    """Number and image of a count as every file system takes it, e.g. 000017-mouse_3."""
    stem = re.sub(r"[^A-Za-z0-9._-]+", "_", Path(row.image).stem).strip("._")[:60]
    return f"{row.sequence:06d}-{stem or 'image'}"
