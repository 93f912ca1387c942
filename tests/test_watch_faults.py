"""A watched folder among links to themselves, unreadable entries, a held database and failing reads."""

import errno
import os
import threading
from pathlib import Path

import pytest
from appliance import wait_for
from test_store_faults import Holder

from device.store import database
from device.watch import folder as folder_module
from device.watch import taking
from device.watch.settling import look


def link_to_itself(folder: Path) -> str:
    path = folder / "b loop.png"
    path.symlink_to(path.name)
    return path.name


def folder_linking_to_itself(folder: Path) -> str:
    (folder / "b sub").mkdir()
    (folder / "b sub" / "again").symlink_to("..")
    (folder / "b sub" / "loop.tif").symlink_to("loop.tif")
    return "b sub/loop.tif"


@pytest.mark.parametrize("bad", [link_to_itself, folder_linking_to_itself])
def test_a_link_to_itself_is_listed_and_nothing_after_it_is_skipped(bench, bad):
    bench.image("a.png", 1)
    name = bad(bench.folder)
    bench.image("c.png", 2)
    bench.image("d/e.png", 3)

    state = bench.once(recursive=True)

    assert sorted(bench.images()) == ["a.png", "c.png", "d/e.png"]
    reasons = {line["image"]: line["reason"] for line in bench.lines("errors.csv")}
    assert list(reasons) == [name]
    assert "symbolic links" in reasons[name]
    assert state.failed == 1


def refuse(monkeypatch, function: str, sick: Path, code: int, times: int = 1_000_000) -> None:
    """The system's `function` fails for one path."""
    real, left = getattr(os, function), [times]

    def failing(path, *arguments, **options):
        if os.fspath(path) == os.fspath(sick) and left[0] > 0:
            left[0] -= 1
            raise OSError(code, os.strerror(code), os.fspath(path))
        return real(path, *arguments, **options)

    monkeypatch.setattr(os, function, failing)


@pytest.mark.parametrize("code", [errno.EACCES, errno.EIO])
def test_an_unreadable_file_or_sub_folder_is_listed_and_the_others_are_counted(
    bench, monkeypatch, code
):
    bench.image("a.png", 1)
    sick = bench.image("b.png", 2)
    bench.image("locked/c.png", 3)
    bench.image("z/d.png", 4)
    refuse(monkeypatch, "open", sick, code)
    refuse(monkeypatch, "scandir", bench.folder / "locked", code)

    state = bench.once(recursive=True)

    assert sorted(bench.images()) == ["a.png", "z/d.png"]
    reasons = {line["image"]: line["reason"] for line in bench.lines("errors.csv")}
    assert set(reasons) == {"b.png", "locked"}
    assert all(os.strerror(code) in reason for reason in reasons.values())
    assert state.failed == 2


@pytest.mark.parametrize("code", [errno.EIO, errno.EMFILE, errno.ESTALE])
@pytest.mark.parametrize("function", ["open", "scandir"])
def test_one_failed_look_is_made_again(bench, monkeypatch, code, function):
    path = bench.image("sub/a.png", 1)
    refuse(monkeypatch, function, path if function == "open" else path.parent, code, times=1)

    state = bench.once(recursive=True)

    assert bench.images() == ["sub/a.png"]
    assert state.failed == 0


def test_the_watched_folder_s_own_fault_is_said_and_waited_for(bench, monkeypatch):
    bench.image("a.png", 1)
    refuse(monkeypatch, "scandir", bench.folder, errno.EMFILE, times=2)

    state = bench.once()

    assert bench.images() == ["a.png"]
    assert state.failed == 0
    assert any("Too many open files" in sentence for sentence in bench.said)


@pytest.mark.parametrize("moment", ["scan", "take_complete"])
def test_a_held_database_pauses_the_watch_with_its_cause(bench, monkeypatch, moment):
    monkeypatch.setattr(database, "BUSY_TIMEOUT_S", 0.05)
    bench.store.close()  # a new connection with that patience
    holders = []
    real = getattr(taking.Taking, moment)

    def hold_then(self, *arguments):
        if not holders:
            holders.append(Holder(bench.store.database.path))
            threading.Timer(0.5, holders[0].let_go).start()
        return real(self, *arguments)

    monkeypatch.setattr(taking.Taking, moment, hold_then)
    bench.image("a.png", 1)
    state = bench.once()
    assert (state.counted, state.failed) == (1, 0)
    assert any("Another program uses the database" in sentence for sentence in bench.said)


