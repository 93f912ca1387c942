import csv
import errno
import os
import threading
import time
from pathlib import Path, PurePath

import pytest
from appliance import wait_for
from click.testing import CliRunner
from conftest import FakeSegmenter
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from device.commands.watch import command
from device.config import (
    CameraSettings,
    Settings,
    WatchSettings,
)
from device.errors import InputError, SettingsError
from device.imageio.filenames import Kind, kind_of, output_name
from device.jobs.intake import Intake
from device.machine.files import display_name
from device.service import Service
from device.watch import plans_from_settings
from device.watch.mounts import file_system_type
from device.watch.settling import PATIENCE, Settling, Version, look
from device.watch.table import AppendTable
from device.web import create_app

MOUNTS = """\
22 1 179:2 / / rw,noatime shared:1 - ext4 /dev/root rw
40 22 0:35 / /mnt/nas rw,relatime shared:2 - cifs //nas/images rw,vers=3.0
41 22 0:36 / /mnt/nas/local rw shared:3 - ext4 /dev/sda1 rw
42 22 0:37 / /mnt/with\\040space rw shared:4 - nfs4 server:/x rw
"""


@pytest.mark.parametrize(
    ("folder", "expected"),
    [
        ("/home/pi", "ext4"),
        ("/mnt/nas", "cifs"),
        ("/mnt/nas/run 7", "cifs"),
        ("/mnt/nas/local/a", "ext4"),
        ("/mnt/nassau", "ext4"),
        ("/mnt/with space/a", "nfs4"),
    ],
)
def test_the_file_system_is_the_innermost_mount(folder, expected):
    assert file_system_type(Path(folder), MOUNTS) == expected


@pytest.mark.parametrize("name", ["a.png", "A.TIF", "sub/b.tiff", "x.y.jpeg", "µm 5.jpg", "-a.png"])
def test_images_by_name(name):
    assert kind_of(PurePath(name)) is Kind.IMAGE


@pytest.mark.parametrize(
    "name",
    [
        ".a.png",
        "._a.png",
        "~$a.tif",
        "a.png.part",
        "a.png.tmp",
        "a.tif.crdownload",
        ".a.png.X7f3k2",
        "notes.txt",
        "Thumbs.db",
        "@eaDir/a.png/SYNOPHOTO_THUMB_M.jpg",
        ".Trash-1000/a.png",
        "a.png.overlay.jpg",
        "a.tif.labels.tif",
        "a.jpg.outlines.png",
        "png",
    ],
)
def test_no_images_by_name(name):
    assert kind_of(PurePath(name)) is Kind.OTHER


def test_formats_that_cannot_be_read_are_named():
    assert kind_of(PurePath("a.czi")) is Kind.FOREIGN


def test_names_that_are_no_utf8_can_be_written():
    path = PurePath(os.fsdecode(b"a\xff.png"))

    assert display_name(path) == "a\\xff.png"


def test_a_long_name_leaves_room_for_suffixes():
    path = PurePath("sub") / ("é" * 120 + ".png")

    short = output_name(path)

    assert len(os.fsencode(f"{short.name}.outlines.png")) < 240
    assert short.parent == path.parent
    assert output_name(path) != output_name(path.with_name("x" + path.name))
    assert output_name(PurePath("a.png")) == PurePath("a.png")


