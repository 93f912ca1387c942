"""A file that is too much for the decoders costs that file only."""

import gc
import io
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import hostile
import imagecodecs
import numpy as np
import pytest
from appliance import make_service, png, wait_for

from device import imageio, sandbox
from device.counting.records import Frame, as_three_channels
from device.errors import BusyError, InputError
from device.sandbox import files, messages, open_image
from device.sandbox.messages import Answer, Array, FrameMemory
from device.sandbox.pool import decoders
from device.sandbox.process import DecodingProcess
from device.sandbox.room import Room
from device.web import create_app

ROOT = Path(__file__).parents[1]
rng = np.random.default_rng(5)
GREY, RGB = (
    rng.integers(0, 4096, (70, 110), np.uint16),
    rng.integers(0, 256, (70, 110, 3), np.uint8),
)
# 8000 x 8000 in scans without end: libjpeg is in C code for minutes.
ENDLESS = hostile.empty_scans(5000)


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def shared_memory() -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("RssShmem"))


@pytest.fixture
def fresh():
    """Decoding processes of this test alone."""
    decoders.close()
    yield decoders
    decoders.close()


@pytest.mark.parametrize(
    "data",
    [
        imagecodecs.png_encode(GREY),
        imagecodecs.png_encode(RGB),
        imagecodecs.png_encode(GREY.astype(np.uint8)),
        imagecodecs.png_encode(GREY // 4 + np.uint16(100)),  # its offset is taken off
        hostile.many_samples(3, 100, 70),
    ],
)
def test_a_frame_is_the_same_as_without_the_process(data, tmp_path):
    here, there = imageio.decode_frame(data, "a"), sandbox.decode_frame(data, "a")
    (tmp_path / "a").write_bytes(data)
    for frame in (there, sandbox.read_frame(tmp_path / "a")):
        assert frame.image.dtype == here.image.dtype
        assert np.array_equal(frame.image, here.image)
        assert frame.image.strides[2] == here.image.strides[2]
        for field in ("source", "sha256", "bits", "channels", "pixel_size_um"):
            assert getattr(frame, field) == getattr(here, field)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "the file is empty"),
        (b"hello", "not a PNG, JPEG or TIFF"),
        (png()[:60], "damaged or incomplete"),
        (b"II*\0broken", "damaged or incomplete"),
        (png(shape=(20, 400)), "at least 32x32"),
    ],
)
def test_what_is_no_image_gets_the_sentence_of_the_decoders(data, words):
    with pytest.raises(InputError, match=rf"^a\.png .*{words}"):
        sandbox.decode_frame(data, "a.png")


@pytest.mark.parametrize("kind", ["gone", "folder", "pipe"])
def test_what_is_no_file_gets_a_sentence(kind, tmp_path):
    path = tmp_path / "a.png"
    if kind == "folder":
        path.mkdir()
    if kind == "pipe":
        os.mkfifo(path)
    with pytest.raises(InputError, match=r"^a\.png "):
        sandbox.read_frame(path)


def test_many_frames_leave_nothing_behind():
    data = imagecodecs.png_encode(RGB)
    sandbox.decode_frame(data, "a")
    gc.collect()  # what earlier tests left behind may not go while this one counts
    before = descriptors(), shared_memory()
    for number in range(60):
        if number % 2:
            sandbox.decode_frame(data, "a")
        else:
            with pytest.raises(InputError):
                sandbox.decode_frame(data[:200], "a")
    gc.collect()
    assert descriptors() == before[0]
    assert shared_memory() <= before[1] + 1000  # KiB


def test_an_endless_file_is_refused_and_the_next_one_read(fresh):
    with open_image(ENDLESS, "endless.jpg", limit_s=1.0) as image:
        image.header()
        (old,) = fresh.pids()
        begin = time.monotonic()
        with pytest.raises(InputError, match=r"endless\.jpg takes longer than 1 s"):
            image.frame()
        assert time.monotonic() - begin < 20
    assert not Path(f"/proc/{old}").exists(), "killed and waited for"
    assert sandbox.decode_frame(png(), "good.png").height == 120


