import os
import stat

import pytest

from device.machine.files import (
    open_atomic,
    place_whole,
    remove_partial,
    write_atomic,
    write_beside,
)


def test_a_file_is_whole_or_absent(tmp_path):
    path = tmp_path / "a.bin"

    def write_half():
        with open_atomic(path) as stream:
            stream.write(b"half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        write_half()

    assert list(tmp_path.iterdir()) == []
    write_atomic(path, b"whole")
    assert path.read_bytes() == b"whole"
    assert list(tmp_path.iterdir()) == [path]


def test_a_failed_write_leaves_the_old_file(tmp_path):
    path = tmp_path / "a.bin"
    write_atomic(path, b"old")

    with pytest.raises(RuntimeError), open_atomic(path):
        raise RuntimeError

    assert path.read_bytes() == b"old"


def test_what_a_library_writes_is_whole_or_absent(tmp_path):
    path = tmp_path / "a.weights.h5"
    for data in (b"first", b"second"):
        with place_whole(path) as part:
            part.write_bytes(data)
            assert part.name.endswith(".weights.h5")
        assert path.read_bytes() == data
    with pytest.raises(IsADirectoryError), place_whole(path) as part:
        part.write_bytes(tmp_path.read_bytes())
    assert path.read_bytes() == b"second"
    assert list(tmp_path.iterdir()) == [path]


def test_others_may_read_as_the_umask_says(tmp_path):
    before = os.umask(0o027)
    try:
        write_atomic(tmp_path / "a.bin", b"")
    finally:
        os.umask(before)

    assert stat.S_IMODE((tmp_path / "a.bin").stat().st_mode) == 0o640


def test_what_a_kill_left_is_swept_and_nothing_else(tmp_path):
    old = tmp_path / "sub" / ".0123456789abcdef.part"
    old.parent.mkdir()
    fresh, foreign = tmp_path / ".fedcba9876543210.part", tmp_path / ".copy.part"
    for path in (old, fresh, foreign):
        path.touch()
    os.utime(old, (0, 0))
    os.utime(foreign, (0, 0))

    assert remove_partial(tmp_path) == 1
    assert sorted(tmp_path.glob(".*.part")) == [foreign, fresh]
    assert not old.exists()


def test_files_beside_each_other(tmp_path):
    target = tmp_path / "sub" / "a.png"

    write_beside(target, {"cells.csv": b"1", "result.json": b"2"})

    assert {path.name: path.read_bytes() for path in target.parent.iterdir()} == {
        "a.png.cells.csv": b"1",
        "a.png.result.json": b"2",
    }


def test_of_files_beside_each_other_none_is_left_half_when_the_disk_is_full(tmp_path, monkeypatch):
    target = tmp_path / "a.png"
    write_beside(target, {"cells.csv": b"old", "result.json": b"old"})

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_beside(target, {"cells.csv": b"new", "result.json": b"new"})
    assert {path.read_bytes() for path in tmp_path.iterdir()} == {b"old"}
    assert len(list(tmp_path.iterdir())) == 2


def test_files_appear_in_their_order(tmp_path, monkeypatch):
    appeared = []
    replace = os.replace
    monkeypatch.setattr(
        type(tmp_path),
        "replace",
        lambda self, target: (appeared.append(target.suffix), replace(self, target)),
    )
    write_beside(tmp_path / "a", {"one": b"1", "two": b"2", "three": b"3"})
    assert appeared == [".one", ".two", ".three"]
