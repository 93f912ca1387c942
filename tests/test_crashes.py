"""After repeated crashes the service starts without the camera and says so."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
from appliance import make_settings
from conftest import FakeSegmenter

from device.errors import CameraMissingError
from device.machine.crashes import FILE_NAME, TOO_OFTEN, CrashCount
from device.service import Service


@pytest.fixture
def boot(tmp_path):
    file = tmp_path / "boot_id"
    file.write_text("first\n")
    return file


def test_starts_without_a_stop_are_counted(tmp_path, boot):
    path = tmp_path / "data" / "starts"
    assert [CrashCount(path, boot).begin() for _ in range(4)] == [0, 1, 2, 3]
    CrashCount(path, boot).forget()
    assert CrashCount(path, boot).begin() == 0


def test_a_power_cut_is_no_crash(tmp_path, boot):
    path = tmp_path / "starts"
    for _ in range(3):
        CrashCount(path, boot).begin()
    boot.write_text("second\n")
    assert CrashCount(path, boot).begin() == 0


def test_a_service_that_runs_for_a_while_has_recovered(tmp_path, boot):
    path = tmp_path / "starts"
    crashes = CrashCount(path, boot)
    crashes.begin()
    crashes.forget_later(0.01)
    crashes._timer.join(5)
    assert not path.exists()


@pytest.mark.parametrize("damage", [b"", b"{", b'{"boot": 1}', b"\xff\xfe"])
def test_a_damaged_or_unwritable_count_does_not_keep_the_page_down(tmp_path, boot, damage):
    path = tmp_path / "starts"
    path.write_bytes(damage)
    assert CrashCount(path, boot).begin() == 0
    assert CrashCount(path, boot).begin() == 1
    (tmp_path / "file").write_text("")
    assert CrashCount(tmp_path / "file" / "starts", boot).begin() == 0
    assert CrashCount(path, tmp_path / "no-such-file").begin() == 0


@pytest.mark.parametrize(("crashes", "safe"), [(TOO_OFTEN - 1, False), (TOO_OFTEN, True)])
def test_after_too_many_crashes_the_camera_is_left_alone(tmp_path, crashes, safe):
    made = Service(
        make_settings(tmp_path), load_segmenter=lambda _: FakeSegmenter(), crashes=crashes
    )
    made.start()
    texts = {problem.code: problem.text for problem in made.problems}
    assert (made.camera.status.state == "none") == safe
    assert ("crashed 3 times in a row" in texts.get("camera", "")) == safe
    if safe:
        with pytest.raises(CameraMissingError):
            made.camera.capture()
    assert made.counter is not None  # uploads are counted all the same
    made.stop()


def read_until(process, words):
    """The first line of a process with these words; it must not end before."""
    lines = [process.stdout.readline()]
    while words not in lines[-1]:
        assert lines[-1], lines
        lines.append(process.stdout.readline())
    return lines[-1]


def test_three_kills_in_a_row_bring_the_page_up_without_the_camera(tmp_path):
    def serve():
        return subprocess.Popen(
            [sys.executable, "-m", "device.cli", "serve", *options],
            env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    options = ["--camera", "simulated", "--port", "0", "--data-dir", str(tmp_path)]
    for _ in range(TOO_OFTEN):
        with serve() as running:
            read_until(running, "answers at")
            running.kill()
    with serve() as running:
        assert "runs without the camera" in read_until(running, "problem (camera)")
        running.send_signal(signal.SIGTERM)
    assert not (tmp_path / FILE_NAME).exists()  # a proper stop: the next start tries the camera


def test_the_count_is_kept_by_name(tmp_path):
    CrashCount(tmp_path / FILE_NAME).begin()
    kept = msgspec.json.decode((tmp_path / FILE_NAME).read_bytes())
    assert kept["number"] == 1
    assert kept["boot"] == Path("/proc/sys/kernel/random/boot_id").read_text().strip()
