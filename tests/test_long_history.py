"""What looks at all counts takes no more memory where there are thousands of them."""

import gc
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest

from device.assays.selection import list_looked_through
from device.config import StorageSettings
from device.store import Filter, NewCount, Store, open_store
from device.store.retention import delete_old
from device.store.sweep import Sweep
from device.web.api import exports

SHORT, LONG = 400, 2000
"""Counts: several parts that are read together, and many."""


def fill(data_dir: Path, number: int) -> Store:
    """A store of so many finished counts, which are the same but for their ids."""
    store = open_store(StorageSettings(data_dir=str(data_dir), refuse_free_mb=1, warn_free_mb=1))
    new = NewCount(data=b"image", image="a.png", origin="upload", model="fake", notes="x" * 500)
    first = store.counts.accept(new).id
    with store.database.transaction() as connection:
        found = connection.execute("SELECT name FROM pragma_table_info('counts')").fetchall()
        names = ", ".join({row[0] for row in found} - {"sequence", "id", "once_key"})
        for count_id in (f"{index:016x}" for index in range(number - 1)):
            store.folders.folder(count_id).mkdir()
            connection.execute(
                f"INSERT INTO counts (id, {names}) SELECT ?, {names} FROM counts WHERE id = ?",
                (count_id, first),
            )
        connection.execute("UPDATE counts SET status = 'done', created_s = 0, boot_id = 'earlier'")
    return store


def sweep(store: Store) -> None:
    assert Sweep(store).run() == 0


def look_for_old(store: Store) -> None:
    assert delete_old(store, 30, 1e9, spare=lambda _: True) == 0


def choose_for_teaching(store: Store) -> None:
    assert list_looked_through(store, "none of this name") == []


def check_what_is_exported(store: Store) -> None:
    exports._require_done(store, Filter(status="done"))


def peak_bytes(work: Callable[[], None]) -> int:
    """What `work` holds at most, of Python's memory."""
    work()  # what is imported or remembered at the first time
    gc.collect()
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("work", [sweep, look_for_old, choose_for_teaching, check_what_is_exported])
def test_a_look_at_all_counts_holds_a_part_of_the_history_at_a_time(
    tmp_path: Path, work: Callable[[Store], None]
) -> None:
    peaks = []
    for number in (SHORT, LONG):
        store = fill(tmp_path / str(number), number)
        peaks.append(peak_bytes(lambda store=store: work(store)))
        assert store.counts.number() == number
        store.close()
    assert peaks[1] < 1.5 * peaks[0], peaks
