"""The store under a database that is held, damaged, deleted or failing: noticed, said, nothing accepted in vain."""

import errno
import io
import os
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing, contextmanager, nullcontext
from pathlib import Path

import pytest
from appliance import make_service, make_settings, png, wait_for
from conftest import FakeSegmenter
from msgspec import structs

from device.config import WatchSettings
from device.errors import ConflictError, NotFoundError, StorageError, UnavailableError
from device.jobs import Segmenters, Worker, worker
from device.service import Service
from device.store import DATABASE_NAME, NewCount, database, open_store, rows
from device.store.adopting import ForeignCount, ForeignStudy, adopt
from device.store.connection import translate
from device.store.studies import Study
from device.store.sweep import Sweep
from device.watch import FolderWatch
from device.web import create_app


@pytest.fixture
def store(tmp_path):
    store = open_store(make_settings(tmp_path).storage)
    yield store
    store.close()


def new(data: bytes = b"image", **changes) -> NewCount:
    return NewCount(data=data, **{"image": "a.png", "origin": "upload", "model": "fast"} | changes)


@pytest.fixture
def running(store, monkeypatch):
    """A worker on the store, quick to try again."""
    monkeypatch.setattr(worker, "STORAGE_PAUSE_S", 0.1)
    monkeypatch.setattr(worker, "READ_PAUSE_S", 0.0)
    found = Worker(
        store, Segmenters(make_settings(store.data_dir).counting, lambda _: FakeSegmenter())
    )
    yield found
    found.stop()


def ended(store, row, status="done"):
    return wait_for(lambda: store.counts.get(row.id).status == status and store.counts.get(row.id))


class Holder:
    """Another program that holds the database; `seconds` are counted by the patience of the test."""

    def __init__(self, path: Path) -> None:
        self._connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self._connection.execute("BEGIN IMMEDIATE")

    def let_go(self) -> None:
        self._connection.execute("ROLLBACK")
        self._connection.close()


def test_a_held_database_delays_a_count_and_fails_none(store, running, monkeypatch):
    monkeypatch.setattr(database, "BUSY_TIMEOUT_S", 0.05)  # else 30 s; it was held 40 s
    row = store.counts.accept(new(png()))
    holder = Holder(store.database.path)
    running.start()
    problem = wait_for(lambda: running.state.problem)
    assert "Another program uses the database" in problem
    holder.let_go()
    assert ended(store, row).count == 2
    assert store.counts.get(row.id).attempts == 1


def test_a_database_held_in_the_middle_of_a_count_delays_it(store, running, monkeypatch):
    monkeypatch.setattr(database, "BUSY_TIMEOUT_S", 0.05)
    holders = []
    keep = store.folders.keep_products

    def hold_then_keep(*arguments):
        if not holders:
            holders.append(Holder(store.database.path))
        keep(*arguments)

    monkeypatch.setattr(store.folders, "keep_products", hold_then_keep)
    row = store.counts.accept(new(png()))
    running.start()
    wait_for(lambda: running.state.problem)
    holders[0].let_go()
    assert ended(store, row).count == 2


@pytest.mark.parametrize("code", [errno.EIO, errno.EMFILE, errno.ESTALE])
def test_one_failed_read_of_an_accepted_image_is_tried_again(store, running, monkeypatch, code):
    row = store.counts.accept(new(png()))
    fail_reads(monkeypatch, store.counts.original_path(row), code, times=1)
    running.start()
    assert ended(store, row).count == 2


def test_an_image_that_stays_unreadable_fails_with_its_cause_and_the_next_is_counted(
    store, running, monkeypatch
):
    sick, sound = store.counts.accept(new(png())), store.counts.accept(new(png(3)))
    fail_reads(monkeypatch, store.counts.original_path(sick), errno.EIO, times=99)
    running.start()
    assert ended(store, sound).count == 3
    assert "could not be read, 3 times" in ended(store, sick, "failed").error


def fail_reads(monkeypatch, sick: Path, code: int, times: int) -> None:
    read, left = Path.read_bytes, [times]

    def failing(path):
        if path == sick and left[0] > 0:
            left[0] -= 1
            raise OSError(code, os.strerror(code), str(path))
        return read(path)

    monkeypatch.setattr(Path, "read_bytes", failing)


def test_a_bug_in_the_worker_s_own_steps_pauses_and_is_said(store, running, monkeypatch):
    claim, bugs = store.queue.claim, iter([ValueError("a bug")])

    def buggy():
        for bug in bugs:
            raise bug
        return claim()

    monkeypatch.setattr(store.queue, "claim", buggy)
    row = store.counts.accept(new(png()))
    running.start()
    wait_for(lambda: running.state.problem and "ValueError" in running.state.problem)
    assert ended(store, row).count == 2


