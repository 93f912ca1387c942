import threading

import msgspec
import pytest
from appliance import SlowSegmenter, make_settings, png, wait_for
from conftest import FakeSegmenter

from device.errors import ModelError, StorageError
from device.jobs import Segmenters, Worker, worker
from device.store import NewCount, open_store
from device.store.lock import FileLock


@pytest.fixture
def settings(tmp_path):
    return make_settings(tmp_path)


@pytest.fixture
def store(settings):
    return open_store(settings.storage)


@pytest.fixture
def start(store, settings):
    """Starts a worker with a segmenter; all are stopped in the end."""
    running = []

    def start(segmenter=None, **options):
        load = segmenter if callable(segmenter) and not hasattr(segmenter, "card") else None
        load = load or (lambda model: segmenter or FakeSegmenter())
        found = Worker(store, Segmenters(settings.counting, load), **options)
        found.start()
        running.append(found)
        return found

    yield start
    for found in running:
        found.stop()


def accept(store, data=None, **changes):
    values = {"image": "a.png", "origin": "upload", "model": "fast"} | changes
    return store.counts.accept(NewCount(data=png() if data is None else data, **values))


def ended(store, row, status):
    def condition():
        found = store.counts.get(row.id)
        return found if found.status == status else None

    return wait_for(condition, what=f"status {status} (is {store.counts.get(row.id)})")


def test_a_count_is_done_with_every_product_and_the_conditions(store, start):
    start(conditions=lambda: {"temperature_c": 51.5})
    row = ended(store, accept(store), "done")
    assert (row.count, row.corrected_count, row.progress) == (2, 2, 1)
    assert row.conditions == {"temperature_c": 51.5}
    result = store.result(row.id)
    assert result.count == 2
    assert result.seconds.total > 0
    kept = {path.name for path in (store.folders.folder(row.id) / "1").iterdir()}
    assert kept >= {"result.json", "probability.png", "labels.tiff", "outlines.png", "overlay.jpg"}


def test_an_image_that_cannot_be_counted_fails_with_its_sentence_and_the_next_is_counted(
    store, start
):
    start()
    bad, good = accept(store, b"no image"), accept(store)
    assert "not a PNG, JPEG or TIFF" in ended(store, bad, "failed").error
    ended(store, good, "done")


def test_a_bug_fails_one_image_not_the_worker(store, start, caplog):
    class Buggy(FakeSegmenter):
        def __call__(self, tile):
            if not self.tiles:
                self.tiles.append(tile.shape[:2])
                raise KeyError("oops")
            return super().__call__(tile)

    start(Buggy())
    bad, good = accept(store), accept(store)
    assert "KeyError" in ended(store, bad, "failed").error
    ended(store, good, "done")


def test_a_count_waits_until_all_is_started_that_it_needs(store, start, monkeypatch):
    asked, gate = threading.Event(), threading.Event()

    def start_slowly():
        asked.set()
        gate.wait(20)

    monkeypatch.setattr(worker.sandbox, "wait_until_ready", start_slowly)
    row = accept(store)
    start()
    assert asked.wait(20)
    waiting = store.counts.get(row.id)  # if the program is killed now, the image is not to blame
    assert (waiting.status, waiting.attempts) == ("queued", 0)
    gate.set()
    ended(store, row, "done")


def test_a_missing_model_fails_the_count_with_its_sentence(store, start):
    def missing(model):
        raise ModelError(f"There is no model called {model!r}.")

    start(missing)
    row = ended(store, accept(store, model="nix"), "failed")
    assert row.error == "There is no model called 'nix'."


def test_a_running_count_reports_progress_and_can_be_cancelled(store, start):
    start(SlowSegmenter(0.7))
    row = accept(store, png(shape=(1100, 1100)))
    running = wait_for(lambda: (found := store.counts.get(row.id)).progress > 0 and found)
    assert 0 < running.progress < 1
    assert running.remaining_s > 0
    store.queue.cancel(row.id)
    assert ended(store, row, "cancelled").count is None
    ended(store, accept(store), "done")


def test_a_changed_original_is_never_counted(store, start):
    row = accept(store)
    store.counts.original_path(row).write_bytes(png(3))
    start()
    assert "not the accepted image" in ended(store, row, "failed").error


def test_a_stop_in_the_middle_loses_nothing(store, start):
    first = start(SlowSegmenter(0.7))
    row = accept(store, png(shape=(1100, 1100)))
    wait_for(lambda: store.counts.get(row.id).progress > 0)
    first.stop()
    assert store.counts.get(row.id).status == "queued"
    start()
    assert ended(store, row, "done").attempts == 1


def test_only_one_worker_counts_and_the_other_takes_over(store, start):
    first = start()
    wait_for(lambda: first.state.doing == "idle")
    second = start()
    ended(store, accept(store), "done")
    assert second.state.doing == "elsewhere"
    first.stop()
    row = accept(store)
    ended(store, row, "done")
    wait_for(lambda: second.state.doing == "idle")


def test_the_lock_is_let_go_with_its_holder(tmp_path):
    first, second = FileLock(tmp_path / "lock"), FileLock(tmp_path / "lock")
    assert first.try_acquire()
    assert not second.try_acquire()
    first.release()
    assert second.try_acquire()
    second.release()


def test_results_that_cannot_be_written_pause_the_worker_until_there_is_room(
    store, start, monkeypatch
):
    monkeypatch.setattr(worker, "STORAGE_PAUSE_S", 0.1)
    full = threading.Event()
    full.set()
    keep = store.folders.keep_products

    def limited(*arguments):
        if full.is_set():
            raise StorageError("The disk is full.")
        keep(*arguments)

    monkeypatch.setattr(store.folders, "keep_products", limited)
    running = start()
    row = accept(store)
    wait_for(lambda: running.state.problem)
    assert store.counts.get(row.id).status in ("queued", "running")
    full.clear()
    assert ended(store, row, "done").count == 2
    wait_for(lambda: running.state.problem is None)


def test_silence_grows_when_nothing_moves_and_ends_with_progress(store, start):
    release = threading.Event()

    class Stuck(FakeSegmenter):
        def __call__(self, tile):
            release.wait(20)
            return super().__call__(tile)

    running = start(Stuck())
    row = accept(store)
    wait_for(lambda: running.state.silent_s > 1, what="silence")
    release.set()
    ended(store, row, "done")
    wait_for(lambda: running.state.silent_s < 0.9)


def test_settings_of_a_count_are_the_ones_used(store, start):
    from device.counting.records import CountSettings

    start()
    chosen = CountSettings(threshold=0.8, min_area_px=5.0, exclude_border=True)
    row = ended(store, accept(store, settings=chosen), "done")
    result = store.result(row.id)
    assert (result.threshold, result.min_area_px, result.exclude_border) == (0.8, 5.0, True)
    assert msgspec.json.encode(row.settings) == msgspec.json.encode(chosen)
