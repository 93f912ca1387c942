"""From the store to the output folder: files per image and the three tables."""

import errno
import time
from collections.abc import Callable
from dataclasses import replace
from itertools import islice
from pathlib import Path, PurePath

import msgspec

from device.errors import FluocountError, StorageError, UnavailableError
from device.export.stored import StoredCount, counts_line, export_file, load_count
from device.export.tables import ERRORS_COLUMNS, counts_header, csv_text
from device.imageio.filenames import output_name
from device.machine.clock import local_time
from device.machine.faults import is_of_the_machine
from device.machine.files import remove_partial, write_beside
from device.store import CountRow, Filter, Store
from device.watch.growth import continues
from device.watch.ledger import Entry, Ledger
from device.watch.table import AppendTable

DUPLICATES_HEADER = ("image", "same_as", "image_sha256", "noticed_at")
_COPIED = {
    "overlay.jpg": "overlay.jpg",
    "outlines.png": "outlines.png",
    "labels.tiff": "labels.tif",
    "result.json": "result.json",
}
"""Products of the store and their endings after the name of the image."""

_READ_ATTEMPTS = 3
_DEAD_AFTER_S = 60.0
"""A file of this name that has not changed for so long belongs to a process that was killed: the folder is locked."""
_ASK_AT_ONCE = 500
_TURN_S = 5.0


