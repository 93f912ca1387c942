"""What a PostgreSQL database that several servers share has of its own; the tests of the store run with it as well."""

import contextlib
import http.client
import io
import sqlite3
import subprocess
import sys

import msgspec
import pytest
from appliance import make_settings, png, wait_for
from test_server_load import free_port
from test_store import finish, new, result_of

from device.config import Settings, load_settings
from device.doctor.parts import check_data
from device.doctor.verdict import Patient
from device.errors import ConflictError, StorageError, UnavailableError
from device.machine import clock
from device.service import Service
from device.store import leases, open_store
from device.store.backup import write_backup
from device.store.database import migrations
from device.store.kind import DATABASE_NAME, SHARED_NAME
from device.store.protocols import ConstraintError
from device.store.queue import MAX_CRASHES
from device.store.restore import restore_backup
from device.store.sweep import Sweep
from device.web import create_app


def settings_of(postgres, folder) -> Settings:
    settings = make_settings(folder)
    storage = msgspec.structs.replace(settings.storage, database=postgres.database_of(folder))
    return msgspec.structs.replace(settings, storage=storage)


@pytest.fixture
def settings(postgres, tmp_path) -> Settings:
    return settings_of(postgres, tmp_path / "data")


@pytest.fixture
def stores(settings):
    """The same results as two servers see them."""
    made = [open_store(settings.storage) for _ in range(2)]
    yield made
    for store in made:
        store.close()


@pytest.fixture
def own_postgres():
    """A server that a test may stop."""
    import postgresql

    with postgresql.running_or_skipped() as server:
        yield server


def test_both_schemas_have_the_same_columns(stores):
    with contextlib.closing(sqlite3.connect(":memory:")) as plain:
        for _, sql in migrations():
            plain.executescript(sql)
        found = plain.execute(
            "SELECT m.name, c.name, c.\"notnull\" OR c.pk > 0 FROM sqlite_master AS m, pragma_table_info(m.name) AS c "
            "WHERE m.type = 'table' AND m.name NOT LIKE 'sqlite_%'"
        ).fetchall()  # fmt: skip
    connection = stores[0].database.connection()
    shared = connection.execute(
        "SELECT table_name, column_name, CASE is_nullable WHEN 'NO' THEN 1 ELSE 0 END FROM information_schema.columns "
        "WHERE table_schema = current_schema() AND table_name NOT IN ('schema_version', 'servers', 'claims') "
        "AND column_name != 'rowid'"
    )
    assert {tuple(row) for row in shared} == set(found)
    newest = connection.execute("SELECT version FROM schema_version").fetchall()
    assert [row[0] for row in newest] == [migrations()[-1][0]]


def test_no_whole_transaction_is_seen_before_or_after_its_time(stores):
    here, there = stores
    row = here.counts.accept(new())
    there.database.be_patient(0.05)

    def begin() -> None:
        with here.database.transaction() as connection:
            connection.execute("UPDATE counts SET sample = 'x'")
            assert there.counts.get(row.id).sample == ""
            with pytest.raises(UnavailableError, match="Others are writing"):
                there.queue.claim()
            raise KeyError

    with pytest.raises(KeyError):
        begin()
    assert there.counts.get(row.id).sample == ""
    assert there.queue.claim().id == row.id


def test_what_was_rolled_back_is_not_taken_for_written(stores):
    connection = stores[0].database.connection()

    def write() -> None:
        with stores[0].database.transaction():
            connection.execute("INSERT INTO secrets VALUES ('a', 'b')")
            with contextlib.suppress(ConstraintError):
                connection.execute("INSERT INTO secrets VALUES ('a', 'c')")

    with pytest.raises(StorageError, match="did not keep"):
        write()
    assert connection.execute("SELECT * FROM secrets").fetchall() == []


def end_lease(store) -> None:
    """As if every server had been silent for long."""
    with store.database.transaction() as connection:
        connection.execute("UPDATE servers SET heard_s = heard_s - ?", (leases.LEASE_S + 1,))


