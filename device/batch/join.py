"""Joins the tables of several --out folders, such as those of the shards of one archive, into one."""

import csv
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import msgspec

from device.batch.run import Run, read_run, write_run
from device.batch.spool import sort_key
from device.errors import InputError
from device.export.tables import ERRORS_COLUMNS, counts_header, csv_lines
from device.machine.files import display_name, open_atomic

COUNTS, ERRORS = "counts.csv", "errors.csv"
_SCHEMA = """
CREATE TABLE line (
    "table" TEXT NOT NULL, sort_key BLOB NOT NULL, name TEXT NOT NULL, folder INTEGER NOT NULL, line BLOB NOT NULL
)
"""
_COUNT_COLUMN = counts_header().index("count")


@dataclass(frozen=True, slots=True)
class Joined:
    """What the joined tables hold: counted images, others, and cells."""

    counted: int
    failed: int
    cells: int


def join_folders(folders: Sequence[Path], out_dir: Path) -> Joined:
    """Write one counts.csv and errors.csv, in the order of the names; the files of the images stay where they are.

    The lines are those of the tables, byte for byte. Memory does not grow with their number.

    Raises:
        InputError: the folders do not fit together, lack a shard or have an image twice; nothing is written.
        OSError: `out_dir` cannot be written.
    """
    if (out_dir / COUNTS).exists():
        raise InputError(
            f"{display_name(str(out_dir))} already holds a {COUNTS}; name another folder with --out."
        )
    runs = [read_run(folder) for folder in folders]
    _require_alike(folders, runs)
    _require_all_shards(folders, runs)
    with closing(sqlite3.connect("", isolation_level=None)) as database:
        database.execute(_SCHEMA)
        database.execute("BEGIN")
        cells = sum(
            _take(database, number, folder, run)
            for number, (folder, run) in enumerate(zip(folders, runs, strict=True))
        )
        _require_once(database, folders)
        out_dir.mkdir(parents=True, exist_ok=True)
        counted = _write(database, out_dir, COUNTS, counts_header())
        failed = _write(database, out_dir, ERRORS, ERRORS_COLUMNS)
    total = counted + failed
    whole = msgspec.structs.replace(runs[0], shard=None, images=total, all_images=total)
    write_run(out_dir, whole, finished=True)
    return Joined(counted, failed, cells)


def _require_alike(folders: Sequence[Path], runs: Sequence[Run]) -> None:
    first = runs[0]
    for folder, run in zip(folders, runs, strict=True):
        for what, one, other in (
            ("model", (first.asked, first.model), (run.asked, run.model)),
            ("settings", first.settings, run.settings),
            ("version of fluocount", first.software, run.software),
        ):
            if one != other:
                raise InputError(
                    f"{_shown(folders[0])} and {_shown(folder)} were counted with another {what}, so their counts do "
                    "not belong in one table; count one of them again."
                )


def _require_all_shards(folders: Sequence[Path], runs: Sequence[Run]) -> None:
    if all(run.shard is None for run in runs):
        return
    seen: dict[tuple[int, int], Path] = {}
    for folder, run in zip(folders, runs, strict=True):
        if run.shard is None or runs[0].shard is None or run.shard[1] != runs[0].shard[1]:
            raise InputError(
                f"{_shown(folders[0])} and {_shown(folder)} are not shards of the same division; name all shards of "
                "one count, and nothing else."
            )
        if (run.fingerprint, run.all_images) != (runs[0].fingerprint, runs[0].all_images):
            raise InputError(
                f"{_shown(folders[0])} ({runs[0].all_images} images) and {_shown(folder)} ({run.all_images}) are "
                "shards of different images: files were added or removed between the counts. Run all shards again with "
                "--resume."
            )
        if run.shard in seen:
            raise InputError(
                f"{_shown(seen[run.shard])} and {_shown(folder)} are both shard {run.shard[0]} of {run.shard[1]}; "
                "name one of them."
            )
        seen[run.shard] = folder
    of = next(iter(seen))[1]
    if missing := [f"{number}/{of}" for number in range(1, of + 1) if (number, of) not in seen]:
        raise InputError(
            f"{len(seen)} of {of} shards are named; missing: {', '.join(missing[:50])}. Count them with --shard and "
            "name all folders."
        )


def _take(database: sqlite3.Connection, number: int, folder: Path, run: Run) -> int:
    """Take over the lines of a folder; returns its cells."""
    taken = cells = 0
    for table, header in ((COUNTS, counts_header()), (ERRORS, list(ERRORS_COLUMNS))):
        for line, fields in _lines(folder / table, header):
            # Without the sign that keeps a spreadsheet from running it, the order is that of one count.
            name = fields[0]
            key = sort_key(name.removeprefix("'").encode(errors="surrogateescape"))
            database.execute(
                "INSERT INTO line VALUES (?, ?, ?, ?, ?)", (table, key, name, number, line)
            )
            taken += 1
            cells += int(fields[_COUNT_COLUMN]) if table == COUNTS else 0
    if taken != run.images:
        raise InputError(
            f"The tables in {_shown(folder)} have {taken} lines for {run.images} images; run the same count again "
            "with --resume."
        )
    return cells


def _lines(path: Path, header: list[str]) -> Iterator[tuple[bytes, list[str]]]:
    """(bytes, fields) of each line; none where there is no such table."""
    try:
        stream = path.open("rb")
    except FileNotFoundError:
        return
    with stream:
        if stream.readline() != csv_lines([header]).encode():
            raise InputError(
                f"{_shown(path)} has other columns than this version writes; run the same count again with --resume."
            )
        for line in stream:
            (fields,) = csv.reader([line.decode(errors="surrogateescape")])
            if len(fields) != len(header) or not line.endswith(b"\r\n"):
                raise InputError(
                    f"{_shown(path)} is damaged ({len(fields)} columns instead of {len(header)}); run the same count "
                    "again with --resume."
                )
            yield line, fields


def _require_once(database: sqlite3.Connection, folders: Sequence[Path]) -> None:
    twice = database.execute(
        "SELECT name, MIN(folder), MAX(folder) FROM line GROUP BY name HAVING MIN(folder) != MAX(folder) LIMIT 1"
    ).fetchone()
    if twice is not None:
        name, one, other = twice
        raise InputError(
            f"{name} is in {_shown(folders[one])} and in {_shown(folders[other])}; count from the folder above both, "
            "each computer with its --shard, so that every image has a name of its own."
        )


def _write(database: sqlite3.Connection, out_dir: Path, table: str, header: Sequence[str]) -> int:
    lines = database.execute(
        'SELECT line FROM line WHERE "table" = ? ORDER BY sort_key, rowid', (table,)
    )
    first = lines.fetchone()
    if first is None and table == ERRORS:
        return 0
    written = 0
    with open_atomic(out_dir / table) as stream:
        stream.write(csv_lines([header]).encode())
        for (line,) in chain([first] if first else [], lines):
            stream.write(line)
            written += 1
    return written


def _shown(path: Path) -> str:
    return display_name(str(path))
