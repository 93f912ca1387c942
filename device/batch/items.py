"""The images of a batch: found in folders, counted and kept one by one."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import msgspec

from device.counting.pipeline import count_frame
from device.counting.records import Counted, CountSettings, Frame
from device.counting.segmenter import Segmenter
from device.counting.tiles import Progress
from device.errors import InputError
from device.imageio import read_frame
from device.imageio.filenames import Kind, kind_of
from device.machine.clock import Stopwatch
from device.machine.provenance import software_versions

Writer = Callable[[str, Frame, Counted], None]
"""Keeps a counted image under a name relative to the output folder."""


@dataclass(frozen=True, slots=True)
class Item:
    """An image to count and the name its results go by, relative to the output folder."""

    path: Path
    name: str


@dataclass(frozen=True, slots=True, eq=False)
class Outcome:
    """What became of an item: a count, or the sentence that says why not."""

    item: Item
    counted: Counted | None = None
    error: str = ""


def find_images(paths: Iterable[Path], *, recursive: bool = False) -> list[Item]:
    """Expand folders into their images, in the order of their names; files are taken as they are.

    Raises:
        InputError: a folder without images.
    """
    items: list[Item] = []
    for path in paths:
        items += _images_in(path, recursive) if path.is_dir() else [Item(path, path.name)]
    return _unique_names(items)


def _images_in(folder: Path, recursive: bool) -> list[Item]:
    found = sorted(folder.rglob("*") if recursive else folder.glob("*"))
    images = [path for path in found if _is_image(path.relative_to(folder)) and path.is_file()]
    if not images:
        raise InputError(
            f"The folder {folder} contains no PNG, JPEG or TIFF images; name another folder or a file."
        )
    return [Item(path, str(path.relative_to(folder))) for path in images]


def _is_image(relative: Path) -> bool:
    return kind_of(relative) is Kind.IMAGE


def _unique_names(items: list[Item]) -> list[Item]:
    """Images of the same name from different folders keep apart by a number."""
    seen: dict[str, int] = {}
    unique: list[Item] = []
    for item in items:
        seen[item.name] = seen.get(item.name, 0) + 1
        number = seen[item.name]
        unique.append(item if number == 1 else Item(item.path, f"{item.name}~{number}"))
    return unique


def count_item(
    item: Item,
    segmenter: Segmenter,
    settings: CountSettings,
    *,
    write: Writer | None = None,
    progress: Progress | None = None,
) -> Outcome:
    """Read, count and keep one image; an image that cannot be used becomes an outcome with its reason."""
    watch = Stopwatch()
    try:
        with watch.stage("read"):
            frame = read_frame(item.path)
        counted = count_frame(frame, segmenter, settings, progress=progress, stage=watch.stage)
    except InputError as error:
        return Outcome(item, error=str(error))
    counted = _described(counted, watch)
    if write is not None:
        with watch.stage("write"):
            write(item.name, frame, counted)
    return Outcome(item, _described(counted, watch))


def _described(counted: Counted, watch: Stopwatch) -> Counted:
    """The same with what it cost so far, and on what software."""
    result = msgspec.structs.replace(
        counted.result, seconds=watch.seconds(), versions=software_versions()
    )
    return Counted(result, counted.probability, counted.labels)
