import io
import os
import sqlite3
import subprocess
import sys
import tarfile
import threading
from pathlib import Path

import pytest
from click.testing import CliRunner
from conftest import FakeSegmenter, draw_discs
from PIL import Image

from device.cli import cli
from device.config import CountingSettings, StorageSettings
from device.errors import ConflictError, FluocountError, InputError, StorageError
from device.jobs import Segmenters, Worker
from device.store import NewCount, Store, open_store
from device.store.backup import backup_parts, write_backup
from device.store.restore import restore_backup

ROOT = Path(__file__).parent.parent


def make_store(folder: Path) -> Store:
    return open_store(StorageSettings(data_dir=str(folder), refuse_free_mb=1, warn_free_mb=1))


def png(seed: int) -> bytes:
    stream = io.BytesIO()
    image = draw_discs((120, 160), [(40, 40, 37), (110, 70, 37)])
    image[0, 0] = seed
    Image.fromarray(image).save(stream, "PNG")
    return stream.getvalue()


def accept(store: Store, number: int) -> str:
    new = NewCount(data=png(number), image=f"{number}.png", origin="upload", model="fake")
    return store.counts.accept(new).id


def count_all(store: Store) -> None:
    worker = Worker(store, Segmenters(CountingSettings(), lambda _name: FakeSegmenter()))
    worker.start()
    deadline = threading.Event()
    for _ in range(400):
        if not store.queue.has_waiting() and worker.state.doing == "idle":
            break
        deadline.wait(0.05)
    worker.stop()


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A data folder with two counted images and a waiting one."""
    store = make_store(tmp_path / "data")
    for number in (1, 2):
        accept(store, number)
    count_all(store)
    accept(store, 3)
    store.close()
    return tmp_path / "data"


@pytest.fixture
def settings(tmp_path: Path) -> Path:
    path = tmp_path / "fluocount.toml"
    path.write_text("[web]\nport = 8123\n")
    return path


def files(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted((folder / "results").rglob("*"))
        if path.is_file()
    }


def rows(data_dir: Path) -> list[tuple[object, ...]]:
    with sqlite3.connect(data_dir / "fluocount.sqlite") as connection:
        found = connection.execute("SELECT * FROM counts ORDER BY sequence").fetchall()
    connection.close()
    return found


def test_what_was_saved_comes_back(tmp_path: Path, data: Path, settings: Path) -> None:
    (data / "camera.json").write_text('{"exposure_s": 2.0}')
    manifest = write_backup(tmp_path / "b.tar", data, settings)
    assert manifest.counts == 3
    new_settings = tmp_path / "new.toml"
    done = restore_backup(tmp_path / "b.tar", tmp_path / "new", new_settings)
    assert done.set_aside is None
    assert files(tmp_path / "new") == files(data)
    assert rows(tmp_path / "new") == rows(data)
    assert new_settings.read_text() == settings.read_text()
    assert (tmp_path / "new/camera.json").read_text() == '{"exposure_s": 2.0}'
    store = make_store(tmp_path / "new")
    counted = [row for row in store.counts.search() if row.status == "done"]
    assert [store.result(row.id).count for row in counted] == [2, 2]
    store.close()


def test_backup_while_the_service_counts(tmp_path: Path, data: Path) -> None:
    store = make_store(data)
    worker = Worker(store, Segmenters(CountingSettings(), lambda _name: FakeSegmenter()))
    stop = threading.Event()

    def hand_in() -> None:
        number = 10
        while not stop.is_set():
            accept(store, number % 200)
            number += 1
        store.close()

    hands = threading.Thread(target=hand_in)
    worker.start()
    hands.start()
    try:
        write_backup(tmp_path / "b.tar", data, None)
    finally:
        stop.set()
        hands.join()
        worker.stop()
    store.close()
    restore_backup(tmp_path / "b.tar", tmp_path / "new", None)
    restored = make_store(tmp_path / "new")
    found = restored.counts.search()
    assert len(found) >= 3
    for row in found:
        assert restored.counts.original_path(row).is_file()
        if row.status == "done":
            assert restored.result(row.id).count == 2
    restored.close()


def test_a_backup_is_sent_in_pieces_of_bounded_size(data: Path) -> None:
    (folder, *_) = sorted((data / "results").iterdir())
    large = bytes(range(256)) * 20_000 + b"end"
    (folder / "slide.tif").write_bytes(large)
    parts = list(backup_parts(data, None, results=True))
    assert max(map(len, parts)) <= 1 << 20
    with tarfile.open(fileobj=io.BytesIO(b"".join(parts))) as archive:
        found = archive.extractfile(f"data/results/{folder.name}/slide.tif")
        assert found is not None
        assert found.read() == large
        assert archive.getnames()[-1] == "manifest.json"


def test_small_backup_has_no_results_and_leaves_present_ones(
    tmp_path: Path, data: Path, settings: Path
) -> None:
    write_backup(tmp_path / "b.tar", data, settings, results=False)
    with tarfile.open(tmp_path / "b.tar") as archive:
        assert sorted(archive.getnames()) == [
            "data/fluocount.sqlite",
            "manifest.json",
            "settings/fluocount.toml",
        ]
    before = files(data)
    restore_backup(tmp_path / "b.tar", data, settings)
    assert files(data) == before


def test_backup_is_for_the_owner_only_and_never_overwrites(tmp_path: Path, data: Path) -> None:
    write_backup(tmp_path / "b.tar", data, None)
    assert (tmp_path / "b.tar").stat().st_mode & 0o777 == 0o600
    content = (tmp_path / "b.tar").read_bytes()
    with pytest.raises(StorageError, match="already exists"):
        write_backup(tmp_path / "b.tar", data, None)
    assert (tmp_path / "b.tar").read_bytes() == content


def test_no_data_no_backup(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="no database"):
        write_backup(tmp_path / "b.tar", tmp_path / "nothing", None)
    assert not (tmp_path / "b.tar").exists()


def test_failed_backup_leaves_nothing(tmp_path: Path, data: Path) -> None:
    (data / "fluocount.sqlite").write_bytes(b"damaged" * 1000)
    for leftover in data.glob("fluocount.sqlite-*"):
        leftover.unlink()
    with pytest.raises(StorageError, match="cannot be copied"):
        write_backup(tmp_path / "b.tar", data, None)
    assert not list(tmp_path.glob("*b.tar*"))


def test_counts_that_the_backup_lacks_are_never_hidden_unasked(tmp_path: Path, data: Path) -> None:
    write_backup(tmp_path / "b.tar", data, None)
    store = make_store(data)
    newer = accept(store, 4)
    store.close()
    before = (files(data), rows(data))
    with pytest.raises(ConflictError, match=r"1 count\(s\) that are not in the backup"):
        restore_backup(tmp_path / "b.tar", data, None)
    assert (files(data), rows(data)) == before
    done = restore_backup(tmp_path / "b.tar", data, None, set_aside=True)
    assert len(rows(data)) == 3
    assert done.set_aside is not None
    assert (done.set_aside / "results" / newer).is_dir()
    assert len(rows(done.set_aside)) == 4


def test_damaged_database_is_set_aside_only_when_asked(tmp_path: Path, data: Path) -> None:
    write_backup(tmp_path / "b.tar", data, None)
    for leftover in data.glob("fluocount.sqlite-*"):
        leftover.unlink()
    (data / "fluocount.sqlite").write_bytes(b"damaged" * 1000)
    with pytest.raises(ConflictError, match="cannot be read"):
        restore_backup(tmp_path / "b.tar", data, None)
    done = restore_backup(tmp_path / "b.tar", data, None, set_aside=True)
    assert (done.set_aside / "fluocount.sqlite").read_bytes() == b"damaged" * 1000
    assert len(rows(data)) == 3


def test_running_service_is_not_pulled_from_under(tmp_path: Path, data: Path) -> None:
    write_backup(tmp_path / "b.tar", data, None)
    holder = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import sys; from pathlib import Path; from device.store.lock import FileLock\n"
            f"assert FileLock(Path({str(data / 'worker.lock')!r})).try_acquire()\n"
            "print('held', flush=True); sys.stdin.read()",
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=ROOT,
    )
    assert holder.stdout.readline() == b"held\n"
    with pytest.raises(ConflictError, match="stop it first"):
        restore_backup(tmp_path / "b.tar", data, None)
    holder.communicate()
    restore_backup(tmp_path / "b.tar", data, None)


@pytest.mark.parametrize("part", [0.1, 0.5, 0.9])
def test_archive_cut_short_changes_nothing(tmp_path: Path, data: Path, part: float) -> None:
    write_backup(tmp_path / "b.tar", data, None)
    whole = (tmp_path / "b.tar").read_bytes()
    (tmp_path / "b.tar").write_bytes(whole[: int(len(whole) * part)])
    before = (files(data), rows(data))
    with pytest.raises(InputError, match="not a complete backup"):
        restore_backup(tmp_path / "b.tar", data, None)
    assert (files(data), rows(data)) == before
    assert not (data / ".restore").exists()


@pytest.mark.parametrize(
    "name", ["../evil", "/etc/passwd", "data/results/ab/../../../evil", "data/other"]
)
def test_strange_members_are_refused(tmp_path: Path, data: Path, name: str) -> None:
    with tarfile.open(tmp_path / "b.tar", "w") as archive:
        member = tarfile.TarInfo(name)
        member.size = 4
        archive.addfile(member, io.BytesIO(b"evil"))
    with pytest.raises(InputError, match="not a backup"):
        restore_backup(tmp_path / "b.tar", tmp_path / "new", None)
    assert not list(tmp_path.rglob("evil"))


def test_link_is_refused(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "b.tar", "w") as archive:
        member = tarfile.TarInfo("data/fluocount.sqlite")
        member.type, member.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(member)
    with pytest.raises(InputError):
        restore_backup(tmp_path / "b.tar", tmp_path / "new", None)


def test_backup_of_a_newer_fluocount_is_refused(tmp_path: Path, data: Path) -> None:
    with sqlite3.connect(data / "fluocount.sqlite") as connection:
        connection.execute("PRAGMA user_version = 999")
    connection.close()
    write_backup(tmp_path / "b.tar", data, None)
    with pytest.raises(InputError, match="newer fluocount"):
        restore_backup(tmp_path / "b.tar", tmp_path / "new", None)


def test_settings_in_use_stay(tmp_path: Path, data: Path, settings: Path) -> None:
    write_backup(tmp_path / "b.tar", data, settings)
    settings.write_text("[web]\nport = 9000\n")
    done = restore_backup(tmp_path / "b.tar", data, settings)
    assert settings.read_text() == "[web]\nport = 9000\n"
    assert done.settings_beside.read_text() == "[web]\nport = 8123\n"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_root_restores_files_for_the_service_user(tmp_path: Path, data: Path) -> None:
    write_backup(tmp_path / "b.tar", data, None)
    new = tmp_path / "new"
    new.mkdir()
    os.chown(new, 1234, 1235)
    restore_backup(tmp_path / "b.tar", new, None)
    assert {(path.stat().st_uid, path.stat().st_gid) for path in new.rglob("*")} == {(1234, 1235)}


def test_commands(tmp_path: Path, data: Path) -> None:
    config = tmp_path / "settings.toml"
    config.write_text(f'[storage]\ndata_dir = "{data}"\n')
    archive = str(tmp_path / "b.tar")
    runner = CliRunner()
    done = runner.invoke(cli, ["backup", archive, "--config", str(config)])
    assert done.exit_code == 0, done.output
    assert "3 counts" in done.output
    done = runner.invoke(cli, ["restore", archive, "--config", str(config)])
    assert done.exit_code == 0, done.output
    assert "before-restore-" in done.output
    missing = runner.invoke(cli, ["restore", "nothing.tar", "--config", str(config)])
    assert isinstance(missing.exception, FluocountError)