def test_what_a_silent_server_had_begun_is_counted_by_another_and_has_one_result(stores):
    slow, quick = stores
    try:
        assert slow.worker_lock().try_acquire()
        assert quick.worker_lock().try_acquire()
        row = slow.counts.accept(new())
        mine = slow.queue.claim()
        assert not slow.queue.report(mine, 0.5, None)
        assert quick.queue.leases.requeue_lost() == 0, "it lives"
        end_lease(slow)
        assert quick.queue.leases.requeue_lost() == 1
        again = quick.queue.claim()
        assert slow.queue.report(mine, 0.9, None), "it need not go on"
        assert quick.counts.get(row.id).progress == 0
        slow.queue.fail(mine, "too late")
        slow.queue.requeue(mine)
        slow.queue.mark_cancelled(mine)
        assert quick.counts.get(row.id).status == "running"
        finish(slow, mine, result_of, cells=9, revision=mine.revision + 1)
        assert slow.counts.get(row.id).status == "running", "its result comes too late"
        finish(quick, again, result_of, cells=4, revision=again.revision + 1)
        finish(slow, mine, result_of, cells=9, revision=mine.revision + 1)
        assert slow.counts.get(row.id).count == slow.result(row.id).count == 4
    finally:
        for store in stores:
            store.worker_lock().release()


def test_a_server_that_ends_leaves_nothing_to_wait_for(stores):
    here, there = stores
    here.worker_lock().try_acquire()
    here.counts.accept(new())
    here.queue.claim()
    here.worker_lock().release()
    assert there.queue.leases.requeue_lost() == 1


def test_a_server_that_starts_lets_the_others_say_first_that_they_live(stores, monkeypatch):
    there, here = stores
    assert there.worker_lock().try_acquire()
    row = there.counts.accept(new())
    there.queue.claim()
    end_lease(there)  # the database was away: nobody could say anything
    monkeypatch.setattr(leases, "_BEAT_S", 0.02)
    assert here.worker_lock().try_acquire()
    try:
        assert here.queue.requeue_interrupted() == 0
        assert there.counts.get(row.id).status == "running"
        monkeypatch.setattr(leases, "LEASE_S", 0.2)
        wait_for(lambda: there.counts.get(row.id).status == "queued", 10, "the end of the grace")
    finally:
        for store in stores:
            store.worker_lock().release()


def test_an_image_that_ends_every_server_fails_in_the_end(stores):
    store, other = stores
    row = store.counts.accept(new())
    for number in range(MAX_CRASHES):
        store.queue.claim()
        end_lease(store)
        assert other.worker_lock().try_acquire()  # the program starts again on the same machine
        lost = store.queue.leases.requeue_lost()
        assert lost == (number < MAX_CRASHES - 1)
        other.worker_lock().release()
    assert store.counts.get(row.id).status == "failed"


def test_an_attempt_that_a_power_cut_ended_does_not_count(settings, monkeypatch):
    for number in range(MAX_CRASHES + 2):
        monkeypatch.setattr(clock, "boot_id", lambda run=f"run-{number}": run)
        with contextlib.closing(open_store(settings.storage)) as store:
            if number == 0:
                row = store.counts.accept(new())
            end_lease(store)
            lock = store.worker_lock()
            assert lock.try_acquire()
            try:
                assert store.queue.leases.requeue_lost() == (number > 0)
                claimed = store.queue.claim()
                assert (claimed.id, claimed.attempts) == (row.id, 1)
            finally:
                lock._stop.set()  # the power is cut: nobody says goodbye
                lock._thread.join()