class TestSettling:
    path = Path("/in/a.png")

    def test_a_quiet_file_is_complete_after_the_settle_time(self):
        settling = Settling(2.0)
        settling.notice(self.path, 0.0)

        assert not settling.complete(self.path, Version(5, 1), 0.0)
        assert not settling.complete(self.path, Version(5, 1), 1.9)
        assert settling.complete(self.path, Version(5, 1), 2.0)

    @given(st.lists(st.floats(0.1, 1.9), min_size=1, max_size=20))
    def test_a_growing_file_never_is(self, pauses):
        settling = Settling(2.0)
        settling.notice(self.path, 0.0)
        now_s = 0.0
        for size, pause in enumerate(pauses):
            assert not settling.complete(self.path, Version(size + 1, 1), now_s)
            now_s += pause
            assert not settling.complete(self.path, Version(size + 1, 1), now_s)

    def test_a_file_that_is_open_waits_for_its_writer(self):
        settling = Settling(2.0)
        settling.notice(self.path, 0.0, being_written=True)
        settling.complete(self.path, Version(5, 1), 0.0)

        assert not settling.complete(self.path, Version(5, 1), 10.0)
        settling.notice(self.path, 10.0, being_written=False)
        assert settling.complete(self.path, Version(5, 1), 10.0)

    def test_but_not_for_ever(self):
        settling = Settling(2.0)
        settling.notice(self.path, 0.0, being_written=True)
        settling.complete(self.path, Version(5, 1), 0.0)

        assert settling.complete(self.path, Version(5, 1), 2.0 * PATIENCE)

    def test_an_empty_file_gets_time_to_grow(self):
        settling = Settling(2.0)
        settling.notice(self.path, 0.0)
        settling.complete(self.path, Version(0, 1), 0.0)

        assert not settling.complete(self.path, Version(0, 1), 5.0)
        assert settling.complete(self.path, Version(0, 1), 2.0 * PATIENCE)

    def test_new_and_quiet_files_are_looked_at(self):
        settling = Settling(2.0)
        other = Path("/in/b.png")
        settling.notice(self.path, 0.0)
        settling.complete(self.path, Version(5, 1), 0.0)
        settling.notice(other, 1.0)

        assert settling.due(1.0) == [other]
        assert settling.due(2.0) == [self.path, other]
        settling.forget(other)
        assert settling.due(2.0) == [self.path]

    def test_a_pipe_under_an_images_name_does_not_block(self, tmp_path):
        pipe = tmp_path / "a.png"
        os.mkfifo(pipe)

        with pytest.raises(OSError, match="not a regular file"):
            look(pipe)


class TestAppendTable:
    header = ("image", "count")

    def read(self, path):
        with path.open(newline="", encoding="utf-8") as stream:
            return list(csv.DictReader(stream))

    def test_lines_follow_the_header(self, tmp_path):
        table = AppendTable(tmp_path / "counts.csv", self.header)

        table.append(["a.png", "1"])
        table.append(["b, c.png", "0"])

        assert self.read(table.path) == [
            {"image": "a.png", "count": "1"},
            {"image": "b, c.png", "count": "0"},
        ]
        assert table.path.read_bytes().count(b"\r\n") == 3

    @given(cut=st.integers(0, 40))
    def test_whatever_a_power_cut_leaves_the_next_line_is_whole(self, tmp_path_factory, cut):
        path = tmp_path_factory.mktemp("t") / "counts.csv"
        AppendTable(path, self.header).append(["a.png", "1"])
        whole = path.read_bytes()
        path.write_bytes((whole + b"b.png,22\r\n")[:cut])

        table = AppendTable(path, self.header)
        table.append(["c.png", "3"])

        rows = self.read(path)
        assert path.read_bytes().startswith(b"image,count\r\n")
        assert rows[-1] == {"image": "c.png", "count": "3"}
        assert [row["image"] for row in rows[:-1]] in ([], ["a.png"], ["a.png", "b.png"])
        assert len(list(path.parent.iterdir())) == 1
        assert list(table.rows()) == rows

    def test_a_full_disk_leaves_the_file_as_it_was(self, tmp_path, monkeypatch):
        table = AppendTable(tmp_path / "counts.csv", self.header)
        table.append(["a.png", "1"])
        before = table.path.read_bytes()
        real_write = os.write

        def full(descriptor, data):
            if len(data) > 4:
                return real_write(descriptor, data[:4])
            raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr(os, "write", full)
        with pytest.raises(OSError, match="No space"):
            table.append(["b.png", "2"])
        monkeypatch.undo()

        assert table.path.read_bytes() == before

    def test_a_file_saved_by_a_spreadsheet_is_kept_and_read(self, tmp_path):
        path = tmp_path / "counts.csv"
        path.write_text("image;count\r\na.png;1\r\n")
        table = AppendTable(path, self.header)

        table.append(["b.png", "2"])

        assert (tmp_path / "counts-1.csv").read_text().startswith("image;count")
        assert self.read(path) == [{"image": "b.png", "count": "2"}]
        assert {row["image"] for row in table.rows()} == {"a.png", "b.png"}

    def test_it_notices_what_others_do(self, tmp_path):
        table = AppendTable(tmp_path / "counts.csv", self.header)
        assert not table.was_changed_by_others()
        table.append(["a.png", "1"])
        assert not table.was_changed_by_others()
        with table.path.open("a") as stream:
            stream.write("b.png,2\r\n")
        assert table.was_changed_by_others()
        assert len(list(table.rows())) == 2
        assert not table.was_changed_by_others()
        table.path.unlink()
        assert table.was_changed_by_others()


