"""From the watched folder to the store: find a file, wait until it is complete, recognise it, accept it."""

import hashlib
import logging
import os
import secrets
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

from device.errors import ConflictError, InputError
from device.export.tables import csv_text
from device.imageio.filenames import SEARCH_DEEPER, Kind, judge_file, judge_name
from device.jobs.intake import Intake
from device.machine.faults import is_of_the_machine
from device.machine.files import display_name
from device.store import CountRow, Store
from device.studies.assigning import assign_watched
from device.watch.delivery import Delivery
from device.watch.ledger import Entry, Ledger
from device.watch.plan import WatchPlan
from device.watch.settling import (
    PATIENCE,
    NotRegularError,
    Settling,
    Version,
    look,
    version_of,
)
from device.watch.unsearched import Unsearched

_log = logging.getLogger(__name__)

_TURN_S = 5.0
"""How long reading files and writing results alternate."""

_LOOK = "check its permissions, and the disk."


class Taking:
    """Reads complete files. Everything except `settling` belongs to the thread of the watch.

    Args:
        store: to recognise images that were counted before.
        intake: accepts images.
        ledger: of the output folder.
        delivery: informed of files read or refused.
        plan: what to watch.
    """

    def __init__(
        self,
        store: Store,
        intake: Intake,
        ledger: Ledger,
        delivery: Delivery,
        plan: WatchPlan,
    ) -> None:
        self._store = store
        self._intake = intake
        self._ledger = ledger
        self._delivery = delivery
        self._plan = plan
        self._run = secrets.token_hex(4) if plan.recount or plan.retry_failed else ""
        self._out_dir = plan.out_dir.resolve()
        self._unreadable_since: dict[Path, float] = {}
        self._passed: dict[Path, Version] = {}
        self._unsearched = Unsearched()
        self.unlisted: set[Path] = set()
        self.settling = Settling(plan.settle_s)

    def wants(self, path: Path) -> bool:
        """True if this may be an image to count; what its name does not tell, its content does when it is complete."""
        relative = path.relative_to(self._plan.folder)
        judged = judge_name(relative)
        return (judged is None or judged.kind is Kind.IMAGE) and not self._in_out(path)

    def scan(self, now_s: float) -> None:
        """Look at every file of the folder: what the events missed, and what was there before.

        A sub-folder that cannot be listed stays in `unlisted` until it can, or until its error was written down.

        Raises:
            OSError: the watched folder itself cannot be listed.
        """
        self.unlisted.clear()
        for path, status in self._files(now_s):
            relative = path.relative_to(self._plan.folder)
            if not self.wants(path) or (status and self._passed.get(path) == status):
                continue
            if not (status and self._ledger.knows(relative, status)):
                self.settling.notice(path, now_s)

    def take_complete(self, now_s: float, stopped: Callable[[], bool]) -> bool:
        """Read complete files while the queue has space, for some seconds; True if one was accepted.

        Raises:
            StorageError: no room in the store, or it cannot be used; the files stay noticed.
            QueueFullError: others filled the queue.
            OSError: the output folder cannot be written.
        """
        taken, end_s = False, time.monotonic() + _TURN_S
        for path in self.settling.due(now_s):
            full = len(self._delivery.waiting) >= self._plan.max_waiting
            if full or stopped() or time.monotonic() > end_s:
                break
            taken |= self._take(path, now_s)
        return taken

    def _take(self, path: Path, now_s: float) -> bool:
        try:
            version = look(path)
            known = self._ledger.knows(path.relative_to(self._plan.folder), version)
            if known or not self.settling.complete(path, version, now_s):
                if known:
                    self.settling.forget(path)
                return False
            if self._pass_over(path, version):
                return False
            data = self._read(path, version)
        except (FileNotFoundError, NotRegularError):
            self.settling.forget(path)
            return False
        except OSError as error:
            if is_of_the_machine(error):
                raise
            self._unreadable(path, error, now_s)
            return False
        self._unreadable_since.pop(path, None)
        if data is not None:
            self._hand_in(path.relative_to(self._plan.folder), version, data)
            self.settling.forget(path)
        return data is not None

    def _pass_over(self, path: Path, version: Version) -> bool:
        """Whether a complete file is no image to count; it is named once, with the reason."""
        judged = judge_file(self._plan.folder, path.relative_to(self._plan.folder))
        if judged.kind is Kind.IMAGE:
            return False
        if judged.kind is Kind.FOREIGN:
            self._delivery.refuse(self._name(path), judged.reason)
        elif self._passed.get(path) is None:
            self._delivery.pass_over(self._name(path), judged.reason)
        self._passed[path] = version
        self.settling.forget(path)
        return True

    def _read(self, path: Path, version: Version) -> bytes | None:
        """The bytes of exactly this version; None if the file has changed."""
        if version.size > self._plan.max_file_mb * 1_000_000:
            reason = (
                f"The file has {version.size / 1e6:.0f} MB; at most {self._plan.max_file_mb} MB "
                "are read. Crop the image, save it compressed, or raise the limit in the settings."
            )
            self._delivery.refuse(self._name(path), reason)
            self.settling.forget(path)
            return None
        with path.open("rb") as stream:
            data = stream.read()
            after = version_of(stream.fileno())
        return data if after == version and len(data) == version.size else None

    def _hand_in(self, relative: Path, version: Version, data: bytes) -> None:
        sha256 = hashlib.sha256(data).hexdigest()
        name = display_name(relative)
        self._delivery.take_back(name, sha256, data)
        entry = Entry(
            path=name,
            size=version.size,
            mtime_ns=version.mtime_ns,
            sha256=sha256,
            # With the content: a file may be replaced by one of the same size within a tick of its clock.
            once_key=f"watch:{self._out_dir}:{name}:{version.mtime_ns}:{sha256}:{self._run}",
            count_id=None,
            state="taken",
        )
        same_as = None if self._plan.recount else self._counted_as(sha256)
        if same_as is not None:
            if same_as != csv_text(name):
                self._delivery.duplicate(name, same_as, sha256)
            self._ledger.put(msgspec.structs.replace(entry, state="duplicate"))
            return
        self._ledger.put(entry)
        try:
            row = self._accept(entry, data)
        except (InputError, ConflictError) as error:
            self._delivery.refuse(name, str(error), sha256)
            self._ledger.put(msgspec.structs.replace(entry, state="failed"))
        else:
            entry = msgspec.structs.replace(entry, count_id=row.id)
            self._ledger.put(entry)
            if self._plan.study is not None:
                assign_watched(self._store, self._plan.study, row, name)
            self._delivery.expect(entry, row)

    def _counted_as(self, sha256: str) -> str | None:
        """The name, as in the tables, under which this content was counted before."""
        first = self._ledger.first_with(sha256)
        return csv_text(first.path) if first else self._delivery.find_listed(sha256)

    def _accept(self, entry: Entry, data: bytes) -> CountRow:
        """Reuse a count of the same image with the same settings in the store."""
        options = self._plan.options(entry.once_key)
        if not self._plan.recount:
            model, settings = self._intake.settle(options)
            weights = self._intake.card(model).sha256
            same = self._store.counts.find_same(entry.sha256, model, settings, weights)
            if same is not None:
                return same
        return self._intake.accept(data, entry.path, "watch", options)

    def _unreadable(self, path: Path, error: OSError, now_s: float) -> None:
        """The writer may still lock the file; after some time it is an error, but still tried again."""
        if self._patience_ends(path, now_s):
            self._delivery.refuse(
                self._name(path), f"The file cannot be read ({error.strerror}); {_LOOK}"
            )
            self.settling.forget(path)
        else:
            self.settling.notice(path, now_s, being_written=True)

    def _cannot_list(self, folder: Path, error: OSError, now_s: float) -> None:
        """A sub-folder is treated as a file is; without the watched folder itself there is nothing to do but wait."""
        if folder == self._plan.folder or is_of_the_machine(error):
            raise error
        _log.warning("%s", error)
        if self._patience_ends(folder, now_s):
            reason = f"The folder cannot be listed ({error.strerror}); {_LOOK}"
            self._delivery.refuse(self._name(folder), reason)
        else:
            self.unlisted.add(folder)

    def _patience_ends(self, path: Path, now_s: float) -> bool:
        since_s = self._unreadable_since.setdefault(path, now_s)
        return now_s - since_s >= PATIENCE * self._plan.settle_s

    def _name(self, path: Path) -> str:
        return display_name(path.relative_to(self._plan.folder))

    def _files(self, now_s: float) -> Iterator[tuple[Path, Version | None]]:
        """Every file with its version; None where that cannot be had: taking it will tell why."""
        folders = [self._plan.folder]
        while folders:
            folder = folders.pop()
            try:
                with os.scandir(folder) as found:
                    entries = sorted(found, key=lambda entry: entry.name)
            except FileNotFoundError:
                if folder == self._plan.folder:
                    raise
                continue
            except OSError as error:
                self._cannot_list(folder, error, now_s)
                continue
            self._unreadable_since.pop(folder, None)
            for entry in entries:
                if not self._is_folder(entry):
                    yield from self._file(entry)
                elif not self._in_out(Path(entry.path)):
                    if self._plan.recursive:
                        folders.append(Path(entry.path))
                    else:
                        self._name_folder(Path(entry.path), now_s)

    def _name_folder(self, folder: Path, now_s: float) -> None:
        """Say once that images in a sub-folder are not counted."""
        if self._unsearched.finds_images(folder, now_s):
            self._delivery.pass_over(self._name(folder), SEARCH_DEEPER)

    @staticmethod
    def _is_folder(entry: os.DirEntry[str]) -> bool:
        try:
            return entry.is_dir(follow_symlinks=False)
        except OSError:
            return False

    @staticmethod
    def _file(entry: os.DirEntry[str]) -> Iterator[tuple[Path, Version | None]]:
        try:
            if entry.is_file():
                status = entry.stat()
                yield Path(entry.path), Version(status.st_size, status.st_mtime_ns)
        except FileNotFoundError:
            return
        except OSError:  # a link to itself, a sick disk
            yield Path(entry.path), None

    def _in_out(self, path: Path) -> bool:
        """Results are not images to count; if both are in one folder, their names distinguish them."""
        if self._out_dir == self._plan.folder:
            return False
        return path.is_relative_to(self._out_dir)