def test_an_error_after_the_commit_keeps_the_image_of_the_row(store, monkeypatch):
    insert = store.counts._insert

    def then_fail(*arguments):
        insert(*arguments)
        raise UnavailableError("after the commit")

    monkeypatch.setattr(store.counts, "_insert", then_fail)
    with pytest.raises(UnavailableError):
        store.counts.accept(new())
    (row,) = store.counts.search()
    assert store.counts.original_path(row).read_bytes() == b"image"


@pytest.mark.parametrize("moment", ["before", "after", "after, and nobody can be asked"])
def test_a_study_from_elsewhere_keeps_its_images_when_the_answer_is_lost(
    store, tmp_path, monkeypatch, moment
):
    with closing(open_store(make_settings(tmp_path / "elsewhere").storage)) as other:
        row = other.counts.accept(new())
        foreign = ForeignCount(row=row, corrections=(), folder=other.folders.folder(row.id))
    real = store.database.transaction

    @contextmanager
    def lose(*arguments):
        with real() as connection:
            yield connection
            if moment == "before":
                raise UnavailableError("lost")
        if moment.endswith("asked"):
            monkeypatch.setattr(rows, "find", refuse)
        raise UnavailableError("lost")

    def refuse(*arguments):
        raise UnavailableError("still lost")

    with monkeypatch.context() as away:
        away.setattr(store.database, "transaction", lose)
        with pytest.raises(UnavailableError):
            adopt(store, ForeignStudy(study=Study(name="torpor"), places={}), [foreign], [])
    monkeypatch.undo()
    kept = store.counts.search()
    assert len(kept) == (moment != "before") == len(list(store.folders.folders()))
    assert all(store.counts.original_path(one).read_bytes() == b"image" for one in kept)


def test_two_who_take_in_the_same_study_at_once_leave_each_others_images_alone(
    store, tmp_path, monkeypatch
):
    with closing(open_store(make_settings(tmp_path / "elsewhere").storage)) as other:
        row = other.counts.accept(new())
        foreign = ForeignCount(row=row, corrections=(), folder=other.folders.folder(row.id))
    study = ForeignStudy(study=Study(name="torpor"), places={})
    real = store.database.transaction

    @contextmanager
    def while_another_begins(*arguments):
        monkeypatch.undo()
        with pytest.raises(StorageError, match="try again in a minute"):
            adopt(store, study, [foreign], [])
        with real() as connection:
            yield connection

    monkeypatch.setattr(store.database, "transaction", while_another_begins)
    assert adopt(store, study, [foreign], []) == 1
    (kept,) = store.counts.search()
    assert store.counts.original_path(kept).read_bytes() == b"image"


def test_a_disk_that_keeps_what_was_refused_hides_no_fault_and_the_sweep_ends_it(
    store, monkeypatch
):
    def refuse(*arguments):
        raise UnavailableError("the disk is read-only")

    def resist(*arguments):
        raise OSError(errno.EROFS, "Read-only file system")

    with monkeypatch.context() as sick:
        sick.setattr(store.counts, "_insert", refuse)
        sick.setattr(Path, "rename", resist)
        with pytest.raises(UnavailableError, match="the disk is read-only"):
            store.counts.accept(new())
    assert len(list(store.folders.folders())) == 1
    sweep = Sweep(store, age_s=0.0)
    sweep.run()
    sweep.run()
    assert list(store.folders.folders()) == []


def test_a_deletion_that_the_disk_resists_is_a_deletion(store, monkeypatch):
    row = store.counts.accept(new())

    def resist(*arguments):
        raise OSError(errno.EROFS, "Read-only file system")

    with monkeypatch.context() as sick:
        sick.setattr(Path, "rename", resist)
        store.counts.delete(row.id)
    assert store.counts.search() == []
    Sweep(store, age_s=0.0).run()
    assert list(store.folders.folders()) == []