class Delivery:
    """Writes the outcomes of files. Every line is written exactly once, also after an interruption.

    Attributes:
        waiting: taken files by the id of their count.
        released: True when files that were skipped as duplicates must be looked at again.

    Args:
        store: with the counts.
        ledger: of `out_dir`.
        out_dir: created if missing.
        say: called with one sentence per image.
    """

    def __init__(
        self, store: Store, ledger: Ledger, out_dir: Path, say: Callable[[str], None]
    ) -> None:
        self._store = store
        self._ledger = ledger
        self._out_dir = out_dir
        self._say = say
        self.waiting: dict[str, Entry] = {}
        self.released = False
        self._troubled: dict[str, int] = {}
        self.counted = 0
        self.failed = 0
        self._device = 0
        self._counts = AppendTable(out_dir / "counts.csv", counts_header())
        self._errors = AppendTable(out_dir / "errors.csv", ERRORS_COLUMNS)
        self._duplicates = AppendTable(out_dir / "duplicates.csv", DUPLICATES_HEADER)
        self._listed_ids: set[str] = set()
        self._listed_images: dict[str, str] = {}
        self._listed_errors: set[tuple[str, str]] = set()

    def open(self) -> None:
        """Read the tables and continue what was left unfinished.

        Raises:
            OSError: the output folder cannot be used.
        """
        self._out_dir.mkdir(parents=True, exist_ok=True)
        remove_partial(self._out_dir, _DEAD_AFTER_S)
        self._device = self._out_dir.stat().st_dev
        self._read_tables()
        for entry in self._ledger.in_state("taken"):
            self._take_up(entry)

    def expect(self, entry: Entry, row: CountRow) -> None:
        """Remember that `entry` was accepted as `row`, to write its line when it is done."""
        self.waiting[row.id] = entry

    def find_listed(self, sha256: str) -> str | None:
        """Name (as in the table) under which counts.csv has an image of this content."""
        return self._listed_images.get(sha256)

    def deliver(self) -> bool:
        """Write finished counts, for some seconds; True if there were any.

        Raises:
            OSError: the output folder cannot be written now; call again later.
        """
        self._require_out_dir()
        if self._counts.was_changed_by_others():
            self._read_tables()
        if not self.waiting:
            return False
        asked = tuple(islice(self.waiting, _ASK_AT_ONCE))
        rows = {row.id: row for row in self._store.counts.search(Filter(ids=asked))}
        for count_id in asked:
            if count_id not in rows:
                self._note_deleted(self.waiting[count_id])
                del self.waiting[count_id]
        ended = [row for row in rows.values() if row.status not in ("queued", "running")]
        end_s = time.monotonic() + _TURN_S
        for row in sorted(ended, key=self._turn):
            if time.monotonic() > end_s:
                break
            try:
                self._end(self.waiting[row.id], row)
            except (OSError, StorageError):
                self._troubled[row.id] = self._troubled.get(row.id, 0) + 1
                raise
            del self.waiting[row.id]
            self._troubled.pop(row.id, None)
        return bool(ended)

    def _turn(self, row: CountRow) -> tuple[int, float, int]:
        """What could not be written comes last, so that it keeps nothing else from its line."""
        return self._troubled.get(row.id, 0), row.finished_s or 0.0, row.sequence

    def take_back(self, path: str, sha256: str, data: bytes) -> None:
        """Remove what was written about a file before it was complete: one file has one line.

        Another picture under the same name is another image, whose line stays.

        Args:
            path: relative to the watched folder.
            sha256: of its present content.
            data: that content.

        Raises:
            OSError: the output folder cannot be written now.
        """
        earlier = [
            entry
            for entry in self._ledger.of_path(path)
            if entry.sha256 != sha256 and (entry.state == "failed" or self._grew(entry, data))
        ]
        if not earlier:
            return
        image, contents = csv_text(path), {"", *(entry.sha256 for entry in earlier)}
        for table in (self._counts, self._errors, self._duplicates):
            table.remove(
                lambda line: line.get("image") == image and line.get("image_sha256") in contents
            )
        target = self._out_dir / output_name(PurePath(path))
        for suffix in (*_COPIED.values(), "cells.csv"):
            target.with_name(f"{target.name}.{suffix}").unlink(missing_ok=True)
        self.waiting = {key: entry for key, entry in self.waiting.items() if entry.path != path}
        for entry in earlier:
            self._ledger.drop(entry)
            self.released |= self._ledger.release(entry.sha256) > 0
        self._read_tables()

    def _grew(self, entry: Entry, data: bytes) -> bool:
        """Whether the counted content was the beginning of the present one."""
        if entry.count_id is None:
            return False
        try:
            row = self._store.counts.get(entry.count_id)
            return continues(self._store.counts.original_path(row).read_bytes(), data)
        except (FluocountError, OSError):
            return False

    def refuse(self, name: str, reason: str, sha256: str = "") -> None:
        """List a file that cannot be counted in errors.csv, once.

        Raises:
            OSError: the output folder cannot be written now.
        """
        image = csv_text(name)
        if {(image, reason), (image, sha256 or reason)} & self._listed_errors:
            return
        self._errors.append([image, csv_text(reason), sha256, local_time(time.time())])
        self._listed_errors |= {(image, reason), (image, sha256 or reason)}
        self.failed += 1
        self._say(f"{name}: not counted. {reason}")

    def pass_over(self, name: str, reason: str) -> None:
        """Say that a file is no image to count."""
        if reason:
            self._say(f"{name}: passed over ({reason}).")

    def duplicate(self, name: str, same_as: str, sha256: str) -> None:
        """List a file with the content of a counted image in duplicates.csv."""
        line = [csv_text(name), same_as, sha256, local_time(time.time())]
        self._duplicates.append(line)
        self._say(f"{name}: the same image as {same_as}, so it is not counted again.")

    def _end(self, entry: Entry, row: CountRow) -> None:
        if row.status != "done":
            self._fail(entry, row.error or "The count was cancelled.")
            return
        try:
            count = load_count(self._store, row)
            files = self._files(count, entry)
        except UnavailableError:
            raise
        except (OSError, FluocountError) as error:
            fault = error if isinstance(error, OSError) else error.__cause__
            if isinstance(fault, OSError) and self._may_pass(fault, row):  # of the store's disk
                raise fault from None
            self._fail(entry, str(error))
            return
        self._write(entry, count, files)
        self._ledger.put(msgspec.structs.replace(entry, count_id=row.id, state="counted"))

    def _may_pass(self, fault: OSError, row: CountRow) -> bool:
        return is_of_the_machine(fault) or self._troubled.get(row.id, 0) < _READ_ATTEMPTS

    def _note_deleted(self, entry: Entry) -> None:
        """Handle a count that is no longer in the store: if it had its line before, the file may be counted again."""
        if entry.state == "counted":
            self._ledger.drop(entry)
        else:
            self._fail(entry, "The count was deleted before it could be written here.")

    def _fail(self, entry: Entry, reason: str) -> None:
        self.refuse(entry.path, reason, entry.sha256)
        self._ledger.put(msgspec.structs.replace(entry, state="failed"))
        if self._ledger.release(entry.sha256):  # else this image would be counted nowhere
            self.released = True

    def _files(self, count: StoredCount, entry: Entry) -> dict[str, bytes]:
        """Contents of the files beside the image's name, by their suffixes."""
        contents = {
            suffix: self._store.product(count.row.id, product).read_bytes()
            for product, suffix in _COPIED.items()
        }
        named = msgspec.structs.replace(count.result, image=entry.path)
        contents["cells.csv"] = export_file(self._store, replace(count, result=named), "cells.csv")
        return contents

    def _write(self, entry: Entry, count: StoredCount, files: dict[str, bytes]) -> None:
        write_beside(self._out_dir / output_name(PurePath(entry.path)), files)
        if count.row.id not in self._listed_ids:
            self._counts.append(counts_line(count, image=entry.path))
            self._listed_ids.add(count.row.id)
            self._listed_images.setdefault(entry.sha256, csv_text(entry.path))
            self.counted += 1
            self._say(f"{entry.path}: {_cells(count.result.count)}")

    def _require_out_dir(self) -> None:
        """Create a deleted output folder again, but never below the mount point of a lost share."""
        place = self._out_dir
        while not place.exists():
            place = place.parent
        if place.stat().st_dev != self._device:
            raise OSError(errno.ENODEV, "its file system is not mounted", str(self._out_dir))
        self._out_dir.mkdir(parents=True, exist_ok=True)

    def _take_up(self, entry: Entry) -> None:
        """Resolve a file that a dead process read: it is either in the store or never got there."""
        row = self._store.counts.find_once(entry.once_key)
        count_id = entry.count_id or (row.id if row else None)
        if count_id is None:
            self._ledger.drop(entry)
        else:
            self.waiting[count_id] = entry

    def _read_tables(self) -> None:
        """Find out which lines exist; write lines of counted images that are missing."""
        self._listed_ids.clear()
        self._listed_images.clear()
        for line in self._counts.rows():
            self._listed_ids.add(line.get("id") or "")
            self._listed_images.setdefault(line.get("image_sha256") or "", line.get("image") or "")
        self._listed_errors = {
            (line.get("image") or "", key)
            for line in self._errors.rows()
            for key in (line.get("reason") or "", line.get("image_sha256") or "")
            if key
        }
        for entry in self._ledger.in_state("counted"):
            if entry.sha256 not in self._listed_images:
                self._take_up(entry)


def _cells(count: int) -> str:
    return "1 cell" if count == 1 else f"{count} cells"
