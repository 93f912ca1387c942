import os
import sqlite3
import threading
from pathlib import Path

import msgspec
import pytest

from device.config import StorageSettings
from device.counting.records import Cell, CountResult, CountSettings, ModelRef
from device.errors import (
    ConflictError,
    InputError,
    NotFoundError,
    QueueFullError,
    StorageError,
)
from device.machine import clock
from device.store import DATABASE_NAME, Edit, Filter, NewCount, open_store
from device.store import database as database_module
from device.store.queue import MAX_CRASHES
from device.store.records import Relabel
from device.store.sweep import Sweep

pytestmark = pytest.mark.usefixtures("each_database")


@pytest.fixture
def settings(tmp_path) -> StorageSettings:
    return StorageSettings(
        data_dir=str(tmp_path / "data"), warn_free_mb=2, refuse_free_mb=1, max_queue=5
    )


@pytest.fixture
def store(settings):
    with_store = open_store(settings)
    yield with_store
    with_store.close()


@pytest.fixture
def make_result():
    return result_of


def result_of(cells: int) -> CountResult:
    return CountResult(
        image="a.png",
        image_sha256="0" * 64,
        count=cells,
        cells=tuple(cell(i + 1) for i in range(cells)),
        interval=(cells, cells),
        model=ModelRef(name="fast", version="1", sha256="1" * 64),
        threshold=0.5,
        cell_diameter_px=30.0,
        min_area_px=100.0,
        width=300,
        height=200,
    )


def cell(number: int) -> Cell:
    return Cell(
        id=number,
        x=10.0 * number,
        y=20.0,
        area_px=100,
        equivalent_diameter_px=11.3,
        bbox=(0, 0, 10, 10),
        mean_intensity=(1.0,),
        max_intensity=(2.0,),
        score=0.9,
        probability=0.9,
    )


def new(data: bytes = b"image", **changes) -> NewCount:
    values = {"image": "a.png", "origin": "upload", "model": "fast"} | changes
    return NewCount(data=data, **values)


def finish(store, row, make_result, cells=3, revision=1):
    result = make_result(cells)
    store.folders.keep_products(row.id, revision, {"result.json": msgspec.json.encode(result)})
    store.queue.finish(row.id, revision, result, None)
    return result


def test_an_accepted_image_is_on_the_disk_byte_for_byte(store):
    row = store.counts.accept(new(b"\0bytes", image="Plate 7.TIF"))
    assert store.counts.original_path(row).read_bytes() == b"\0bytes"
    assert row.status == "queued"
    assert row.image == "Plate 7.TIF"


@pytest.mark.parametrize("name", ["../../etc/passwd", "/root/x.png", "a\0b.png", "x" * 5000, ""])
def test_no_name_from_outside_reaches_the_disk(store, settings, name):
    row = store.counts.accept(new(image=name))
    path = store.counts.original_path(row).resolve()
    assert path.parent.parent == Path(settings.data_dir).resolve() / "results"
    assert path.name in ("original", "original.png")


def test_the_same_once_key_gives_the_first_row(store):
    first = store.counts.accept(new(once_key="k"))
    assert store.counts.accept(new(once_key="k")) == first
    assert len(list(store.folders.folders())) == 1
    for other in (
        new(b"other", once_key="k"),
        new(once_key="k", settings=CountSettings(threshold=0.3)),
    ):
        with pytest.raises(ConflictError, match="already used"):
            store.counts.accept(other)
    assert len(list(store.folders.folders())) == 1


