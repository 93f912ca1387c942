import sys
import threading
import time

import pytest
from conftest import FakeSegmenter, draw_discs
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from device.batch.items import count_item, find_images
from device.batch.sidebyside import in_order
from device.counting.records import CountSettings
from device.machine.cores import share_cores


@given(workers=st.integers(1, 4), delays=st.lists(st.floats(0, 0.003), max_size=12))
def test_outcomes_come_in_the_order_of_the_items_and_few_are_under_way(workers, delays):
    under_way, most, taken = 0, 0, []
    lock = threading.Lock()

    def items():
        for item in enumerate(delays):
            taken.append(item)
            yield item

    def work(item, segmenter, progress):
        nonlocal under_way, most
        with lock:
            under_way += 1
            most = max(most, under_way)
        time.sleep(item[1])
        with lock:
            under_way -= 1
        return item[0]

    results = []
    for result in in_order(items(), [FakeSegmenter() for _ in range(workers)], work):
        results.append(result)
        assert len(taken) <= len(results) + workers + 1
    assert results == list(range(len(delays)))
    assert most <= workers


def test_counted_side_by_side_like_one_by_one(tmp_path):
    for cells in range(9):
        discs = [(40 + 45 * cell, 50, 37) for cell in range(cells)]
        Image.fromarray(draw_discs((100, 480), discs)).save(tmp_path / f"{cells}.png")
    (tmp_path / "4b.png").write_bytes(b"no image")
    items = find_images([tmp_path])

    def count(workers):
        def work(item, segmenter, progress):
            return count_item(item, segmenter, CountSettings(), progress=progress)

        segmenters = [FakeSegmenter() for _ in range(workers)]
        return [
            (outcome.item.name, outcome.error, outcome.counted and outcome.counted.result.cells)
            for outcome in in_order(items, segmenters, work)
        ]

    one_by_one = count(1)
    assert count(3) == one_by_one
    assert [len(cells) for _, _, cells in one_by_one if cells is not None] == list(range(9))


def test_an_error_comes_out_in_its_turn_and_stops_the_others():
    stopped = []

    def work(item, segmenter, progress):
        if item == 2:
            raise OSError("disk full")
        if item > 2:
            try:
                for _ in range(1000):
                    time.sleep(0.005)
                    progress(1, 2)
            finally:
                stopped.append(item)
        return item

    outcomes = in_order(range(1000), [FakeSegmenter(), FakeSegmenter()], work)
    assert [next(outcomes), next(outcomes)] == [0, 1]
    begin_s = time.monotonic()
    with pytest.raises(OSError, match="disk full"):
        next(outcomes)
    assert time.monotonic() - begin_s < 4
    assert set(stopped) <= {3, 4}


@given(images=st.integers(0, 50), threads=st.integers(1, 16))
def test_cores_are_shared_out_but_never_oversubscribed(images, threads):
    workers, each = share_cores(images, threads)
    assert 1 <= workers <= max(1, images)
    assert 1 <= workers * each <= threads


def test_the_turns_of_threads_are_given_back():
    before_s = sys.getswitchinterval()
    seen = list(
        in_order(range(3), [FakeSegmenter(), FakeSegmenter()], lambda *_: sys.getswitchinterval())
    )
    assert seen == [pytest.approx(0.001)] * 3
    assert sys.getswitchinterval() == before_s
