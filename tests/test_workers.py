"""Counting in several processes: what each may cost, and that nothing else changes."""

import csv
import os
import subprocess
import sys
import threading
import tracemalloc
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import suppress
from multiprocessing import active_children
from pathlib import Path

import msgspec
import numpy as np
import pytest
from appliance import png, wait_for
from click.testing import CliRunner
from conftest import FakeSegmenter, draw_discs, make_frame
from tifffile import imread
from troubled import NeverStarts, Starter, StopsWhileSent

from device.batch.counting import Done, count_there
from device.batch.items import Item
from device.batch.report import BatchReport
from device.batch.sidebyside import in_order
from device.commands import count
from device.counting.pipeline import count_frame
from device.counting.records import CountResult, CountSettings
from device.errors import InputError
from device.machine.processes import WorkerDied, WorkerProcess


@pytest.fixture
def worker(tmp_path):
    made = WorkerProcess(Starter(tmp_path / "notes"))
    yield made
    made.stop()


def test_one_process_does_one_piece_after_the_other(worker, tmp_path):
    first, second = worker.do("a"), worker.do("b")
    assert (first[0], second[0]) == ("a", "b")
    assert first[1] == second[1] != os.getpid()
    assert (tmp_path / "notes").read_text() == "start\n"


def test_an_error_is_that_of_the_piece_and_the_process_goes_on(worker):
    before = worker.do("a")[1]
    with pytest.raises(InputError, match="this piece is bad"):
        worker.do("fail")
    assert worker.do("b")[1] == before


def test_a_process_that_dies_is_replaced_and_costs_only_its_piece(worker):
    before = worker.do("a")[1]
    assert worker.do("kill once")[1] != before
    with pytest.raises(WorkerDied):
        worker.do("kill")
    assert worker.do("b")[0] == "b"


def test_a_process_that_is_stopped_while_it_starts_does_not_live_on(tmp_path):
    """It would do its piece all the same, and the program could not end before that."""
    before = set(active_children())
    worker = WorkerProcess(Starter(tmp_path / "notes"))

    def sleep() -> None:
        with suppress(WorkerDied):
            worker.do("sleep")

    asking = threading.Thread(target=sleep)
    asking.start()
    wait_for(lambda: set(active_children()) - before)
    worker.stop()
    asking.join(30)
    assert not asking.is_alive()
    wait_for(lambda: not set(active_children()) - before, 30, "the end of the process")


def test_who_stops_while_a_process_is_started_ends_it_and_its_piece():
    before = set(active_children())
    start = StopsWhileSent()
    start.worker = WorkerProcess(start)
    with pytest.raises(WorkerDied):
        start.worker.do(600.0)
    wait_for(lambda: not set(active_children()) - before, 30, "the end of the process")


class NeverTaken(ProcessPoolExecutor):
    """Stopped before its thread hands out the first piece."""

    def submit(self, *args, **kwargs):
        piece = Future()
        piece.cancel()
        return piece


@pytest.mark.timeout(60)
def test_who_stops_before_a_piece_is_taken_does_not_wait_for_it(monkeypatch):
    monkeypatch.setattr("concurrent.futures.ProcessPoolExecutor", NeverTaken)
    with pytest.raises(WorkerDied):
        WorkerProcess(NeverStarts()).do("a")


def test_what_fails_at_the_start_is_told(tmp_path):
    worker = WorkerProcess(NeverStarts())
    with pytest.raises(InputError, match="no interpreter"):
        worker.do("a")
    worker.stop()


def test_a_process_ends_with_the_program_that_was_killed(tmp_path):
    script = (
        "import pathlib, sys, time; from troubled import Starter; "
        "from device.machine.processes import WorkerProcess\n"
        "if __name__ == '__main__':\n"
        "    worker = WorkerProcess(Starter(pathlib.Path(sys.argv[1])))\n"
        "    print(worker.do('a')[1], flush=True)\n"
        "    time.sleep(600)\n"
    )
    path = tmp_path / "program.py"
    path.write_text(script)
    folders = os.pathsep.join([str(Path(__file__).parent), *sys.path])
    program = subprocess.Popen(
        [sys.executable, path, tmp_path / "notes"],
        stdout=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": folders},
    )
    with program:
        child = int(program.stdout.readline())
        program.kill()
    wait_for(lambda: not is_alive(child), 30, "the end of the process")