def test_a_server_lives_on_while_a_dump_is_restored(stores, monkeypatch, caplog):
    monkeypatch.setattr(leases, "_BEAT_S", 0.02)
    connection = stores[0].database.connection()
    lock = stores[1].worker_lock()
    assert lock.try_acquire()
    try:
        connection.execute("ALTER TABLE servers RENAME TO restored")
        wait_for(lambda: "could not say that it lives" in caplog.text, 10, "the log")
        connection.execute("UPDATE restored SET heard_s = 0")
        connection.execute("ALTER TABLE restored RENAME TO servers")
        heard = "SELECT 1 FROM servers WHERE heard_s > 0"
        wait_for(lambda: connection.execute(heard).fetchone(), 10, "the next sign of life")
    finally:
        lock.release()


def test_a_sentence_of_the_database_stays_readable_without_a_password(monkeypatch):
    psycopg = pytest.importorskip("psycopg", reason="no psycopg")
    from device.store.postgres import PostgresDatabase

    monkeypatch.setattr(PostgresDatabase, "_migrate", lambda self: None)
    for url, said in (("ada@host", "no s3cret here"), ("ada:s3cret@host", "no *** here")):
        database = PostgresDatabase(f"postgresql://{url}/counts")
        error = database.translate(psycopg.OperationalError("no s3cret\n\there"))
        assert f"({said})" in str(error)


@pytest.mark.parametrize("address", ["mysql://ada:s3cret@host/counts", "host/counts", ""])
def test_another_kind_of_address_gets_a_sentence(address, tmp_path):
    pytest.importorskip("psycopg", reason="no psycopg")
    config = tmp_path / "fluocount.toml"
    config.write_text(f'[storage]\ndata_dir = "{tmp_path / "data"}"\ndatabase = "{address}"\n')
    with pytest.raises(
        StorageError, match="it is postgresql://NAME:PASSWORD@HOST/DATABASE"
    ) as told:
        open_store(load_settings(config).storage)
    assert "s3cret" not in str(told.value)


def test_two_servers_that_label_again_write_to_different_folders(stores):
    row = stores[0].counts.accept(new())
    numbers = {store.queue.next_revision(row) for store in stores for _ in range(20)}
    assert len(numbers) > 30
    assert min(numbers) > row.revision


def test_a_folder_stays_with_its_database(postgres, settings, tmp_path):
    with contextlib.closing(open_store(settings.storage)) as store:
        row = store.counts.accept(new())
    folder = tmp_path / "data"
    other = postgres.database_of(tmp_path / "other")
    with pytest.raises(StorageError, match="belong to another database"):
        open_store(msgspec.structs.replace(settings.storage, database=other))
    with pytest.raises(StorageError, match="all servers need the same data folder"):
        open_store(msgspec.structs.replace(settings.storage, data_dir=str(tmp_path / "empty")))
    with pytest.raises(StorageError, match="are in a PostgreSQL database"):
        open_store(msgspec.structs.replace(settings.storage, database=None))
    assert not (folder / DATABASE_NAME).exists()
    with pytest.raises(StorageError, match="pg_dump"):
        write_backup(tmp_path / "backup.tar", folder, None)
    with pytest.raises(StorageError, match="pg_restore"):
        restore_backup(tmp_path / "backup.tar", folder, None)
    with contextlib.closing(open_store(settings.storage)) as store:
        assert store.counts.get(row.id) == row
    (folder / SHARED_NAME).unlink()
    (folder / DATABASE_NAME).touch()
    with pytest.raises(StorageError, match="a file of its own"):
        open_store(settings.storage)