def test_a_busy_computer_is_not_held_against_a_file(fresh, monkeypatch):
    """Others take all the time: who waits is told so, a queue waits longer; what stands still is no busy computer."""
    monkeypatch.setattr(DecodingProcess, "_processor_s", lambda self: 0.0)
    monkeypatch.setattr(files, "REQUEST_LIMIT_S", 0.5)
    with (
        open_image(ENDLESS, "a.jpg", request=True) as image,
        pytest.raises(BusyError, match="busy"),
    ):
        image.frame()
    with open_image(ENDLESS, "a.jpg", limit_s=0.5) as image:
        image.header()
        os.kill(fresh.pids()[0], signal.SIGSTOP)
        with pytest.raises(InputError, match="takes longer"):
            image.frame()


def test_who_makes_one_ready_waits_while_all_are_at_work(fresh):
    """Each holds some 40 MB: none beside those that are allowed, not even for the next count."""
    fresh.resize(1)
    seen, waits = set(), threading.Thread(target=fresh.prepare)
    try:
        with open_image(ENDLESS, "a.jpg", limit_s=1.0) as image:
            image.header()
            hangs = threading.Thread(target=read_what_hangs, args=(image,))
            (only,) = fresh.pids()
            hangs.start()
            wait_for(lambda: is_at_work(only), what="the file that hangs")
            waits.start()
            while hangs.is_alive():
                seen.add(len([pid for pid in fresh.pids() if is_running(pid)]))
                hangs.join(0.02)
        waits.join(20)
        assert not waits.is_alive()
        assert max(seen) == 1
        assert len(fresh.pids()) == 1
    finally:
        fresh.resize(2)


def read_what_hangs(image):
    with pytest.raises(InputError, match="takes longer"):
        image.frame()


def is_at_work(pid: int) -> bool:
    return Path(f"/proc/{pid}/stat").read_text().rsplit(")")[1].split()[0] == "R"


def test_what_swells_beyond_its_size_is_refused(fresh):
    with pytest.raises(InputError, match="needs far more memory than its size explains"):
        sandbox.decode_frame(hostile.long_header(40), "long.tif")
    assert sandbox.decode_frame(png(), "good.png").height == 120


def test_a_size_that_no_machine_has_is_refused_by_the_decoders(fresh):
    with pytest.raises(InputError, match="2147483647x2147483647"):
        sandbox.decode_frame(hostile.endless_size(), "a.tif")


def test_a_process_that_lost_memory_is_replaced(fresh):
    """Each of these leaves 18 MB in libpng's wrapper."""
    data = hostile.wrong_filter_png()
    seen = set()
    for _ in range(14):
        with pytest.raises(InputError, match="damaged"):
            sandbox.decode_frame(data, "a.png")
        seen |= set(fresh.pids())
        assert sandbox.peak_memory_mb() < 400
    assert sandbox.decode_frame(png(), "good.png").height == 120


def resident_mb(pid):
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * 4096 / 1e6
    except FileNotFoundError:
        return 0


def kill_when_busy(pids, times):
    """Kill the process that decodes, so often."""
    for _ in range(times):
        pid = wait_for(lambda: next((pid for pid in pids() if resident_mb(pid) > 200), None))
        os.kill(pid, signal.SIGKILL)
        wait_for(lambda pid=pid: pid not in pids())


@pytest.mark.parametrize("times", [1, 2])
def test_a_killed_process_is_replaced_once(fresh, times):
    """Somebody else's kill is not held against the file; a second one is."""
    with open_image(ENDLESS, "a.jpg", limit_s=6.0) as image:
        image.header()
        killer = threading.Thread(target=kill_when_busy, args=(fresh.pids, times))
        killer.start()
        with pytest.raises(InputError, match="crash" if times == 2 else "longer than 6 s"):
            image.frame()
        killer.join()
    assert sandbox.decode_frame(png(), "good.png").height == 120


