"""From the file of a data folder into a real PostgreSQL database."""

import contextlib
import sqlite3
from pathlib import Path

import msgspec
import pytest
from appliance import make_settings
from click.testing import CliRunner
from test_store import finish, new, result_of

from device.commands import move
from device.config import StorageSettings
from device.errors import ConflictError, InputError, StorageError, UnavailableError
from device.store import moving, open_store
from device.store.kind import DATABASE_NAME, SHARED_NAME
from device.store.moving import move_counts


@pytest.fixture
def alone(tmp_path) -> StorageSettings:
    """A folder that began with SQLite, as people leave one behind."""
    settings = make_settings(tmp_path / "data").storage
    with contextlib.closing(open_store(settings)) as store:
        for number in range(3):
            store.counts.accept(new(bytes([number]), image=f"slice {number}.png"))
        done = store.queue.claim()
        result = finish(store, done, result_of, cells=4, revision=1)
        store.corrections.add(done.id, result, 5.0, 6.0, "Ada")
        store.counts.accept(new(b"gone"))
        gone = next(row.id for row in store.counts.search() if row.image == "a.png")
        store.counts.delete(gone)
        store.access.add_user("Ada", "hash", administrator=True)
        store.access.create_token("room 3")
        with store.database.transaction() as connection:
            connection.execute("INSERT INTO secrets VALUES ('session key', 'abc')")
            connection.execute("INSERT INTO studies VALUES ('stress', '{}', 1.5)")
            connection.execute(
                "INSERT INTO study_images VALUES ('stress', ?, 'g', 's', '1', 'r')", (done.id,)
            )
            connection.execute(
                "INSERT INTO watched VALUES ('o', 'p', 1, 2, 'x', 'k', NULL, 'taken')"
            )
    return settings


@pytest.fixture
def shared(postgres, alone) -> StorageSettings:
    return msgspec.structs.replace(alone, database=postgres.database_of(Path(alone.data_dir)))


def contents(settings) -> dict[str, list[tuple]]:
    """Every row of every table that people's work is in."""
    tables = (
        "counts", "corrections", "users", "tokens", "secrets", "studies", "study_images", "watched", "deleted",
        "changes", "identity",
    )  # fmt: skip
    with contextlib.closing(open_store(settings)) as store:
        connection = store.database.connection()
        found = {}
        for table in tables:
            names = [name for name in column_names(connection, table) if name != "rowid"]
            columns = ", ".join(f'"{name}"' for name in sorted(names))
            rows = connection.execute(f"SELECT {columns} FROM {table}").fetchall()
            found[table] = sorted((tuple(row) for row in rows), key=repr)
        return found


def column_names(connection, table) -> list[str]:
    row = connection.execute(f"SELECT * FROM {table} LIMIT 1").fetchone()
    assert row is not None, f"the test has nothing in {table}"
    return list(row.keys())


def test_everything_is_there_afterwards_and_goes_on(alone, shared, tmp_path):
    before = contents(alone)
    config = tmp_path / "fluocount.toml"
    config.write_text(f'[storage]\ndata_dir = "{alone.data_dir}"\ndatabase = "{shared.database}"\n')
    told = CliRunner().invoke(move.command, ["--config", str(config)])
    assert told.exit_code == 0, told.output
    assert "3 counts, 1 accounts, 1 studies" in told.output
    assert "s3cret" not in told.output
    assert contents(shared) == before
    with pytest.raises(StorageError, match="are in a PostgreSQL database"):
        open_store(alone)
    (kept,) = Path(alone.data_dir).glob(f"{DATABASE_NAME}.moved-*[0-9]")
    with contextlib.closing(sqlite3.connect(kept)) as file:
        assert file.execute("SELECT COUNT(*) FROM counts").fetchone() == (3,)
    with contextlib.closing(open_store(shared)) as store:
        last = max(row.sequence for row in store.counts.search())
        added = store.counts.accept(new(b"later"))
        assert added.sequence > last
        found = store.database.connection().execute(
            "SELECT change FROM counts WHERE id = ?", (added.id,)
        )
        assert found.fetchone()[0] > before["changes"][0][0]
        assert store.queue.claim().image == "slice 1.png"
    with pytest.raises(InputError, match="nothing to move"):
        move_counts(shared)


def test_a_database_that_has_counts_is_refused(alone, shared, tmp_path):
    before = contents(alone)
    other = msgspec.structs.replace(shared, data_dir=str(tmp_path / "other"))
    with contextlib.closing(open_store(other)) as store:
        store.access.add_user("Bob", "hash", administrator=True)
    with pytest.raises(ConflictError, match="is not empty"):
        move_counts(shared)
    assert contents(alone) == before


def test_a_running_service_is_refused(alone, shared):
    with contextlib.closing(open_store(alone)) as store:
        lock = store.worker_lock()
        assert lock.try_acquire()
        try:
            with pytest.raises(ConflictError, match="stop it first"):
                move_counts(shared)
        finally:
            lock.release()


def test_a_move_that_was_stopped_goes_on(alone, shared, monkeypatch):
    before = contents(alone)

    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(moving, "_require_equal", stop)  # within the transaction
    with pytest.raises(KeyboardInterrupt):
        move_counts(shared)
    monkeypatch.undo()
    assert contents(alone) == before
    monkeypatch.setattr(moving, "write_atomic", stop)  # between the database and the folder
    with pytest.raises(KeyboardInterrupt):
        move_counts(shared)
    monkeypatch.undo()
    with pytest.raises(StorageError):
        open_store(shared)
    move_counts(shared)
    assert (Path(alone.data_dir) / SHARED_NAME).is_file()
    assert contents(shared) == before


def test_rows_that_are_missing_are_noticed(alone, shared, monkeypatch):
    real = moving._copy_table
    monkeypatch.setattr(
        moving, "_copy_table", lambda *words: None if words[2] == "corrections" else real(*words)
    )
    with pytest.raises(StorageError, match="0 rows of corrections, the file 1"):
        move_counts(shared)
    monkeypatch.undo()
    assert move_counts(shared)["corrections"] == 1


def test_without_a_database_or_counts_a_sentence_says_so(alone, tmp_path):
    with pytest.raises(InputError, match="name no database"):
        move_counts(alone)
    empty = msgspec.structs.replace(
        alone, data_dir=str(tmp_path / "empty"), database="postgresql://ada@127.0.0.1:1/counts"
    )
    with pytest.raises(InputError, match="nothing to move"):
        move_counts(empty)
    pytest.importorskip("psycopg", reason="no psycopg; pip install 'fluocount[postgres]'")
    away = msgspec.structs.replace(alone, database="postgresql://ada@127.0.0.1:1/counts")
    with pytest.raises(UnavailableError, match="does not answer"):
        move_counts(away)