def test_each_image_has_a_line_and_its_files(bench):
    bench.image("a.png", 1, cells=2)
    bench.image("b.png", 2, cells=0)

    state = bench.once()

    assert (state.counted, state.failed) == (2, 0)
    assert [(line["image"], line["count"]) for line in bench.lines()] == [
        ("a.png", "2"),
        ("b.png", "0"),
    ]
    for name in ("a.png", "b.png"):
        for suffix in ("overlay.jpg", "outlines.png", "labels.tif", "cells.csv", "result.json"):
            assert (bench.out / f"{name}.{suffix}").stat().st_size > 0
    assert len(bench.lines("a.png.cells.csv")) == 2


def test_what_cannot_be_counted_is_listed_with_its_reason(bench):
    bench.image("a.png")
    (bench.folder / "damaged.png").write_bytes(b"\x89PNG\r\n\x1a\n rubbish")
    (bench.folder / "text.tif").write_text("hello")
    (bench.folder / "large.png").write_bytes(bytes(1_500_000))
    (bench.folder / "empty.png").touch()
    (bench.folder / "stack.czi").touch()
    (bench.folder / "notes.txt").touch()

    state = bench.once()
    again = bench.once()

    reasons = {line["image"]: line["reason"] for line in bench.lines("errors.csv")}
    assert set(reasons) == {"damaged.png", "text.tif", "large.png", "empty.png", "stack.czi"}
    assert "at most 1 MB" in reasons["large.png"]
    assert "empty" in reasons["empty.png"]
    assert len(bench.lines("errors.csv")) == 5
    assert bench.images() == ["a.png"]
    assert state.failed == 5
    assert again.failed == 0


def test_a_second_run_counts_nothing_again(bench):
    bench.image("a.png")
    bench.once()
    tiles = len(bench.segmenter.tiles)

    state = bench.once()

    assert state.counted == 0
    assert bench.images() == ["a.png"]
    assert len(bench.segmenter.tiles) == tiles


def test_unless_that_is_asked_for(bench):
    bench.image("a.png")
    bench.once()
    tiles = len(bench.segmenter.tiles)

    bench.once(recount=True)

    assert bench.images() == ["a.png", "a.png"]
    assert len({line["id"] for line in bench.lines()}) == 2
    assert len(bench.segmenter.tiles) > tiles


def test_the_same_image_twice_is_recognised(bench):
    original = bench.image("a.png")
    (bench.folder / "copy of a.png").write_bytes(original.read_bytes())

    bench.once()
    os.utime(original)
    bench.once()

    assert bench.images() == ["a.png"]
    assert [(line["image"], line["same_as"]) for line in bench.lines("duplicates.csv")] == [
        ("copy of a.png", "a.png")
    ]


def test_a_replaced_image_is_counted_too(bench):
    bench.image("a.png", 1, cells=1)
    bench.once()
    bench.image("a.png", 2, cells=2)

    bench.once()

    assert [(line["image"], line["count"]) for line in bench.lines()] == [
        ("a.png", "1"),
        ("a.png", "2"),
    ]


def test_an_image_the_page_has_counted_is_not_counted_again(bench):
    path = bench.image("a.png", cells=2)
    row = Intake(bench.store, bench.segmenters, "fake").accept(
        path.read_bytes(), "uploaded.png", "upload"
    )
    wait_for(lambda: bench.store.counts.get(row.id).status == "done")
    bench.store.corrections.add(row.id, bench.store.result(row.id), 5.0, 5.0, "me")
    tiles = len(bench.segmenter.tiles)

    bench.once()

    (line,) = bench.lines()
    assert (line["image"], line["id"]) == ("a.png", row.id)
    assert (line["count"], line["corrected_count"]) == ("2", "3")
    assert {cell["origin"] for cell in bench.lines("a.png.cells.csv")} == {"automatic", "added"}
    assert len(bench.segmenter.tiles) == tiles


def test_sub_folders_only_where_asked(bench):
    bench.image("a.png", 1)
    bench.image("deep/er/b.png", 2)
    bench.once()
    assert bench.images() == ["a.png"]

    bench.once(recursive=True)

    assert bench.images() == ["a.png", "deep/er/b.png"]
    assert (bench.out / "deep/er/b.png.overlay.jpg").is_file()


def test_outputs_inside_the_folder_are_not_counted(bench):
    bench.out = bench.folder
    bench.image("a.png")

    bench.once(recursive=True)
    bench.once(recursive=True)

    assert bench.images() == ["a.png"]
    assert bench.lines("errors.csv") == []


