"""Removing what a crash left behind, while everything else goes on.

A crash may leave the folder of an image that was never accepted, a half-written revision, or a temporary file. Nothing
tells them from the same things in the making but time, and the clock of a device without a battery jumps. So a thing
goes when the same one (by its inode) was there at two looks that lie `age_s` apart by the monotonic clock.
"""

import logging
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import islice
from pathlib import Path

from device.machine.files import PARTIAL_SUFFIX
from device.store import Filter, Store
from device.store.records import WAITING

AGE_S = 300.0
"""Between image and row a hand-in may wait for the database, at most its time limit of 30 s."""

_AT_ONCE = 200
"""Folders whose rows are read together: some 300 kB."""

_log = logging.getLogger(__name__)


class Sweep:
    """Looks for leftovers; only the holder of the worker lock may.

    Args:
        store: whose data folder.
        age_s: how long a leftover must have been there.
        now_s: a clock that never jumps.
    """

    def __init__(
        self, store: Store, age_s: float = AGE_S, now_s: Callable[[], float] = time.monotonic
    ) -> None:
        self._store = store
        self._age_s = age_s
        self._now_s = now_s
        self._seen_s: dict[tuple[Path, int], float] = {}

    def run(self) -> int:
        """Look once, and remove what was there long enough; returns how many.

        Raises:
            StorageError, OSError: the data folder cannot be used now.
        """
        now_s, removed = self._now_s(), 0
        present: dict[tuple[Path, int], float] = {}
        for path in self._leftovers():
            with suppress(FileNotFoundError):
                key = (path, path.stat().st_ino)
                present[key] = self._seen_s.get(key, now_s)
        for (path, _), since_s in present.items():
            if now_s - since_s >= self._age_s:
                _log.warning("removing %s, which belongs to no count", path)
                _remove(path)
                removed += 1
        self._seen_s = {key: since_s for key, since_s in present.items() if key[0].exists()}
        self._store.folders.remove_left()
        return removed

    def _leftovers(self) -> Iterator[Path]:
        folders = self._store.folders.folders()
        # Some at a time: the rows of a whole history are a tenth of what a small device has. Folders are looked for
        # before their rows: an accepted one is then among them.
        while some := list(islice(folders, _AT_ONCE)):
            yield from self._of_no_count(some)
        yield from self._store.data_dir.glob(f"*{PARTIAL_SUFFIX}")
        yield from self._store.data_dir.glob(f".*{PARTIAL_SUFFIX}")
        yield from self._store.data_dir.glob(".restore")

    def _of_no_count(self, folders: list[Path]) -> Iterator[Path]:
        ids = tuple(folder.name for folder in folders)
        rows = {row.id: row for row in self._store.counts.search(Filter(ids=ids))}
        for folder in folders:
            row = rows.get(folder.name)
            if row is None:
                # Of a shared database an older copy may be back: what it does not know stays.
                if not self._store.is_shared:
                    yield folder
            elif row.status not in WAITING:
                yield from self._store.folders.list_uncommitted(row.id, row.revision)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
