"""What a search has found, on the disk: the names of a million images would fill the memory of a Pi."""

import hashlib
import os
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

from device.imageio.filenames import Kind

if TYPE_CHECKING:
    import sqlite3

_SCHEMA = """
CREATE TABLE found (
    path_number INTEGER NOT NULL, sort_key BLOB NOT NULL, kind TEXT NOT NULL, name BLOB NOT NULL,
    path BLOB NOT NULL, url TEXT NOT NULL, reason TEXT NOT NULL, place BLOB UNIQUE
)
"""
_INSERT = "INSERT OR IGNORE INTO found VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
_ORDER = "path_number, sort_key, rowid"
_ELSEWHERE = "elsewhere"
"""Stands for the kind of an image of another shard."""
_MODULUS = 1 << 256
MOST_IN_MEMORY = 10_000
"""Images up to here are kept in memory (6 MB); more of them go to the disk."""

_Row = tuple[int, bytes, str, bytes, bytes, str, str, bytes | None]


@dataclass(frozen=True, slots=True)
class Item:
    """An image to count, and the name of its results relative to the output folder.

    Attributes:
        path: of the file; where there is a `url`, only its last part means something.
        name: see above.
        url: where the file is fetched from, empty for one on this computer.
    """

    path: Path
    name: str
    url: str = ""


@dataclass(frozen=True, slots=True)
class Found:
    """One file of a search.

    Attributes:
        item: the file and its name.
        kind: IMAGE is counted, FOREIGN is an error, OTHER is passed over.
        reason: why it is not counted.
        place: the same for all ways to write its path; empty for what is not counted.
    """

    item: Item
    kind: Kind = Kind.IMAGE
    reason: str = ""
    place: str = ""


@dataclass(frozen=True, slots=True)
class Shard:
    """A part of all images: always the same ones, in no other shard, and together all.

    An image belongs to a shard by its name, so that a file that is added meanwhile moves no other.
    """

    number: int
    of: int

    def holds(self, name: str) -> bool:
        """Whether the image of that name belongs to it."""
        digest = hashlib.sha256(os.fsencode(name)).digest()
        return int.from_bytes(digest[:8], "big") % self.of == self.number - 1

    def __str__(self) -> str:
        return f"{self.number}/{self.of}"


class Spool:
    """Files in the order of the paths that were named, and below each in the order of their names.

    Args:
        shard: keep only what belongs to it.

    Attributes:
        images: that will be counted, or fail.
        all_images: the same in all shards together.
    """

    def __init__(self, shard: Shard | None = None) -> None:
        self.images = self.all_images = 0
        self._shard = shard
        self._sum = 0
        self._few: list[_Row] = []
        self._places: set[bytes] = set()
        self._many: sqlite3.Connection | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Forget all."""
        if self._many is not None:
            self._many.close()

    def add(self, path_number: int, found: Found) -> None:
        """Add a file; an image that is there already, by its place, is left out."""
        name = os.fsencode(found.item.name)
        is_mine = self._shard is None or self._shard.holds(found.item.name)
        row = (
            path_number, sort_key(name), found.kind.value if is_mine else _ELSEWHERE, name,
            os.fsencode(found.item.path) if is_mine else b"", found.item.url, found.reason,
            os.fsencode(found.place) if found.place else None,
        )  # fmt: skip
        if self._keep(row) and found.kind is not Kind.OTHER:
            self.all_images += 1
            self.images += is_mine
            # A sum does not depend on the order in which a disk lists its files.
            self._sum += int.from_bytes(hashlib.sha256(name).digest(), "big")

    @property
    def fingerprint(self) -> str:
        """The same for the same names of images, in all shards and in any order."""
        return f"{self._sum % _MODULUS:064x}"

    def items(self) -> Iterator[Item]:
        """The images to count; different files of the same name get a number."""
        for path, url, name, number in self._images():
            text = os.fsdecode(name)
            yield Item(Path(os.fsdecode(path)), text if number == 1 else f"{text}~{number}", url)

    def others(self, kind: Kind) -> Iterator[tuple[str, str]]:
        """(name, reason) of files that are not counted."""
        for name, reason in self._reasons(kind.value):
            yield os.fsdecode(name), reason

    def _keep(self, row: _Row) -> bool:
        if self._many is None and len(self._few) >= MOST_IN_MEMORY:
            self._move_to_disk()
        if self._many is not None:
            return bool(self._many.execute(_INSERT, row).rowcount)
        place = row[-1]
        if place in self._places:
            return False
        if place is not None:
            self._places.add(place)
        self._few.append(row)
        return True

    def _move_to_disk(self) -> None:
        import sqlite3  # costs time before the first tile, which few images need not pay

        # The empty name is a private file that SQLite deletes; 2 MB of it are in memory.
        self._many = sqlite3.connect("", isolation_level=None)
        self._many.execute(_SCHEMA)
        self._many.execute("BEGIN")
        self._many.executemany(_INSERT, self._few)
        self._few, self._places = [], set()

    def _images(self) -> Iterator[tuple[bytes, str, bytes, int]]:
        if self._many is None:
            times: Counter[bytes] = Counter()
            for _, _, kind, name, path, url, *_ in sorted(self._few, key=_in_order):
                if kind == Kind.IMAGE.value:
                    times[name] += 1
                    yield path, url, name, times[name]
            return
        rows = self._many.execute(
            "SELECT path, url, name, ROW_NUMBER() OVER (PARTITION BY name ORDER BY "
            f"{_ORDER}) FROM found WHERE kind = ? ORDER BY {_ORDER}",
            (Kind.IMAGE.value,),
        )
        with closing(rows):
            yield from rows

    def _reasons(self, kind: str) -> Iterator[tuple[bytes, str]]:
        if self._many is None:
            rows = sorted(self._few, key=_in_order)
            yield from ((row[3], row[6]) for row in rows if row[2] == kind)
            return
        with closing(
            self._many.execute(
                f"SELECT name, reason FROM found WHERE kind = ? ORDER BY {_ORDER}", (kind,)
            )
        ) as found:
            yield from found


def sort_key(name: bytes) -> bytes:
    """The order of the tables: names are compared part by part, as paths are."""
    return name.replace(b"/", b"\0")


def _in_order(row: _Row) -> tuple[int, bytes]:
    return row[:2]