def test_a_name_that_is_no_utf8_and_one_that_is_a_formula(bench):
    (bench.folder / os.fsdecode(b"\xff\xfe.png")).write_bytes(bench.image("=1+1.png").read_bytes())
    bench.image("new\nline.png", 3)

    bench.once()

    assert sorted(bench.images() + bench.images("duplicates.csv")) == sorted(
        ["\\xff\\xfe.png", "'=1+1.png", "new line.png"]
    )
    assert len(bench.once().folder) > 0
    assert len(bench.lines()) == 2


@pytest.mark.parametrize("poll", [False, True])
def test_files_that_come_while_it_runs(bench, poll):
    watch = bench.watch(poll=poll, recursive=True)
    watch.start()
    wait_for(lambda: watch.state.doing == "watching")

    bench.image("a.png", 1)
    bench.image(".b.png.tmp.png", 2).rename(bench.folder / "b.png")
    bench.image("new folder/c.png", 3)
    os.link(bench.image("../elsewhere/d.png", 4), bench.folder / "d.png")
    wait_for(lambda: len(bench.lines()) == 4, timeout_s=60)
    watch.stop()

    assert sorted(bench.images()) == ["a.png", "b.png", "d.png", "new folder/c.png"]
    assert watch.state.doing == "stopped"