def test_two_images_under_one_new_key_at_once(store):
    """Both pass the first look; the row belongs to one, and the other is told."""
    first = store.counts.accept(new(once_key="k"))
    accepted, refused = [], []
    store.counts.delete(first.id)
    gate = threading.Barrier(8)

    def hand_in(number):
        gate.wait()
        try:
            accepted.append((number, store.counts.accept(new(bytes([number]), once_key="k")).id))
        except ConflictError as error:
            refused.append(str(error))
        store.close()

    threads = [threading.Thread(target=hand_in, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    ((number, count_id),) = accepted
    assert store.counts.original_path(store.counts.get(count_id)).read_bytes() == bytes([number])
    assert len(refused) == 7
    assert [path.name for path in store.folders.folders()] == [count_id]


def test_a_key_with_another_image_or_other_settings_is_a_conflict(tmp_path):
    client = create_app(make_service(tmp_path)).test_client()

    def hand_in(cells, **form):
        data = {"image": (io.BytesIO(png(cells)), "a.png")} | form
        return client.post("/api/v1/counts", data=data, headers={"Idempotency-Key": "k"})

    first = hand_in(1)
    assert first.status_code == 202
    assert hand_in(1).json["id"] == first.json["id"]
    for other in (hand_in(2), hand_in(1, threshold="0.3")):
        assert other.status_code == 409
        assert "use a new key" in other.json["error"]


def test_a_count_deleted_while_a_revision_is_written_leaves_nothing(store):
    row = store.counts.accept(new())
    store.queue.claim()
    store.queue.fail(row, "x")

    class Deletes(dict):
        """Products whose writing is interrupted by the deletion of the count."""

        def items(self):
            yield "result.json", b"{}"
            store.counts.delete(row.id)
            yield "labels.tiff", b"x"

    with pytest.raises(NotFoundError, match="deleted meanwhile"):
        store.folders.keep_products(row.id, 1, Deletes())
    assert list(store.folders.root.iterdir()) == []


def test_results_deleted_under_a_reader_are_not_found(store, monkeypatch):
    row = store.counts.accept(new())
    monkeypatch.setattr(store, "product", lambda *_: store.folders.folder(row.id) / "1/result.json")
    with pytest.raises(NotFoundError):
        store.result(row.id)


@pytest.mark.parametrize("count_id", ["../x", "x/y", "", "0" * 15, "A" * 16, "0" * 16 + "\n"])
def test_an_id_that_is_none_is_never_a_path(store, count_id):
    with pytest.raises(StorageError, match="not the id of a count"):
        store.folders.remove(count_id)


def delete_all(folder: Path) -> None:
    for path in folder.glob(f"{DATABASE_NAME}*"):
        path.unlink()


def delete_wal(folder: Path) -> None:
    (folder / f"{DATABASE_NAME}-wal").unlink()


def replace_by_another(folder: Path) -> None:
    other = folder / "other"
    open_store(make_settings(other).storage).close()
    (other / DATABASE_NAME).replace(folder / DATABASE_NAME)


def overwrite_head(folder: Path) -> None:
    with (folder / DATABASE_NAME).open("r+b") as stream:
        stream.write(bytes(4096))


def cut_to_nothing(folder: Path) -> None:
    os.truncate(folder / DATABASE_NAME, 0)


def overwrite_all(folder: Path) -> None:
    for end in ("", "-wal"):
        path = folder / f"{DATABASE_NAME}{end}"
        path.write_bytes(b"damaged " * (path.stat().st_size // 8))


DAMAGES = [
    overwrite_all,
    delete_all,
    delete_wal,
    replace_by_another,
    overwrite_head,
    cut_to_nothing,
]


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_database_lost_under_a_running_server_is_noticed_said_and_stops_accepting(
    tmp_path, damage
):
    service = make_service(tmp_path)
    client = create_app(service).test_client()

    def hand_in(cells):
        data = {"image": (io.BytesIO(png(cells)), "a.png")}
        return client.post("/api/v1/counts", data=data)

    assert hand_in(1).status_code == 202
    assert client.get("/healthz").json == {"status": "ok"}
    damage(tmp_path)
    refused = hand_in(2)
    assert refused.status_code == 507, refused.text
    assert "nothing is accepted" in refused.json["error"]
    assert client.get("/healthz").json == {"status": "degraded"}
    problems = {known["code"] for known in client.get("/api/v1/status").json["problems"]}
    assert "storage" in problems
    with pytest.raises(StorageError):  # whatever way in: watched folders and the camera too
        service.store.counts.accept(new())


@pytest.mark.parametrize("damage", [delete_all, delete_wal])
def test_what_a_deleted_database_held_is_saved(tmp_path, damage):
    service = make_service(tmp_path)
    row = service.store.counts.accept(new())
    damage(tmp_path)
    (problem,) = [known for known in service.problems if known.code == "storage"]
    (saved,) = tmp_path.glob(f"{DATABASE_NAME}.rescued-*")
    assert str(saved) in problem.text
    with closing(sqlite3.connect(saved)) as copy:
        assert copy.execute("SELECT id FROM counts").fetchall() == [(row.id,)]


def test_damage_that_no_request_meets_is_found_by_reading_it_over(store):
    for number in range(40):
        store.counts.accept(new(bytes([number]), notes="n" * 4000))
    store.database.connection().execute("PRAGMA wal_checkpoint(TRUNCATE)")
    path = store.data_dir / DATABASE_NAME
    with path.open("r+b") as stream:
        stream.seek(path.stat().st_size // 2 // 4096 * 4096)
        stream.write(b"\xff" * 4096)
    assert store.database.problem() is None
    store.database.look_over()
    assert "is damaged" in store.database.problem()
    with pytest.raises(StorageError):
        store.counts.accept(new())


def test_a_checkpoint_under_way_is_not_called_damage(store):
    """It writes the head before the file has grown to the size that the head tells."""
    store.counts.accept(new(notes="n" * 40_000))
    store.database.connection().execute("PRAGMA wal_checkpoint(TRUNCATE)")
    path = store.data_dir / DATABASE_NAME
    whole = path.read_bytes()
    os.truncate(path, len(whole) - 4096)

    def finish() -> None:
        with path.open("r+b") as stream:
            stream.write(whole)

    checkpoint = threading.Timer(0.2, finish)
    checkpoint.start()
    assert store.database.problem() is None
    checkpoint.join()
    assert store.database.check() == []


@contextmanager
def checkpoint_of_another(store):
    """Another program is in the middle of a checkpoint, for however long."""
    shm = store.database.path.with_name(f"{DATABASE_NAME}-shm")
    code = (
        "import fcntl, sys; stream = open(sys.argv[1], 'r+b'); "
        "fcntl.lockf(stream, fcntl.LOCK_EX, 1, 121); print(flush=True); sys.stdin.read()"
    )  # byte 121 is the lock of checkpoints, see walformat.html of SQLite
    words = [sys.executable, "-c", code, shm]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        other.stdout.readline()
        yield
        other.stdin.close()


@pytest.mark.parametrize("under_way", [True, False])
def test_however_long_a_checkpoint_takes_it_is_not_called_damage(store, monkeypatch, under_way):
    monkeypatch.setattr(database, "_CHECKPOINT_S", 0.1)
    store.counts.accept(new(notes="n" * 40_000))
    store.database.connection().execute("PRAGMA wal_checkpoint(TRUNCATE)")
    path = store.data_dir / DATABASE_NAME
    whole = path.read_bytes()
    with checkpoint_of_another(store) if under_way else nullcontext():
        os.truncate(path, len(whole) - 4096)
        assert (store.database.problem() is None) == under_way
    with path.open("r+b") as stream:
        stream.write(whole)
    assert (store.database.problem() is None) == under_way
    assert store.database.check() == []


def test_looking_for_problems_lets_go_of_no_lock(store):
    """A second program that closes the database last removes the -wal file: it must not take us for gone."""
    row = store.counts.accept(new())
    for _ in range(3):
        assert store.database.problem() is None
        store.database.look_over()
        code = "import sqlite3, sys; c = sqlite3.connect(sys.argv[1]); c.execute('SELECT 1 FROM counts'); c.close()"
        subprocess.run([sys.executable, "-c", code, store.database.path], check=True)
    assert store.database.problem() is None
    assert store.counts.get(row.id).status == "queued"


def test_on_a_read_only_disk_the_page_comes_up_and_says_so(tmp_path, monkeypatch):
    """At a start after the kernel found errors: nothing can be written, not even a new secret or a lock file."""

    def read_only(*_):
        raise StorageError("attempt to write a readonly database")

    def locked(*_):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    settings = make_settings(tmp_path)
    open_store(settings.storage).close()  # it was in use before
    monkeypatch.setattr(database.SqliteDatabase, "transaction", read_only)
    monkeypatch.setattr(FolderWatch, "start", locked)
    (tmp_path / "in").mkdir()
    settings = structs.replace(settings, watch=WatchSettings(folders=(str(tmp_path / "in"),)))
    service = Service(settings, load_segmenter=lambda _: FakeSegmenter())
    service.start()
    try:
        assert create_app(service).test_client().get("/healthz").json == {"status": "degraded"}
        assert any("readonly" in known.text for known in service.problems)
    finally:
        service.stop()


def test_a_fault_that_only_looks_like_damage_is_not_called_so(store):
    """A dying disk gives SQLITE_CORRUPT too; who restores a backup then loses what came after it."""
    error = sqlite3.DatabaseError("database disk image is malformed")
    error.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
    said = translate(error, store.database.path, store.database._is_damaged)
    assert isinstance(said, UnavailableError)
    assert store.database.problem() is None
    store.counts.accept(new())
