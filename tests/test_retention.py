import time
from pathlib import Path

import pytest
from appliance import make_service, make_settings, wait_for, with_storage
from conftest import FakeSegmenter

from device.config import StorageSettings
from device.service import Service
from device.store import Edit, NewCount, Store, open_store
from device.store.retention import Retention, delete_old

DAY_S = 86_400


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(StorageSettings(data_dir=str(tmp_path), refuse_free_mb=1, warn_free_mb=1))


def accept(store: Store, name: str, *, age_days: float, done: bool = True) -> str:
    new = NewCount(data=name.encode(), image=name, origin="upload", model="fake")
    count_id = store.counts.accept(new).id
    with store.database.transaction() as connection:
        connection.execute(
            # Of an earlier boot: an old row of this one would be taken for a clock that was set since.
            "UPDATE counts SET created_s = ?, status = ?, boot_id = 'earlier' WHERE id = ?",
            (time.time() - age_days * DAY_S, "done" if done else "queued", count_id),
        )
    return count_id


def left(store: Store) -> set[str]:
    return {row.image for row in store.counts.search()}


def test_only_old_finished_and_unmarked_counts_go(store: Store) -> None:
    old = accept(store, "old", age_days=31)
    accept(store, "young", age_days=29)
    accept(store, "waiting", age_days=31, done=False)
    store.counts.edit(accept(store, "marked", age_days=400), Edit(keep=True))
    assert delete_old(store, 30, time.time()) == 1
    assert left(store) == {"young", "waiting", "marked"}
    assert not store.folders.folder(old).exists()


def test_corrected_clock_counts(store: Store) -> None:
    count_id = accept(store, "made before the network set the clock", age_days=20_000)
    with store.database.transaction() as connection:
        connection.execute(
            "UPDATE counts SET clock_correction_s = ? WHERE id = ?", (20_000 * DAY_S, count_id)
        )
    assert delete_old(store, 30, time.time()) == 0


@pytest.mark.parametrize("right", [False, None])
def test_unset_clock_deletes_nothing(store: Store, right: bool | None) -> None:
    accept(store, "old", age_days=400)
    assert Retention(store, 30, lambda: right).tidy() == 0
    assert left(store) == {"old"}
    assert Retention(store, 30, lambda: True).tidy() == 1


def test_nothing_is_ever_deleted_unless_told_to(tmp_path: Path) -> None:
    assert StorageSettings().keep_days is None
    service = make_service(tmp_path)
    accept(service.require_store(), "ancient", age_days=5000)
    service.start()
    service.stop()
    assert left(service.require_store()) == {"ancient"}


def test_service_deletes_when_told_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("device.machine.system.clock_synchronised", lambda: True)
    settings = with_storage(make_settings(tmp_path), keep_days=30)
    service = Service(settings, load_segmenter=lambda _model: FakeSegmenter())
    store = service.require_store()
    accept(store, "ancient", age_days=5000)
    service.start()
    wait_for(lambda: not left(store), 30)
    service.stop()
    assert left(store) == set()