ORPHAN = """
import sys
sys.path[:0] = [{root!r}, {tests!r}]
import threading
import hostile
from device.sandbox import open_image
from device.sandbox.pool import decoders
from device.sandbox.process import DecodingProcess
image = open_image(hostile.empty_scans(5000), "a.jpg")
image.header()
threading.Timer(0.5, lambda: print(*decoders.pids(), flush=True)).start()
image.frame()
"""


def test_the_process_ends_with_its_parent_even_within_a_decoder():
    script = ORPHAN.format(root=str(ROOT), tests=str(ROOT / "tests"))
    parent = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    child = int(parent.stdout.readline())
    assert Path(f"/proc/{child}").exists()
    parent.kill()
    parent.wait()
    parent.stdout.close()
    wait_for(lambda: not is_running(child), what="the end of the orphan")


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")")[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.parametrize("ahead", [GREY, RGB, np.vstack((RGB, RGB)), GREY[::2], None])
@pytest.mark.parametrize("image", [as_three_channels(GREY), RGB])
def test_what_was_written_ahead_is_taken_only_if_it_is_the_image(image, ahead):
    frame = Frame(image=image, source="a", sha256="", ignored=image[..., 0] > 100)
    memory = FrameMemory()
    if ahead is not None:
        memory.write_ahead(ahead)
    fields, arrays = memory.pack(frame)
    answer = Answer(resident_bytes=0, fields=fields, arrays=arrays)
    there = messages.unpack_frame(answer, memory.descriptor)
    os.close(memory.descriptor)
    assert np.array_equal(there.image, image)
    assert np.array_equal(there.ignored, frame.ignored)


def test_memory_that_can_still_change_is_not_taken():
    answer = Answer(
        resident_bytes=0, arrays={"image": Array(dtype="|u1", shape=(8, 8, 3), offset=0)}
    )
    memory = messages.memory_of(bytes(192))
    with pytest.raises((OSError, ValueError)):
        messages.unpack_frame(answer, memory)
    os.close(memory)


def test_room_is_given_in_turn():
    room, order = Room(10, "busy"), []
    first = room.take(8)
    first.__enter__()

    def take(needed):
        with room.take(needed):
            order.append(needed)

    threads = []
    for needed in (9, 1, 10):
        threads.append(threading.Thread(target=take, args=(needed,)))
        threads[-1].start()
        wait_for(lambda: len(room._waiting) == len(threads))
    first.__exit__(None, None, None)
    for thread in threads:
        thread.join()
    assert order == [9, 1, 10], "the small one does not overtake"


def test_impatience_is_said_and_giants_go_alone():
    room = Room(10, "Come again.")
    with room.take(99), pytest.raises(BusyError, match="Come again"), room.take(1, patience_s=0.1):
        pass
    with room.take(10, patience_s=0.1):
        pass


@pytest.mark.timeout(120)
def test_the_page_and_the_queue_go_on_while_files_hang(tmp_path, monkeypatch):
    """As many endless uploads as the server has threads; a good one in between is counted."""
    monkeypatch.setattr(files, "REQUEST_LIMIT_S", 3.0)
    service = make_service(tmp_path)
    service.start()
    app = create_app(service)
    data, statuses = hostile.empty_scans(20_000, 3000, 3000), []

    def hand_in(data, name):
        form = {"image": (io.BytesIO(data), name)}
        return app.test_client().post("/api/v1/counts", data=form)

    def attack():
        answer = hand_in(data, "endless.jpg")
        statuses.append(answer.status_code)
        assert len(answer.json["error"]) > 20

    threads = [threading.Thread(target=attack) for _ in range(6)]
    try:
        for thread in threads:
            thread.start()
        longest = 0.0
        while any(thread.is_alive() for thread in threads):
            begin = time.monotonic()
            assert app.test_client().get("/api/v1/status").status_code == 200
            longest = max(longest, time.monotonic() - begin)
            time.sleep(0.05)
        assert longest < 3
        assert set(statuses) <= {400, 503}
        good = hand_in(png(3), "good.png")
        assert good.status_code == 202
        row = wait_for(lambda: done(service.store, good.json["id"]))
        assert row.count == 3
    finally:
        service.stop()


def done(store, count_id):
    row = store.counts.get(count_id)
    return row if row.status == "done" else None