def test_a_read_error_of_the_database_does_not_end_the_watch(bench, monkeypatch):
    """Where it was a plain sqlite3 error, the thread ended and nobody was told."""
    errors = iter([OSError(errno.EIO, "Input/output error")])
    real = bench.store.database.connection

    def failing():
        if threading.current_thread().name == "watch":
            for error in errors:
                raise error
        return real()

    bench.image("a.png", 1)
    watch = bench.watch()
    monkeypatch.setattr(bench.store.database, "connection", failing)
    watch.start()
    wait_for(lambda: bench.images() == ["a.png"])
    watch.stop()
    assert any("Input/output error" in sentence for sentence in bench.said)


def test_a_bug_is_said_and_the_watch_goes_on(bench, monkeypatch):
    bugs = iter([ValueError("a bug")])
    real = taking.Taking.scan

    def buggy(self, now_s):
        for bug in bugs:
            raise bug
        real(self, now_s)

    monkeypatch.setattr(taking.Taking, "scan", buggy)
    bench.image("a.png", 1)
    watch = bench.watch()
    watch.start()
    wait_for(lambda: bench.images() == ["a.png"])
    watch.stop()
    assert any("ValueError: a bug" in sentence for sentence in bench.said)


def test_a_folder_that_appears_during_a_failed_look_is_seen_soon(bench, monkeypatch):
    monkeypatch.setattr(folder_module, "_RESCAN_S", 3600.0)
    bench.image("a.png", 1)
    refuse(monkeypatch, "scandir", bench.folder, errno.EIO, times=1)
    watch = bench.watch()
    watch.start()
    wait_for(lambda: bench.images() == ["a.png"])
    watch.stop()


def test_a_duplicate_of_a_cancelled_image_is_counted(bench):
    bench.worker.stop()
    original = bench.image("a.png", 1)
    (bench.folder / "b.png").write_bytes(original.read_bytes())
    watch = bench.watch()
    watch.start()
    wait_for(lambda: bench.images("duplicates.csv") == ["b.png"])
    (row,) = bench.store.counts.search()
    bench.store.queue.cancel(row.id)
    wait_for(lambda: bench.images("errors.csv") == ["a.png"])
    wait_for(lambda: any(row.image == "b.png" for row in bench.store.counts.search()))
    watch.stop()


def test_a_file_replaced_within_a_tick_of_the_clock_is_another_image(bench):
    path = bench.image("a.png", 1)
    bench.once()
    before = path.stat()
    first = path.read_bytes()
    bench.store.database.connection().execute("DELETE FROM watched")
    other = bench.image("other.png", 2).read_bytes()
    (bench.folder / "other.png").unlink()
    size = max(len(first), len(other))
    path.write_bytes(other + bytes(size - len(other)))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert look(path).mtime_ns == before.st_mtime_ns
    bench.once()
    assert len({row.image_sha256 for row in bench.store.counts.search()}) == 2


def test_one_result_that_cannot_be_written_keeps_no_other_from_its_line(bench, monkeypatch):
    for number, name in enumerate(("a.png", "b.png", "c.png")):
        bench.image(name, number)
    (bench.out / "a.png.overlay.jpg").mkdir(parents=True)  # in the way
    (bench.out / "a.png.overlay.jpg" / "x").touch()
    watch = bench.watch()
    watch.start()
    wait_for(lambda: sorted(bench.images()) == ["b.png", "c.png"])
    (bench.out / "a.png.overlay.jpg" / "x").unlink()
    (bench.out / "a.png.overlay.jpg").rmdir()
    wait_for(lambda: sorted(bench.images()) == ["a.png", "b.png", "c.png"])
    watch.stop()
