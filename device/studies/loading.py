"""Images of a folder into a study: split, show, then store and count."""

import csv
import hashlib
import io
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from device.batch.items import Item, search
from device.errors import FluocountError, InputError, QueueFullError, StorageError
from device.jobs.captures import Capturer
from device.jobs.intake import DEFAULT_OPTIONS, MAX_SAMPLE_CHARS, CountOptions, Intake
from device.store import CountRow, Store
from device.store.records import WAITING
from device.store.studies import Place, Study
from device.studies.naming import Split, places_from_table, split_names

_LOOK_S = 0.2
"""How often to look whether the queue has room or a count is done."""


class Planned(msgspec.Struct, frozen=True, kw_only=True):
    """What a folder holds and how its names are understood; nothing is stored yet.

    Attributes:
        splits: one an image, in the order of `paths`.
        passed: sentences about files that are no images.
    """

    paths: tuple[Path, ...]
    splits: tuple[Split, ...]
    passed: tuple[str, ...]

    @property
    def problems(self) -> list[Split]:
        """Images whose name was not understood."""
        return [split for split in self.splits if split.problem]


class Loaded(msgspec.Struct, frozen=True, kw_only=True):
    """The counts that were accepted, and a sentence for each image that was not."""

    rows: tuple[CountRow, ...]
    problems: tuple[str, ...]


def plan_folder(study: Study, folder: Path, table: Path | None = None) -> Planned:
    """How the images of a folder and its sub-folders are understood.

    Args:
        study: with its pattern.
        folder: of the images.
        table: CSV with the columns image, group, subject; takes the place of the pattern.

    Raises:
        InputError: no images, neither pattern nor table, or one of them cannot be used.
    """
    if not folder.is_dir():
        raise InputError(f"{folder} is not a folder; name the folder with the images.")
    found = search([folder], recursive=True)
    names = [item.name for item in found.items]
    if table is not None:
        splits = _by_table(read_places(table), found.items)
    elif study.pattern:
        splits = split_names(study.pattern, names)
    else:
        raise InputError(
            f"The study {study.name!r} has no pattern for file names; give one, such as "
            "{group}_{subject}_s{slice}, or a table with --csv."
        )
    passed = [f"{name}: {reason}" for name, reason in (*found.foreign, *found.passed)]
    checked = [_in_group(study, split) for split in splits]
    return Planned(
        paths=tuple(item.path for item in found.items),
        splits=tuple(checked),
        passed=tuple(passed),
    )


def read_places(table: Path) -> dict[str, Place]:
    """The places that a CSV file gives, by image; comma or semicolon.

    Raises:
        InputError: it cannot be read or lacks a column.
    """
    try:
        text = table.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{table} cannot be read ({error}); save it as CSV (UTF-8).") from None
    return table_places(text)


def table_places(text: str) -> dict[str, Place]:
    """The places in the text of a CSV, by image.

    Raises:
        InputError: it lacks a column.
    """
    head = text.split("\n", 1)[0]
    separator = max(",;\t", key=head.count)
    lines = csv.DictReader(io.StringIO(text), delimiter=separator)
    lines.fieldnames = [name.strip().lower() for name in lines.fieldnames or []]
    return places_from_table(lines)


def load(
    store: Store,
    intake: Intake,
    study: Study,
    planned: Planned,
    said: Callable[[int, int], None] = lambda done, total: None,
) -> Loaded:
    """Accept every image of a plan and put it into the study; waits while the queue is full.

    A second call with the same files accepts nothing twice.

    Args:
        store, intake: receive the images.
        study: they belong to.
        planned: of `plan_folder`, without problems.
        said: told how many of how many are accepted.

    Raises:
        InputError: a name was not understood.
        StorageError: nothing more can be stored.
    """
    if planned.problems:
        raise InputError(
            f"{len(planned.problems)} names are not understood, so nothing was stored; rename them, change the "
            "pattern, or give a table."
        )
    rows, problems = [], []
    for number, (path, split) in enumerate(zip(planned.paths, planned.splits, strict=True), 1):
        try:
            row = _accept(intake, study, path, split)
            store.studies.assign(study.name, {row.id: split.place})
            rows.append(row)
        except StorageError:
            raise
        except (FluocountError, OSError) as error:
            problems.append(f"{split.name}: {error}")
        said(number, len(planned.paths))
    return Loaded(rows=tuple(rows), problems=tuple(problems))


def wait_until_counted(
    store: Store, rows: Sequence[CountRow], said: Callable[[int, int], None]
) -> list[CountRow]:
    """Wait until none of the counts waits any more; returns them as they are then.

    Args:
        store: with the counts; somebody's worker counts them.
        rows: of the counts.
        said: told how many of how many are done.
    """
    pause = threading.Event()
    while True:
        present = [store.counts.get(row.id) for row in rows]
        waiting = sum(row.status in WAITING for row in present)
        said(len(rows) - waiting, len(rows))
        if not waiting:
            return present
        pause.wait(_LOOK_S)


def capture(store: Store, capturer: Capturer, options: CountOptions = DEFAULT_OPTIONS) -> CountRow:
    """Take a picture; where captures belong to a study, it goes to its place there and the slice counts up.

    Raises:
        As `Capturer.capture`.
    """
    position = store.studies.capturing()
    if position is None:
        return capturer.capture(options)
    study = store.studies.get(position.study)
    place = position.place
    name = " ".join(
        part for part in (place.group, place.subject, place.region, place.slice) if part
    )
    row = capturer.capture(
        msgspec.structs.replace(
            options,
            sample=options.sample or f"{study.name}: {name}"[:MAX_SAMPLE_CHARS],
            assay=options.assay or study.assay or None,
        )
    )
    store.studies.assign(study.name, {row.id: place})
    store.studies.next_slice(position)
    return row


def _by_table(places: dict[str, Place], items: Sequence[Item]) -> list[Split]:
    """By relative path, else by file name; lines without an image are an error of the last split."""
    splits = []
    for item in items:
        place = places.pop(item.name, None) or places.pop(Path(item.name).name, None)
        if place is None:
            splits.append(Split(name=item.name, problem="The table has no line for this image."))
        elif not place.is_complete:
            splits.append(Split(name=item.name, place=place, problem="Group or subject is empty."))
        else:
            splits.append(Split(name=item.name, place=place))
    if places:
        raise InputError(
            f"The table names images that are not in the folder: {', '.join(list(places)[:5])}; correct the table."
        )
    return splits


def _in_group(study: Study, split: Split) -> Split:
    if split.problem or not study.groups or split.place.group in study.groups:
        return split
    told = f"{split.place.group!r} is none of the groups {', '.join(study.groups)}."
    return msgspec.structs.replace(split, problem=told)


def _accept(intake: Intake, study: Study, path: Path, split: Split) -> CountRow:
    data = path.read_bytes()
    sha256 = hashlib.sha256(data).hexdigest()
    options = CountOptions(
        sample=f"{split.place.group} {split.place.subject}"[:MAX_SAMPLE_CHARS],
        assay=study.assay or None,
        once_key=f"study:{study.name}:{split.name}:{sha256}",
    )
    pause = threading.Event()
    while True:
        try:
            return intake.accept(data, split.name, "batch", options)
        except QueueFullError:
            pause.wait(_LOOK_S)