def test_one_once_key_from_many_threads_is_accepted_once(store):
    ids = set()

    def accept():
        ids.add(store.counts.accept(new(once_key="k")).id)
        store.close()

    threads = [threading.Thread(target=accept) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(ids) == 1
    assert len(list(store.folders.folders())) == 1


def test_a_full_queue_accepts_nothing_and_says_the_figures(store):
    for _ in range(5):
        store.counts.accept(new())
    with pytest.raises(QueueFullError, match="5 of 5 images are waiting"):
        store.counts.accept(new())
    assert len(list(store.folders.folders())) == 5


def test_below_the_refusal_threshold_nothing_is_accepted(settings):
    store = open_store(msgspec.structs.replace(settings, refuse_free_mb=10**9))
    with pytest.raises(StorageError, match="MB free"):
        store.counts.accept(new())
    assert list(store.folders.folders()) == []
    assert store.disk().level == "refuse"


@pytest.mark.sqlite
def test_a_failed_insert_leaves_no_folder(store):
    store.database.connection().execute("PRAGMA query_only = ON")
    with pytest.raises(StorageError):
        store.counts.accept(new())
    assert list(store.folders.folders()) == []


def test_captures_and_uploads_come_before_watched_files(store):
    order = ["watch", "batch", "upload", "capture"]
    for origin in order:
        store.counts.accept(new(origin=origin))
    claimed = [store.queue.claim().origin for _ in order]
    assert claimed == ["upload", "capture", "watch", "batch"]
    assert store.queue.claim() is None


def test_same_image_model_and_settings_are_recognised(store):
    row = store.counts.accept(new(b"same"))
    sha = row.image_sha256
    assert store.counts.find_same(sha, "fast", CountSettings()).id == row.id
    assert store.counts.find_same(sha, "accurate", CountSettings()) is None
    assert store.counts.find_same(sha, "fast", CountSettings(threshold=0.4)) is None
    store.queue.cancel(row.id)
    assert store.counts.find_same(sha, "fast", CountSettings()) is None


def test_a_done_count_by_other_weights_is_not_the_same(store, make_result):
    row = store.counts.accept(new())
    finish(store, store.queue.claim(), make_result)
    assert store.counts.find_same(row.image_sha256, "fast", CountSettings(), "f" * 64) is None
    weights = make_result(1).model.sha256
    assert store.counts.find_same(row.image_sha256, "fast", CountSettings(), weights)


def test_pages_of_the_history_lose_and_repeat_nothing(store):
    rows = [store.counts.accept(new(sample=str(i % 2))) for i in range(5)]
    first = store.counts.search(limit=2)
    rest = store.counts.search(Filter(before=first[-1].sequence))
    assert [row.id for row in first + rest] == [row.id for row in reversed(rows)]
    assert len(store.counts.search(Filter(sample="1"))) == 2


def test_filters_of_time_status_keep_and_ids(store):
    a, b = store.counts.accept(new()), store.counts.accept(new())
    store.counts.edit(b.id, Edit(keep=True, notes="n"))
    assert [row.id for row in store.counts.search(Filter(kept=True))] == [b.id]
    assert store.counts.search(Filter(since_s=clock.now_s() + 10)) == []
    assert len(store.counts.search(Filter(until_s=clock.now_s() + 10))) == 2
    assert store.counts.search(Filter(status="done")) == []
    assert [row.id for row in store.counts.search(Filter(ids=(a.id,)))] == [a.id]
    assert store.counts.search(Filter(ids=())) == []


def test_a_kept_or_running_count_is_not_deleted(store):
    row = store.counts.accept(new())
    store.counts.edit(row.id, Edit(keep=True))
    with pytest.raises(ConflictError, match="marked to be kept"):
        store.counts.delete(row.id)
    store.counts.edit(row.id, Edit(keep=False))
    store.queue.claim()
    with pytest.raises(ConflictError, match="running"):
        store.counts.delete(row.id)


def test_delete_takes_row_and_folder(store):
    row = store.counts.accept(new())
    store.counts.delete(row.id)
    with pytest.raises(NotFoundError):
        store.counts.get(row.id)
    assert list(store.folders.folders()) == []


def test_the_order_does_not_depend_on_the_clock(store, monkeypatch):
    first = store.counts.accept(new())
    monkeypatch.setattr(clock, "now_s", lambda: 0.0)
    second = store.counts.accept(new())
    assert second.created_s < first.created_s
    assert second.sequence > first.sequence


def test_sequence_numbers_are_never_used_again(store):
    row = store.counts.accept(new())
    store.counts.delete(row.id)
    assert store.counts.accept(new()).sequence > row.sequence


def test_a_clock_that_was_set_later_marks_earlier_counts_of_this_boot(store, monkeypatch):
    right = clock.now_s
    monkeypatch.setattr(clock, "now_s", lambda: right() - 3600)
    row = store.counts.accept(new())
    assert store.counts.mark_clock_steps() == 0
    monkeypatch.setattr(clock, "now_s", right)
    assert store.counts.mark_clock_steps() == 1
    assert store.counts.mark_clock_steps() == 0
    marked = store.counts.get(row.id)
    assert marked.created_s + marked.clock_correction_s == pytest.approx(right(), abs=5)
    recent = Filter(since_s=right() - 60)
    assert [found.id for found in store.counts.search(recent)] == [row.id]


def test_counts_of_another_boot_are_not_marked(store, monkeypatch):
    right = clock.now_s
    monkeypatch.setattr(clock, "now_s", lambda: right() - 3600)
    monkeypatch.setattr(clock, "boot_id", lambda: "before")
    store.counts.accept(new())
    monkeypatch.undo()
    assert store.counts.mark_clock_steps() == 0


@pytest.mark.sqlite
def test_interrupted_counts_wait_again_and_a_poisonous_one_is_failed_in_the_end(store):
    row = store.counts.accept(new())
    for _ in range(MAX_CRASHES - 1):
        store.queue.claim()
        assert store.queue.requeue_interrupted() == 1
    store.queue.claim()
    assert store.queue.requeue_interrupted() == 0
    failed = store.counts.get(row.id)
    assert failed.status == "failed"
    assert "memory" in failed.error
    assert store.queue.retry(row.id).status == "queued"


@pytest.mark.sqlite
def test_power_cuts_are_not_held_against_the_image(store, monkeypatch):
    row = store.counts.accept(new())
    for number in range(9):
        monkeypatch.setattr(clock, "boot_id", lambda number=number: f"boot {number}")
        store.queue.requeue_interrupted()
        store.queue.claim()
    assert store.counts.get(row.id).status == "running"


def test_a_full_disk_is_not_held_against_the_image(store):
    row = store.counts.accept(new())
    for _ in range(9):
        store.queue.claim()
        store.queue.requeue_blameless(row)
    assert store.counts.get(row.id).status == "queued"


def test_cancel_at_once_or_at_the_next_report(store):
    waiting, running = store.counts.accept(new(origin="watch")), store.counts.accept(new())
    assert store.queue.claim().id == running.id
    assert store.queue.cancel(waiting.id).status == "cancelled"
    assert store.queue.cancel(running.id).status == "running"
    assert store.queue.report(running, 0.5, 1.0) is True
    with pytest.raises(ConflictError):
        store.queue.cancel(waiting.id)


@pytest.mark.sqlite
def test_half_written_products_are_never_seen(store, monkeypatch):
    row = store.counts.accept(new())
    partial = store.folders.folder(row.id) / ".1.part"
    partial.mkdir()
    (partial / "result.json").write_bytes(b"half")
    with pytest.raises(NotFoundError):
        store.folders.product(row.id, 1, "result.json")
    store.folders.keep_products(row.id, 1, {"result.json": b"whole"})
    assert store.folders.product(row.id, 1, "result.json").read_bytes() == b"whole"
    assert not partial.exists()


@pytest.mark.sqlite
def test_only_older_revisions_go_when_a_new_one_is_valid(store):
    row = store.counts.accept(new())
    folder = store.folders.folder(row.id)
    for name in ("1", "9", ".3.part", "10", ".10.part", "500001", ".500002.part"):
        (folder / name).mkdir()
    store.folders.drop_revisions(row.id, below=10)
    left = {path.name for path in folder.iterdir()}
    assert left == {"original.png", "10", ".10.part", "500001", ".500002.part"}


@pytest.mark.sqlite
@pytest.mark.parametrize("name", ["../original.png", "/etc/passwd", "nothing.png"])
def test_only_named_products_are_served(store, name):
    row = store.counts.accept(new())
    with pytest.raises(NotFoundError):
        store.folders.product(row.id, 1, name)


@pytest.mark.sqlite
def test_leftovers_go_when_they_were_there_at_two_looks(store, make_result):
    now_s = [0.0]
    sweep = Sweep(store, age_s=300, now_s=lambda: now_s[0])
    queued = store.counts.accept(new())
    done = store.counts.accept(new(b"2"))
    finish(store, done, make_result)
    orphan = store.folders.root / ("0" * 16)
    half, other = (store.folders.folder(done.id) / name for name in (".2.part", "7"))
    cut = store.data_dir / ".0123456789abcdef.part"
    for path in (orphan, half, other):
        path.mkdir()
        (path / "original.png").write_bytes(b"x")
    cut.write_bytes(b"x")
    os.utime(orphan, (0, 0))  # its age by the clock says nothing: the clock may have been set
    assert sweep.run() == 0
    now_s[0] = 299
    young = store.folders.root / ("1" * 16)
    young.mkdir()
    assert sweep.run() == 0
    now_s[0] = 301
    assert sweep.run() == 4
    assert not any(path.exists() for path in (orphan, half, other, cut))
    assert young.exists()
    assert store.counts.original_path(queued).read_bytes() == b"image"
    assert store.result(done.id).count == 3


def test_corrections_add_up_and_nothing_is_erased(store, make_result):
    row = store.counts.accept(new())
    result = finish(store, store.queue.claim(), make_result, cells=3)
    log = store.corrections
    assert log.add(row.id, result, 1.0, 2.0, "Ada").corrected_count == 4
    assert log.remove(row.id, result, 2, "Ben").corrected_count == 3
    with pytest.raises(ConflictError, match="already removed"):
        log.remove(row.id, result, 2, "Cem")
    assert log.undo(row.id, "Ada").corrected_count == 4
    added = log.of(row.id)[0]
    assert added.cell_id > 3
    assert log.remove(row.id, result, added.cell_id, "Dan").corrected_count == 3
    with pytest.raises(ConflictError, match="no correction"):
        log.undo(row.id, "Ada")
    assert [(known.action, known.who, known.undone_by) for known in log.of(row.id)] == [
        ("add", "Ada", "Dan"),
        ("remove", "Ben", "Ada"),
    ]
    assert store.counts.get(row.id).count == 3


def test_corrections_outside_are_refused(store, make_result):
    row = store.counts.accept(new())
    result = finish(store, store.queue.claim(), make_result)
    with pytest.raises(InputError, match="inside the image"):
        store.corrections.add(row.id, result, -1.0, 0.0, "x")
    with pytest.raises(InputError, match="no cell 99"):
        store.corrections.remove(row.id, result, 99, "x")


def test_relabelling_is_refused_while_corrections_hold(store, make_result):
    row = store.counts.accept(new())
    result = finish(store, store.queue.claim(), make_result)
    store.corrections.add(row.id, result, 1.0, 2.0, "Ada")
    change = Relabel(threshold=0.4, min_area_px=3.0, exclude_border=False, when_s=0.0)
    with pytest.raises(ConflictError, match="corrections by hand"):
        store.queue.finish_relabelling(store.counts.get(row.id), 2, result, change)
    before = store.corrections.undo(row.id, "Ada")
    store.queue.finish_relabelling(before, 2, make_result(7), change)
    after = store.counts.get(row.id)
    assert (after.count, after.corrected_count, after.revision) == (7, 7, 2)
    assert after.relabels == (change,)
    with pytest.raises(ConflictError, match="changed in the meantime"):
        store.queue.finish_relabelling(before, 2, result, change)
    with pytest.raises(ConflictError, match="changed in the meantime"):
        store.corrections.remove(row.id, result, 2, "who still saw the old cells")
    assert store.counts.get(row.id).corrected_count == 7


@pytest.mark.sqlite
def test_tokens_are_kept_as_hashes_and_can_be_revoked(store, settings):
    token = store.access.create_token("script")
    assert store.access.token_name(token) == "script"
    assert store.access.token_name(token + "x") is None
    store.database.close()
    raw = b"".join(path.read_bytes() for path in Path(settings.data_dir).glob("*.sqlite*"))
    assert token.encode() not in raw
    with pytest.raises(ConflictError, match="already"):
        store.access.create_token("script")
    store.access.revoke_token("script")
    assert store.access.token_name(token) is None
    with pytest.raises(NotFoundError):
        store.access.revoke_token("script")


def test_secrets_stay_until_the_users_are_forgotten(store):
    secret = store.access.secret("session")
    assert store.access.secret("session") == secret
    store.access.first_user("lab", "hash")
    with pytest.raises(ConflictError):
        store.access.first_user("lab", "other")
    store.access.add_user("Ada", "hers", administrator=False)
    store.access.forget_shared_user()
    assert not store.access.has_users()
    assert store.access.secret("session") != secret
    assert [user.name for user in store.access.users()] == ["Ada"]
    store.access.first_user("lab", "new")
    assert store.access.has_users()
    assert store.access.password_hash("lab") == "new"
    assert store.access.password_hash("Ada") == "hers"


@pytest.mark.sqlite
def test_every_commit_waits_for_the_disk(store):
    connection = store.database.connection()
    assert connection.execute("PRAGMA synchronous").fetchone()[0] == 2
    assert connection.execute("PRAGMA journal_mode").fetchone()[0] == "wal"


@pytest.mark.sqlite
def test_a_migration_keeps_the_rows_and_a_copy_of_the_old_file(settings, monkeypatch):
    store = open_store(settings)
    row = store.counts.accept(new())
    store.close()
    known = database_module.migrations()
    step = (known[-1][0] + 1, "ALTER TABLE counts ADD COLUMN lens TEXT;\nSELECT 1;")
    monkeypatch.setattr(database_module, "migrations", lambda: [*known, step])
    path = Path(settings.data_dir) / DATABASE_NAME
    upgraded = database_module.SqliteDatabase(path)
    columns = upgraded.connection().execute("SELECT id, lens FROM counts").fetchall()
    assert [tuple(found) for found in columns] == [(row.id, None)]
    copy = sqlite3.connect(f"{path}.before-{step[0]}")
    assert copy.execute("SELECT id FROM counts").fetchall() == [(row.id,)]
    assert copy.execute("PRAGMA user_version").fetchone()[0] == known[-1][0]
    monkeypatch.undo()
    with pytest.raises(StorageError, match="newer fluocount"):
        open_store(settings)


@pytest.mark.sqlite
def test_a_broken_migration_leaves_the_old_schema_whole(settings, monkeypatch):
    open_store(settings).close()
    known = database_module.migrations()
    step = (known[-1][0] + 1, "ALTER TABLE counts ADD COLUMN lens TEXT;\nSELECT nonsense;")
    monkeypatch.setattr(database_module, "migrations", lambda: [*known, step])
    with pytest.raises(StorageError):
        open_store(settings)
    monkeypatch.undo()
    store = open_store(settings)
    store.counts.accept(new())
    assert store.database.check() == []


@pytest.mark.sqlite
@pytest.mark.parametrize(
    "damage", [b"not a database, not at all" * 100, b"SQLite format 3\0" * 300]
)
def test_a_damaged_database_is_named_and_left_alone(settings, damage):
    path = Path(settings.data_dir) / DATABASE_NAME
    path.parent.mkdir(parents=True)
    path.write_bytes(damage)
    with pytest.raises(StorageError, match="cannot be used"):
        open_store(settings)
    assert path.read_bytes() == damage


def test_a_data_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="cannot be used"):
        open_store(StorageSettings(data_dir=str(tmp_path / "file" / "data")))


def test_no_id_can_be_taken_for_a_number(monkeypatch):
    from device.store import counts

    drawn = iter(["1234567890123456", "12e4567890123456", "00000000000000e9", "12f4567890123456"])
    monkeypatch.setattr(counts.secrets, "token_hex", lambda _: next(drawn))
    assert counts.new_id() == "12f4567890123456"
