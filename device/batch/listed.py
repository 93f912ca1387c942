"""Images that a list names: a file with a path or an address a line, or what another program hands over."""

import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path, PurePath
from tempfile import TemporaryFile
from typing import BinaryIO

from device.batch.remote import is_address
from device.batch.spool import Found, Item, Spool
from device.errors import InputError
from device.machine.files import display_name

STDIN = Path("-")


def list_into(spool: Spool, path: Path) -> None:
    """Add the images of a list; memory does not grow with their number.

    An image goes by its place below the folder that holds them all, and the tables are in the order of these names.

    Args:
        spool: where to.
        path: of a text file, one path a line; `-` is standard input. Relative paths begin at the current folder.

    Raises:
        InputError: the list cannot be read, is empty, or mixes files and addresses.
    """
    with closing(_open(path)) as stream:
        common = _common_folder(stream, path)
        stream.seek(0)
        for place in _places(stream):
            name = str(PurePath(place).relative_to(common))
            url = place if is_address(place) else ""
            item = Item(Path(PurePath(place).name if url else place), name, url)
            spool.add(0, Found(item, place=place))


def _open(path: Path) -> BinaryIO:
    if path == STDIN:
        kept = TemporaryFile()  # noqa: SIM115 - the caller closes it; it is read twice
        shutil.copyfileobj(sys.stdin.buffer, kept)
        kept.seek(0)
        return kept
    try:
        return path.open("rb")
    except OSError as error:
        raise InputError(
            f"The list {display_name(str(path))} cannot be read ({error.strerror}); name a text file with one path a "
            "line, or - for standard input."
        ) from None


def _common_folder(stream: BinaryIO, path: Path) -> str:
    common: str | None = None
    for place in _places(stream):
        folder = os.path.dirname(place)  # noqa: PTH120 - a Path would make one slash of the two of an address
        try:
            common = folder if common is None else _shorten(common, folder)
        except ValueError:
            raise InputError(
                "The list names files and addresses, or addresses of several servers; make a list of each."
            ) from None
    if common is None:
        raise InputError(
            f"The list {display_name(str(path))} is empty; put one path a line into it."
        )
    return common


def _shorten(common: str, folder: str) -> str:
    shared = os.path.commonpath([common, folder])
    if not is_address(common) and not is_address(folder):
        return shared
    if len(PurePath(shared).parts) == 1:  # the protocol, and no server
        raise ValueError
    return shared.replace(":/", "://", 1)


def _places(stream: BinaryIO) -> Iterator[str]:
    """The same text for all ways to write a path."""
    for line in stream:
        text = os.fsdecode(line.rstrip(b"\r\n"))
        if "\0" in text:
            raise InputError(
                "The list has bytes that no path has; put one path a line into it, as `find` prints them."
            )
        if is_address(text):
            if "::" in text or ".." in PurePath(text).parts:
                raise InputError(
                    "The list names a file inside an archive, or an address with two dots; name the archive itself as "
                    "zip://::PATH instead of a list, and every address in full."
                )
            yield text
        elif text.strip():
            yield os.path.abspath(text)  # noqa: PTH100 - links stay what people call them