def test_a_file_is_not_taken_while_it_is_written(bench):
    data = bench.image("../a.png").read_bytes()
    watch = bench.watch(settle_s=0.2)
    watch.start()
    wait_for(lambda: watch.state.doing == "watching")

    with (bench.folder / "a.png").open("wb", buffering=0) as stream:
        for start in range(0, len(data), len(data) // 4):
            stream.write(data[start : start + len(data) // 4])
            time.sleep(0.5)  # longer than the settle time
    wait_for(lambda: bench.lines())
    watch.stop()

    assert bench.images() == ["a.png"]
    assert bench.lines("errors.csv") == []


def test_a_truncated_file_that_is_completed_later_counts_once(bench):
    data = bench.image("../a.png").read_bytes()
    path = bench.folder / "a.png"
    path.write_bytes(data[: len(data) // 2])
    bench.once()
    assert bench.images("errors.csv") == ["a.png"]

    path.write_bytes(data)
    bench.once()
    bench.once()

    assert bench.images() == ["a.png"]


def test_a_locked_table_delays_the_line_but_not_the_count(bench, monkeypatch):
    bench.image("a.png")
    locked = threading.Event()
    locked.set()
    real_open = os.open

    def open_as_windows_does(path, flags, *args, **options):
        if locked.is_set() and str(path).endswith("counts.csv"):
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return real_open(path, flags, *args, **options)

    monkeypatch.setattr(os, "open", open_as_windows_does)
    watch = bench.watch()
    watch.start()
    wait_for(lambda: watch.state.problem)
    bench.image("b.png", 2)
    wait_for(lambda: len(bench.store.counts.search()) == 2)
    assert bench.lines() == []
    assert "counts.csv cannot be used now (Permission denied)" in watch.state.problem

    locked.clear()
    wait_for(lambda: len(bench.lines()) == 2)
    watch.stop()

    assert [line for line in bench.said if line.startswith("Waiting")] == [bench.said[0]]
    assert "Continuing." in bench.said


def test_lines_that_somebody_overwrote_come_back(bench):
    bench.image("a.png", 1)
    bench.image("b.png", 2)
    bench.once()
    table = bench.out / "counts.csv"
    header, first, _ = table.read_bytes().splitlines(keepends=True)
    table.write_bytes(header + first)

    bench.once()
    assert sorted(bench.images()) == ["a.png", "b.png"]

    table.unlink()
    bench.once()
    assert sorted(bench.images()) == ["a.png", "b.png"]
    assert len(bench.store.counts.search()) == 2


def test_a_cancelled_count_is_listed(bench):
    bench.image("a.png")
    bench.worker.stop()
    watch = bench.watch()
    watch.start()
    wait_for(lambda: bench.store.counts.search())
    bench.store.queue.cancel(bench.store.counts.search()[0].id)
    wait_for(lambda: bench.lines("errors.csv"))
    watch.stop()

    assert "cancelled" in bench.lines("errors.csv")[0]["reason"]


def test_a_file_deleted_before_it_is_taken_is_forgotten(bench):
    watch = bench.watch(settle_s=1.0)
    watch.start()
    wait_for(lambda: watch.state.doing == "watching")
    path = bench.image("a.png", 1)
    wait_for(lambda: watch.state.noticed == 1)
    path.unlink()
    bench.image("b.png", 2)
    wait_for(lambda: bench.lines())
    watch.stop()

    assert bench.images() == ["b.png"]
    assert bench.lines("errors.csv") == []


def test_a_folder_that_goes_and_comes_back_is_watched_again(bench):
    watch = bench.watch()
    watch.start()
    wait_for(lambda: watch.state.doing == "watching")
    away = bench.folder.with_name("away")
    bench.folder.rename(away)
    wait_for(lambda: watch.state.doing == "paused")
    away.rename(bench.folder)
    wait_for(lambda: watch.state.doing == "watching")
    bench.folder.rename(away)
    bench.folder.mkdir()
    bench.image("a.png")
    wait_for(lambda: bench.lines())
    watch.stop()

    assert bench.images() == ["a.png"]


def test_what_failed_is_tried_again_where_that_is_asked(bench, monkeypatch):
    bench.image("a.png", 1)
    bench.image("b.png", 2)
    with monkeypatch.context() as broken:
        broken.setattr(FakeSegmenter, "__call__", lambda self, tile: 1 / 0)
        bench.once()
    assert bench.images("errors.csv") == ["a.png", "b.png"]

    bench.once()
    assert bench.images() == []
    bench.once(retry_failed=True)
    bench.once(retry_failed=True)

    assert bench.images() == ["a.png", "b.png"]
    assert len(bench.lines("errors.csv")) == 2


def test_two_watches_do_not_write_into_one_folder(bench):
    first = bench.watch()
    first.start()
    with pytest.raises(SettingsError, match="already writes"):
        bench.watch().start()
    first.stop()

    bench.once()


def test_a_folder_must_be_there(tmp_path):
    outcome = CliRunner().invoke(command, [str(tmp_path / "no")])

    assert isinstance(outcome.exception, InputError)
    assert "is not a folder" in str(outcome.exception)


def test_a_share_that_is_mounted_later(bench):
    bench.folder.rmdir()
    bench.out = bench.folder / "fluocount"
    watch = bench.watch()
    watch.start()
    wait_for(lambda: watch.state.doing == "paused")
    assert not bench.folder.exists()

    bench.image("a.png")
    wait_for(lambda: bench.lines())
    watch.stop()

    assert bench.images() == ["a.png"]


def test_a_lost_share_is_not_written_to_the_mount_points_disk(bench, monkeypatch):
    bench.image("a.png")
    watch = bench.watch()
    watch.start()
    wait_for(lambda: bench.lines())
    monkeypatch.setattr(watch._delivery, "_device", -1)
    bench.out.rename(bench.out.with_name("gone"))
    wait_for(lambda: watch.state.problem)
    watch.stop()

    assert not bench.out.exists()


def test_a_deleted_output_folder_is_written_again(bench):
    bench.image("a.png")
    watch = bench.watch()
    watch.start()
    wait_for(lambda: bench.lines())
    tiles = len(bench.segmenter.tiles)
    bench.out.rename(bench.out.with_name("gone"))
    wait_for(lambda: bench.lines())
    watch.stop()

    assert bench.images() == ["a.png"]
    assert len(bench.segmenter.tiles) == tiles


def test_folders_of_the_settings_keep_their_outputs_apart(tmp_path):
    for name in ("one/x", "two/x", "two/y"):
        (tmp_path / name).mkdir(parents=True)

    def plans(*folders):
        watch = WatchSettings(
            folders=tuple(str(tmp_path / folder) for folder in folders), out_dir=str(tmp_path)
        )
        return plans_from_settings(Settings(watch=watch))

    assert [plan.out_dir for plan in plans("one/x", "two/y")] == [tmp_path / "x", tmp_path / "y"]
    assert [plan.out_dir for plan in plans("one/x")] == [tmp_path]
    with pytest.raises(SettingsError, match="same output folder"):
        plans("one/x", "two/x")


def test_the_service_watches_the_folders_of_the_settings(bench):
    bench.worker.stop()
    watched = structs.replace(
        bench.settings.watch, folders=(str(bench.folder),), out_dir=str(bench.out)
    )
    service = Service(
        structs.replace(bench.settings, watch=watched, camera=CameraSettings(kind="none")),
        load_segmenter=lambda name: bench.segmenter,
    )
    service.start()
    bench.image("a.png")
    wait_for(lambda: bench.lines())
    client = create_app(service).test_client()
    (shown,) = client.get("/api/v1/status").get_json()["watches"]
    assert (shown["folder"], shown["counted"]) == (str(bench.folder), 1)
    bench.folder.rename(bench.folder.with_name("away"))
    wait_for(lambda: any(problem.code == "watch" for problem in service.problems))
    service.stop()

    assert bench.images() == ["a.png"]
    assert service.watches[0].state.doing == "stopped"
