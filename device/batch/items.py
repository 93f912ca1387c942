"""The images of a batch: found in folders, counted and saved one by one."""

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import NoReturn

import msgspec

from device.batch.spool import Found, Item, Spool
from device.counting.pipeline import count_frame
from device.counting.records import Counted, CountSettings, Frame
from device.counting.segmenter import Segmenter
from device.counting.tiles import Progress
from device.errors import InputError
from device.imageio.filenames import SEARCH_DEEPER, Judged, Kind, holds_images, judge_file
from device.machine.clock import Stopwatch
from device.machine.files import display_name
from device.machine.provenance import software_versions
from device.sandbox import read_frame

__all__ = [
    "Found",
    "Item",
    "Outcome",
    "Search",
    "count_item",
    "find_images",
    "search",
    "search_into",
]

Writer = Callable[[str, Frame, Counted], None]
"""Saves a counted image under a name relative to the output folder."""


@dataclass(frozen=True, slots=True, eq=False)
class Outcome:
    """The outcome of an item: a count, or the sentence that says why not."""

    item: Item
    counted: Counted | None = None
    error: str = ""


@dataclass(frozen=True, slots=True)
class Search:
    """What the named files and folders hold.

    Attributes:
        items: images to count, in the order of their names.
        foreign: (name, reason) of images that cannot be read.
        passed: (name, reason) of other files.
    """

    items: list[Item]
    foreign: list[tuple[str, str]]
    passed: list[tuple[str, str]]


def find_images(paths: Iterable[Path], *, recursive: bool = False) -> list[Item]:
    """Expand folders into their images, in the order of their names; files stay as they are.

    Raises:
        InputError: a folder without images.
    """
    return search(paths, recursive=recursive).items


def search(paths: Iterable[Path], *, recursive: bool = False) -> Search:
    """`find_images`, with every file that is passed over.

    Raises:
        InputError: a folder without images.
    """
    with Spool() as spool:
        search_into(spool, paths, recursive=recursive)
        foreign, passed = spool.others(Kind.FOREIGN), spool.others(Kind.OTHER)
        return Search(list(spool.items()), list(foreign), list(passed))


def search_into(spool: Spool, paths: Iterable[Path], *, recursive: bool = False) -> None:
    """Find the images of folders; memory does not grow with their number.

    An image goes by its name within its folder. Where several folders are named, or two files of one name, it goes by
    its place below the folder that holds them all: the tables say which is which.

    Raises:
        InputError: a folder without images.
    """
    named = list({_place(path): path for path in reversed(list(paths))}.values())[::-1]
    for number, (path, name) in enumerate(zip(named, _prefixes(named), strict=True)):
        if not path.is_dir():
            spool.add(number, Found(Item(path, name), place=_place(path)))
            continue
        images = False
        deeper = False
        for found in _search_folder(path, name, recursive):
            images = images or found.kind is not Kind.OTHER
            deeper = deeper or found.reason == SEARCH_DEEPER
            if found.kind is not Kind.OTHER or found.reason:
                spool.add(number, found)
        if not images:
            _refuse_folder(path, deeper=deeper)


def _prefixes(paths: list[Path]) -> list[str]:
    """What the names of each path's images begin with; a file's is its whole name."""
    folders = [path for path in paths if path.is_dir()]
    names = ["" if path.is_dir() else path.name for path in paths]
    files = [path.name for path in paths if not path.is_dir()]
    if len(folders) + bool(files) <= 1 and len(set(files)) == len(files):
        return names
    places = [Path(os.path.abspath(path)) for path in paths]  # noqa: PTH100 - links stay what people call them
    common = Path(os.path.commonpath([place.parent for place in places]))
    return [str(place.relative_to(common)) for place in places]


def _search_folder(folder: Path, prefix: str, recursive: bool) -> Iterator[Found]:
    for path in _walk(folder, recursive):
        relative = path.relative_to(folder)
        judged = judge_file(folder, relative) if path.is_file() else _judge_other(path, recursive)
        item = Item(path, str(PurePath(prefix) / relative))
        place = _place(path) if judged.kind is Kind.IMAGE else ""
        yield Found(item, judged.kind, judged.reason, place)


def _walk(folder: Path, recursive: bool) -> Iterator[Path]:
    """Files and folders, in no order; links to folders are not followed, and folders that cannot be read are empty."""
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                yield folder / entry.name
                if recursive and entry.is_dir(follow_symlinks=False):
                    yield from _walk(folder / entry.name, recursive)
    except PermissionError:  # lost+found of every disk, for one
        return
    except OSError as error:
        raise InputError(
            f"The folder {display_name(folder)} cannot be read ({error.strerror}); check the disk or the connection."
        ) from None


def _refuse_folder(folder: Path, *, deeper: bool) -> NoReturn:
    remedy = (
        "its sub-folders do: --recursive counts them" if deeper else "name another folder or a file"
    )
    raise InputError(
        f"The folder {display_name(folder)} contains no PNG, JPEG or TIFF images; {remedy}."
    )


def _judge_other(path: Path, recursive: bool) -> Judged:
    """Why what is no file is passed over; no word about folders that are searched or hold no images."""
    if not path.is_dir():
        lost = path.is_symlink() and not path.exists()
        return Judged(Kind.OTHER, "a link to a file that is not there" if lost else "no file")
    if path.suffix.lower() == ".zarr":
        return judge_file(path.parent, PurePath(path.name))
    if recursive or path.name.startswith("."):
        return Judged(Kind.OTHER)
    try:
        inside = holds_images(path)
    except OSError:
        inside = False
    return Judged(Kind.OTHER, SEARCH_DEEPER if inside else "")


def _place(path: Path) -> str:
    """The same for all ways to write a path; a link keeps the name that a person gave it."""
    if path.is_dir():
        return os.path.realpath(path)
    return os.path.join(os.path.realpath(path.parent), path.name)  # noqa: PTH118 - realpath gives no Path


def count_item(
    item: Item,
    segmenter: Segmenter,
    settings: CountSettings,
    *,
    write: Writer | None = None,
    progress: Progress | None = None,
) -> Outcome:
    """Read, count and save one image; for an image that cannot be used the outcome is the reason."""
    watch = Stopwatch()
    try:
        with watch.stage("read"):
            frame = read_frame(item.path, settings.reading)
        counted = count_frame(frame, segmenter, settings, progress=progress, stage=watch.stage)
    except InputError as error:
        return Outcome(item, error=str(error))
    counted = _describe(counted, watch)
    if write is not None:
        with watch.stage("write"):
            write(item.name, frame, counted)
    return Outcome(item, _describe(counted, watch))


def _describe(counted: Counted, watch: Stopwatch) -> Counted:
    """The same result with the time taken so far, and the software versions."""
    result = msgspec.structs.replace(
        counted.result, seconds=watch.seconds(), versions=software_versions()
    )
    return Counted(result, counted.probability, counted.labels)
