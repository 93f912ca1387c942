"""Several stored counts in one ZIP: the table, and a folder per count with everything about it."""

import re
import shutil
import tempfile
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import IO, get_args

from device.export.stored import FileFormat, counts_line, export_file, load_count
from device.export.tables import counts_header, csv_lines
from device.store import CountRow, Store

_AS_STORED = ("overlay.jpg", "outlines.png", "probability.png", "result.json")


def write_archive(store: Store, rows: Iterable[CountRow]) -> IO[bytes]:
    """Write the archive to a nameless file in the data folder.

    Args:
        store: where the counts are.
        rows: done counts.

    Returns:
        The open file at its beginning; closing it frees its space.

    Raises:
        NotFoundError, StorageError: a count was deleted meanwhile or is damaged.
    """
    # Not in /tmp, which is memory on many systems.
    stream = tempfile.TemporaryFile(dir=store.data_dir)  # noqa: SIM115 - the caller closes it
    lines = []
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for row in rows:
            lines.append(_add(archive, store, row))
        archive.writestr("counts.csv", csv_lines([counts_header(), *lines]))
    stream.seek(0)
    return stream


def _add(archive: zipfile.ZipFile, store: Store, row: CountRow) -> list[str]:
    """One count's folder; returns its line of the table."""
    count = load_count(store, row)
    folder = plain_name(row)
    original = store.counts.original_path(row)
    _copy(archive, original, f"{folder}/{original.name}")
    for name in _AS_STORED:
        _copy(archive, store.product(row.id, name), f"{folder}/{name}")
    for file_format in get_args(FileFormat):
        archive.writestr(f"{folder}/{file_format}", export_file(store, count, file_format))
    return counts_line(count)


def _copy(archive: zipfile.ZipFile, path: Path, name: str) -> None:
    """Images are compressed already."""
    entry = zipfile.ZipInfo(name)
    packed = path.suffix in (".jpg", ".jpeg", ".png")
    entry.compress_type = zipfile.ZIP_STORED if packed else zipfile.ZIP_DEFLATED
    with path.open("rb") as source, archive.open(entry, "w") as target:
        shutil.copyfileobj(source, target)


def plain_name(row: CountRow) -> str:
    """Number and image of a count as every file system takes it, e.g. 000017-mouse_3."""
    stem = re.sub(r"[^A-Za-z0-9._-]+", "_", Path(row.image).stem).strip("._")[:60]
    return f"{row.sequence:06d}-{stem or 'image'}"
