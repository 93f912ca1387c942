"""Several stored counts in one ZIP: the table, and a folder per count with everything about it."""

import io
import re
import shutil
import tempfile
import zipfile
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import IO, get_args

from device.errors import DamagedError, NotFoundError, StorageError
from device.export.stored import FileFormat, counts_lines, export_file, load_count
from device.export.tables import counts_header, csv_lines
from device.store import CountRow, Store

_AS_STORED = ("overlay.jpg", "outlines.png", "probability.png", "result.json")


def write_archive(store: Store, rows: Iterable[CountRow]) -> IO[bytes]:
    """Write the archive to a nameless file in the data folder.

    What cannot be read of a count is left out and named in problems.txt.

    Args:
        store: where the counts are.
        rows: done counts.

    Returns:
        The open file at its beginning; closing it frees its space.

    Raises:
        StorageError: the disk is full.
    """
    # Not in /tmp, which is memory on many systems.
    stream = tempfile.TemporaryFile(dir=store.data_dir)  # noqa: SIM115 - the caller closes it
    problems: list[str] = []
    there = list(rows)
    try:
        with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
            for row in there:
                problems += _add(archive, store, row)
            archive.writestr(
                "counts.csv", csv_lines([counts_header(), *counts_lines(store, there)])
            )
            if problems:
                archive.writestr("problems.txt", "\n".join([*problems, ""]))
    except OSError as error:
        stream.close()
        raise StorageError(
            f"The archive cannot be written ({error.strerror}); free some space in {store.data_dir}."
        ) from None
    stream.seek(0)
    return stream


def _add(archive: zipfile.ZipFile, store: Store, row: CountRow) -> list[str]:
    """One count's folder; returns a sentence for each part that cannot be read."""
    folder, problems = plain_name(row), []
    for name, open_part in _parts(store, row):
        try:
            source = open_part()
        except (DamagedError, NotFoundError, OSError) as error:
            problems.append(f"{folder}/{name} is missing: {error}")
            continue
        entry = zipfile.ZipInfo(f"{folder}/{name}")
        # Images are compressed already.
        packed = name.endswith((".jpg", ".jpeg", ".png"))
        entry.compress_type = zipfile.ZIP_STORED if packed else zipfile.ZIP_DEFLATED
        with source, archive.open(entry, "w") as target:
            shutil.copyfileobj(source, target)
    return problems


def _parts(store: Store, row: CountRow) -> Iterator[tuple[str, Callable[[], IO[bytes]]]]:
    """Names within the count's folder, and how each is opened."""
    original = store.counts.original_path(row)
    yield original.name, partial(_open, original)
    for name in _AS_STORED:
        yield name, partial(_open_stored, store, row, name)
    for file_format in get_args(FileFormat):
        yield file_format, partial(_encode, store, row, file_format)


def _open(path: Path) -> IO[bytes]:
    return path.open("rb")


def _open_stored(store: Store, row: CountRow, name: str) -> IO[bytes]:
    return _open(store.product(row.id, name))


def _encode(store: Store, row: CountRow, file_format: FileFormat) -> IO[bytes]:
    return io.BytesIO(export_file(store, load_count(store, row), file_format))


def plain_name(row: CountRow) -> str:
    """Number and image of a count as every file system takes it, e.g. 000017-mouse_3."""
    stem = re.sub(r"[^A-Za-z0-9._-]+", "_", Path(row.image).stem).strip("._")[:60]
    return f"{row.sequence:06d}-{stem or 'image'}"
