"""Power cuts on a disk that loses what was not synced.

A child accepts and counts images; at a random moment its disk stops and forgets. What the child had said to be accepted
must be there afterwards, byte for byte, and be counted exactly once. `unsynced` is the same with a store that never
syncs: it must lose something, or this attack could not fail.
"""

import contextlib
import hashlib
import random
import shutil
import sqlite3
import time
from multiprocessing.connection import Connection
from pathlib import Path

from appliance import make_settings, png, wait_for
from conftest import FakeSegmenter

from attacks.children import fork_server
from attacks.disk import Disk
from attacks.figures import Figures, Stopwatch
from device.config import CountingSettings
from device.errors import FluocountError
from device.jobs import Segmenters, Worker
from device.store import NewCount, Store, open_store
from device.store import database as database_module

DEFAULT_SIZE = 500

Told = dict[str, str]
"""SHA-256 of each accepted image by the id of its count."""


def attack(folder: Path, size: int, *, sync: bool = True) -> Figures:
    """`size` power cuts."""
    figures = Figures()
    chance = random.Random(size)
    context = fork_server("attacks.power")
    with Disk(folder) as disk:
        for number in range(size):
            data_dir = disk.place / f"data-{number}"
            told = _until_the_cut(context, disk, data_dir, chance, sync)
            figures.tried += 1
            with Stopwatch(figures):
                _check(data_dir, told, figures)
            shutil.rmtree(data_dir, ignore_errors=True)
    return figures


def _until_the_cut(context, disk: Disk, data_dir: Path, chance: random.Random, sync: bool) -> Told:
    ours, theirs = context.Pipe(duplex=False)
    child = context.Process(target=_work, args=(data_dir, theirs, chance.random(), sync))
    child.start()
    theirs.close()
    said: list[tuple[str, str, float]] = []
    with contextlib.suppress(EOFError):
        assert ours.recv() == "ready"
        end_s = time.monotonic() + chance.uniform(0.0, 0.5)
        while (left_s := end_s - time.monotonic()) > 0:
            if ours.poll(left_s):
                said.append(ours.recv())
    cut_s = time.monotonic()
    disk.cut_power()
    child.kill()
    child.join()
    with contextlib.suppress(EOFError):
        while True:
            said.append(ours.recv())
    disk.unmount()
    disk.mount()
    # A machine without power answers nobody. This one lives on, and ext4 may report a sync that is under way at its
    # shutdown as done: so a file that is only appended to and synced loses its last line, too, now and then.
    return {count_id: sha256 for count_id, sha256, said_s in said if said_s < cut_s}


def _work(data_dir: Path, say: Connection, seed: float, sync: bool) -> None:
    """The child: accept and count until the power goes."""
    if not sync:
        _never_sync()
    chance = random.Random(seed)
    store = open_store(make_settings(data_dir).storage)
    worker = Worker(store, Segmenters(CountingSettings(), lambda _: FakeSegmenter()))
    worker.start()
    say.send("ready")
    with contextlib.suppress(FluocountError, OSError):
        while True:
            cells = chance.randrange(4)
            data = png(cells, shade=chance.randrange(200, 256)) + chance.randbytes(8)
            row = store.counts.accept(
                NewCount(data=data, image=f"{cells}.png", origin="upload", model="fast")
            )
            # CLOCK_MONOTONIC is the same in all processes.
            say.send((row.id, hashlib.sha256(data).hexdigest(), time.monotonic()))


def _never_sync() -> None:
    import os

    os.fsync = lambda _: None
    real = database_module.SqliteDatabase._connect
    database_module.SqliteDatabase._connect = lambda self, _: real(self, "OFF")


def _check(data_dir: Path, told: Told, figures: Figures) -> None:
    try:
        store = open_store(make_settings(data_dir).storage)
    except (FluocountError, sqlite3.Error, OSError) as error:
        figures.lost += len(told)
        figures.check(not told, f"the store is lost: {error}")
        return
    try:
        figures.check(store.database.check() == [], "the database is damaged")
        _count_the_rest(store)
        rows = {row.id: row for row in store.counts.search()}
        missing = len(told.keys() - rows.keys())
        figures.lost += missing
        figures.check(missing == 0, f"{missing} of {len(told)} rows are gone")
        for count_id in told.keys() & rows.keys():
            _check_one(store, rows[count_id], told[count_id], figures)
        keys = [row.image_sha256 for row in rows.values()]
        figures.doubled += len(keys) - len(set(keys))
    finally:
        store.close()


def _check_one(store: Store, row, sha256: str, figures: Figures) -> None:
    path = store.counts.original_path(row)
    there = path.read_bytes() if path.is_file() else None
    if there is None or row.status != "done":
        figures.lost += 1
        what = "there" if there is not None else "gone"
        figures.check(False, f"a count is {row.status} ({row.error}) and its image is {what}")
        return
    result = store.result(row.id)
    expected = int(row.image.split(".")[0])
    right = hashlib.sha256(there).hexdigest() == sha256 == result.image_sha256
    figures.wrong += not (right and result.count == row.count == expected)


def _count_the_rest(store: Store) -> None:
    worker = Worker(store, Segmenters(CountingSettings(), lambda _: FakeSegmenter()))
    worker.start()
    wait_for(lambda: _is_empty(store), 60, "the end of the queue")
    worker.stop()


def _is_empty(store: Store) -> bool:
    """By one look: a count that is tried again is running at first and queued a moment later."""
    state = store.queue.state()
    return state.queued == state.running == 0
