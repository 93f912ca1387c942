"""Stored counts as files in a folder: what `fluocount export` writes."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Literal, get_args

from device.errors import DamagedError, NotFoundError
from device.export.archive import archive_parts, plain_name
from device.export.regions import REGIONS_COLUMNS
from device.export.stored import (
    FileFormat,
    StoredCount,
    counts_lines,
    export_file,
    load_count,
    regions_lines,
)
from device.export.tables import counts_header, csv_lines
from device.machine.files import display_name, open_atomic, write_atomic
from device.store import CountRow, Store

Format = Literal["counts", "regions", "cells", "rois", "labels", "geojson", "archive"]
FORMATS: tuple[Format, ...] = get_args(Format)

_PER_COUNT: dict[Format, tuple[FileFormat, str]] = {
    "cells": ("cells.csv", "cells.csv"),
    "rois": ("rois.zip", "rois.zip"),
    "labels": ("labels.tiff", "labels.ome.tif"),
    "geojson": ("cells.geojson", "geojson"),
}


def counts_table(store: Store, rows: Iterable[CountRow]) -> str:
    """The counts as one CSV table with header; see `counts_lines` for damaged ones."""
    return csv_lines([counts_header(), *counts_lines(store, rows)])


def regions_table(store: Store, rows: Iterable[CountRow]) -> str:
    """The regions of the counts as one CSV table with header; see `regions_lines` for damaged ones."""
    return csv_lines([REGIONS_COLUMNS, *regions_lines(store, rows)])


_TABLES: dict[Format, Callable[[Store, Iterable[CountRow]], str]] = {
    "counts": counts_table,
    "regions": regions_table,
}


def write_exports(
    store: Store, rows: list[CountRow], formats: Iterable[Format], out_dir: Path
) -> tuple[list[Path], list[str]]:
    """Write done counts in these formats; files of the same name are replaced.

    A count whose own files are damaged does not keep the others from being written.

    Args:
        store: where the counts are.
        rows: done counts.
        formats: counts gives counts.csv, regions gives regions.csv and archive gives counts.zip; the others give
            one file per count, named by its number in the store and its image.
        out_dir: created if missing.

    Returns:
        The files, and a sentence for each that could not be made.

    Raises:
        OSError: the folder cannot be written, or there is no room for the archive.
    """
    out_dir.mkdir(parents=True, exist_ok=True)
    chosen = set(formats)
    written: list[Path] = []
    problems: list[str] = []
    for kind in _TABLES.keys() & chosen:
        written.append(out_dir / f"{kind}.csv")
        write_atomic(written[-1], _TABLES[kind](store, rows).encode())
    if "archive" in chosen:
        written.append(out_dir / "counts.zip")
        with open_atomic(written[-1]) as target:
            target.writelines(archive_parts(store, rows))
    per_count = [kind for kind in FORMATS if kind in chosen and kind in _PER_COUNT]
    for row in rows if per_count else []:
        try:
            count = load_count(store, row)
            written += [_write_one(store, count, kind, out_dir) for kind in per_count]
        except (DamagedError, NotFoundError) as error:
            problems.append(f"{display_name(row.image)}: {error}")
    return written, problems


def _write_one(store: Store, count: StoredCount, kind: Format, out_dir: Path) -> Path:
    file_format, suffix = _PER_COUNT[kind]
    path = out_dir / f"{plain_name(count.row)}.{suffix}"
    write_atomic(path, export_file(store, count, file_format))
    return path