def test_who_stops_does_not_wait_for_the_images_under_way(tmp_path):
    workers = [WorkerProcess(Starter(tmp_path / f"notes {number}")) for number in range(2)]
    outcomes = in_order(["a", "sleep", "sleep"], workers, count_there)
    assert next(outcomes)[0] == "a"
    outcomes.close()  # as Ctrl-C does; it would wait for ten minutes
    for worker in workers:
        worker.stop()


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().split(")")[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_other_pieces_are_counted_whatever_happens_to_one(tmp_path):
    workers = [WorkerProcess(Starter(tmp_path / f"notes {number}")) for number in range(2)]
    pieces = ["a", "kill", "b", "kill again", "c", "d", "kill once", "e"]

    def work(piece, worker, _):
        try:
            return worker.do(piece)[0]
        except WorkerDied:
            return f"lost {piece}"

    outcomes = list(in_order(pieces, workers, work))
    for worker in workers:
        worker.stop()
    lost = {"kill", "kill again"}
    assert outcomes == [f"lost {piece}" if piece in lost else piece for piece in pieces]


def test_an_image_that_ends_its_process_is_named(tmp_path):
    class Dead:
        def do(self, *_):
            raise WorkerDied

    item = Item(tmp_path / "a.png", "a.png")
    done = count_there(item, Dead(), lambda *_: None)
    assert done.item is item
    assert "use fewer workers" in done.error


@pytest.mark.slow
def test_processes_count_like_threads(tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    for cells in range(6):
        (folder / f"{cells}.png").write_bytes(png(cells, shade=200))
    (folder / "bad.png").write_bytes(png(1)[:200])

    def run(out: Path, *options: str):
        arguments = [str(folder), "--out", str(out), "--model", "fast", *options]
        return CliRunner().invoke(count.command, arguments)

    serial, spread = run(tmp_path / "serial"), run(tmp_path / "spread", "--workers", "2")
    assert (serial.exit_code, spread.exit_code) == (1, 1)
    assert "bad.png" in spread.stderr
    for table in ("counts.csv", "errors.csv"):
        assert rows(tmp_path / "serial" / table) == rows(tmp_path / "spread" / table)
    for name in sorted(path.name for path in (tmp_path / "serial").glob("*.result.json")):
        one, other = (result(tmp_path / out / name) for out in ("serial", "spread"))
        assert one == other
    for path in (tmp_path / "serial").glob("*.labels.tif"):
        assert np.array_equal(imread(path), imread(tmp_path / "spread" / path.name))
    again = run(tmp_path / "spread", "--workers", "2", "--resume")
    assert "6 done earlier" in again.stderr


def rows(path: Path) -> list[dict[str, str]]:
    """A table without what time does to it."""
    with path.open(newline="", encoding="utf-8") as stream:
        return [
            {
                name: text
                for name, text in row.items()
                if name not in ("counted_at", "counted_utc", "seconds", "noticed_at")
            }
            for row in csv.DictReader(stream)
        ]


def result(path: Path) -> CountResult:
    from device.counting.records import Seconds

    found = msgspec.json.decode(path.read_bytes(), type=CountResult)
    return msgspec.structs.replace(found, seconds=Seconds())


def test_memory_stays_flat_for_many_images(tmp_path):
    counted = count_frame(
        make_frame(draw_discs((120, 400), [(60, 60, 37)])), FakeSegmenter(), CountSettings()
    ).result
    report = BatchReport()

    def grown(images: int) -> int:
        items = (Item(tmp_path, f"{number}.png") for number in range(images))
        before = tracemalloc.get_traced_memory()[0]
        for done in in_order(items, [None], lambda item, *_: Done(item, counted)):
            report.add(done.item, done.result)
        return tracemalloc.get_traced_memory()[0] - before

    grown(1500)  # the table on the terminal is full
    tracemalloc.start()
    try:
        assert grown(3000) < 50_000
    finally:
        tracemalloc.stop()
    report.write(tmp_path / "out")
    assert len(rows(tmp_path / "out" / "counts.csv")) == 4500
    assert "3500 more images" in report.table()