def test_images_that_an_older_copy_of_the_database_does_not_know_stay(stores):
    store = stores[0]
    folder = store.folders.root / "0123456789abcdef"
    folder.mkdir()
    sweep = Sweep(store, age_s=0.0)
    assert sweep.run() + sweep.run() == 0
    assert folder.is_dir()


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://ada:s3cret@127.0.0.1:1/counts",
        "postgresql://ada:s3cret@nowhere.invalid/counts",
        "postgresql://ada@127.0.0.1:1/counts?password=s3cret",
        "postgresql://ada:p@s3cret@127.0.0.1:1/counts",
        "postgresql://ada:p/s3cret@127.0.0.1:1/counts",
        "postgresql://ada:p#s3cret@127.0.0.1:1/counts",
        "postgresql://ada:p?s3cret@127.0.0.1:1/counts",
        "postgresql://ada:s3cret@127.0.0.1:port/counts",
        "postgresql://ada:%zs3cret@127.0.0.1/counts",
    ],
)
def test_no_sentence_shows_the_password(url, tmp_path, caplog):
    pytest.importorskip("psycopg", reason="no psycopg; pip install 'fluocount[postgres]'")
    settings = make_settings(tmp_path)
    storage = msgspec.structs.replace(settings.storage, database=url)
    service = Service(msgspec.structs.replace(settings, storage=storage))
    told = " ".join(problem.text for problem in service.problems)
    assert "does not answer" in told or "cannot be read" in told
    assert "s3cret" not in told + caplog.text
    patient = Patient(settings=msgspec.structs.replace(settings, storage=storage))
    verdict = check_data(patient)
    assert verdict.state == "failure"
    assert "s3cret" not in verdict.found


def test_a_database_that_goes_away_is_said_and_comes_back_by_itself(own_postgres, tmp_path):
    settings = settings_of(own_postgres, tmp_path / "data")
    service = Service(settings)
    client = create_app(service).test_client()
    store = service.require_store()
    kept = store.counts.accept(new())
    own_postgres.stop("fast")
    own_postgres.start()
    assert store.counts.get(kept.id) == kept  # the lost connection is nobody's trouble
    own_postgres.stop("fast")
    for answer in (
        client.get("/api/v1/counts"),
        client.post("/api/v1/counts", data={"image": (png_file(), "a.png")}),
    ):
        assert answer.status_code == 503
        assert answer.headers["Retry-After"]
        assert "does not answer" in answer.text
        assert "s3cret" not in answer.text
    with pytest.raises(UnavailableError):
        store.counts.accept(new())
    assert [problem.code for problem in service.problems] == ["storage"]
    own_postgres.start()
    wait_for(lambda: not service.problems, 20, "the database")
    sent = client.post("/api/v1/counts", data={"image": (png_file(), "a.png")})
    assert sent.status_code == 202
    assert {row.id for row in store.counts.search()} == {kept.id, sent.get_json()["id"]}
    assert check_data(Patient(settings=settings)).state == "ok"
    store.close()


def png_file() -> io.BytesIO:
    return io.BytesIO(png())


def test_what_is_taken_is_said_alike(stores):
    store = stores[0]
    store.access.add_user("Ada", "hash", administrator=True)
    with pytest.raises(ConflictError, match="already a user"):
        stores[1].access.add_user("Ada", "hash", administrator=True)
    assert store.access.is_administrator("Ada")


def answer_of(port: int, status: int) -> str | None:
    """The body of an answer with that status, None for any other."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    with contextlib.closing(connection), contextlib.suppress(OSError, http.client.HTTPException):
        connection.request("GET", "/api/v1/counts")
        answer = connection.getresponse()
        return answer.read().decode() if answer.status == status else None
    return None


@pytest.mark.slow
def test_a_server_that_starts_before_its_database_begins_when_it_comes(own_postgres, tmp_path):
    config, port = tmp_path / "fluocount.toml", free_port()
    url = own_postgres.database_of(tmp_path / "data")
    config.write_text(f'[storage]\ndatabase = "{url}"\n[server]\nworkers = 1\n')
    own_postgres.stop("fast")
    options = ("--server", "--port", str(port), "--data-dir", str(tmp_path / "data"))
    command = [sys.executable, "-m", "device.cli", "serve", "--config", str(config), *options]
    with (tmp_path / "log").open("w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        assert "does not answer" in wait_for(lambda: answer_of(port, 503), 60, "the sentence")
        own_postgres.start()
        wait_for(lambda: answer_of(port, 200), 60, "the history")
    finally:
        process.kill()
        process.wait()
    assert "s3cret" not in (tmp_path / "log").read_text()
