"""A CSV file that grows by complete lines, even after a power cut or while somebody has it open."""

import codecs
import csv
import io
import os
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from device.export.tables import csv_lines
from device.machine.files import sync_folder, write_atomic

_ENCODING = "utf-8"
_DELIMITERS = ",;\t"


class AppendTable:
    """A table of one fixed header.

    Each line is one O_APPEND write and an fsync. An incomplete line left by a power cut is removed before
    the next line. A file with another header (an older version, or saved by a spreadsheet with other
    separators) is kept as the next free `NAME-1.csv` and a new file is started; `rows` reads both.

    Args:
        path: the file; created by the first line.
        header: column names.
    """

    def __init__(self, path: Path, header: Sequence[str]) -> None:
        self.path = path
        self._header = list(header)
        self._header_line = csv_lines([self._header]).encode(_ENCODING)
        self._state: tuple[int, int, int] | None = None

    def append(self, row: Sequence[str]) -> None:
        """Add one line; when this returns, it is on the disk.

        Raises:
            OSError: locked, full, read-only...; the file is unchanged.
        """
        line = csv_lines([row]).encode(_ENCODING, errors="backslashreplace")
        if self._is_other_table():
            self.path.rename(self._free_name())
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
        descriptor = os.open(self.path, flags, 0o644)
        try:
            size = _cut_torn_tail(descriptor)
            _write_whole(descriptor, line if size else self._header_line + line, size)
            os.fsync(descriptor)
            self._state = _state(descriptor)
        finally:
            os.close(descriptor)
        if size == 0:
            sync_folder(self.path.parent)

    def remove(self, unwanted: Callable[[dict[str, str]], bool]) -> None:
        """Remove lines; the file is replaced as a whole, or not at all.

        Raises:
            OSError: as `append`.
        """
        if not self.path.exists() or self._is_other_table():
            return
        lines = list(_read(self.path))
        kept = [line for line in lines if not unwanted(line)]
        if len(kept) == len(lines):
            return
        rows = [[line.get(name) or "" for name in self._header] for line in kept]
        text = csv_lines([self._header, *rows])
        write_atomic(self.path, text.encode(_ENCODING, errors="backslashreplace"))
        status = self.path.stat()
        self._state = (status.st_ino, status.st_size, status.st_mtime_ns)

    def was_changed_by_others(self) -> bool:
        """True if the file has changed since the last `append` or `rows`."""
        try:
            status = self.path.stat()
        except FileNotFoundError:
            return self._state is not None
        return (status.st_ino, status.st_size, status.st_mtime_ns) != self._state

    def rows(self) -> Iterator[dict[str, str]]:
        """Every complete line of the file and of the files that it replaced."""
        for path in self._all_files():
            yield from _read(path)
        if self.path.exists():
            status = self.path.stat()
            self._state = (status.st_ino, status.st_size, status.st_mtime_ns)

    def _is_other_table(self) -> bool:
        try:
            with self.path.open("rb") as stream:
                first = stream.readline().removeprefix(codecs.BOM_UTF8)  # a spreadsheet saved it
        except FileNotFoundError:
            return False
        torn = not first.endswith(b"\n") and self._header_line.startswith(first)
        return first not in (self._header_line, b"") and not torn

    def _all_files(self) -> list[Path]:
        pattern = re.compile(rf"{re.escape(self.path.stem)}(-\d+)?{re.escape(self.path.suffix)}")
        if not self.path.parent.is_dir():
            return []
        return sorted(path for path in self.path.parent.iterdir() if pattern.fullmatch(path.name))

    def _free_name(self) -> Path:
        number = 1
        while (path := self.path.with_stem(f"{self.path.stem}-{number}")).exists():
            number += 1
        return path


def _read(path: Path) -> Iterator[dict[str, str]]:
    text = path.read_bytes().decode(_ENCODING, errors="replace").removeprefix("\ufeff")
    whole = text[: text.rfind("\n") + 1]
    first = whole.split("\n", 1)[0]
    delimiter = max(_DELIMITERS, key=first.count)
    yield from csv.DictReader(io.StringIO(whole, newline=""), delimiter=delimiter)


def _cut_torn_tail(descriptor: int) -> int:
    """Remove what follows the last line end; returns the remaining size."""
    size = os.fstat(descriptor).st_size
    end, block = size, 4096
    while end > 0:
        start = max(0, end - block)
        found = os.pread(descriptor, end - start, start).rfind(b"\n")
        if found >= 0:
            end = start + found + 1
            break
        end = start
    if end < size:
        os.ftruncate(descriptor, end)
    return end


def _write_whole(descriptor: int, data: bytes, size_before: int) -> None:
    try:
        written = os.write(descriptor, data)
        while written < len(data):  # a full disk raises an error at the second call
            written += os.write(descriptor, data[written:])
    except OSError:
        os.ftruncate(descriptor, size_before)
        raise


def _state(descriptor: int) -> tuple[int, int, int]:
    status = os.fstat(descriptor)
    return status.st_ino, status.st_size, status.st_mtime_ns
