import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from appliance import png
from click.testing import CliRunner
from conftest import FakeSegmenter, make_card
from dapi import dapi_frame

from device.assays.library import encode_assay
from device.batch import counting
from device.batch.items import find_images
from device.commands import count
from device.counting.assay import Assay
from device.counting.reading import Reading
from device.errors import InputError, StorageError
from device.models import auto


class Lab:
    def __init__(self, root, monkeypatch):
        self.folder, self.out = root / "in", root / "out"
        self.folder.mkdir()
        self.segmenter = FakeSegmenter()
        monkeypatch.setattr(auto, "load_segmenter", lambda *_: self.segmenter)

    def image(self, name, cells):
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(png(cells))
        return path

    def run(self, *options):
        self.segmenter.tiles.clear()
        return CliRunner().invoke(
            count.command,
            [str(self.folder), "--out", str(self.out), "--model", "fast", *options],
        )

    @property
    def counted(self):
        return len(self.segmenter.tiles)

    def lines(self, table="counts.csv"):
        with (self.out / table).open(newline="", encoding="utf-8") as stream:
            return list(csv.DictReader(stream))


@pytest.fixture
def lab(tmp_path, monkeypatch):
    return Lab(tmp_path, monkeypatch)


def test_a_folder_gives_a_line_and_files_per_image(lab):
    for cells in range(3):
        lab.image(f"{cells}.png", cells)

    outcome = lab.run()

    assert outcome.exit_code == 0
    assert [(line["image"], line["count"]) for line in lab.lines()] == [
        ("0.png", "0"),
        ("1.png", "1"),
        ("2.png", "2"),
    ]
    assert "3 images: 3 counted; 3 cells" in outcome.stderr
    assert (lab.out / "2.png.overlay.jpg").is_file()


def test_resume_counts_only_the_rest(lab):
    for number in range(4):
        lab.image(f"run/{number}.png", number)
    lab.run("--recursive")
    for number in (2, 3):
        (lab.out / f"run/{number}.png.result.json").unlink()

    outcome = lab.run("--recursive", "--resume")

    assert lab.counted == 2
    assert "4 images: 2 counted, 2 done earlier; 6 cells" in outcome.stderr
    assert [line["count"] for line in lab.lines()] == ["0", "1", "2", "3"]
    assert [line["image"] for line in lab.lines()] == [f"run/{number}.png" for number in range(4)]


def test_without_resume_everything_is_counted(lab):
    lab.image("a.png", 1)
    lab.run()

    lab.run()

    assert lab.counted == 1


@pytest.mark.parametrize("change", ["image", "threshold", "model", "card", "damaged", "nothing"])
def test_resume_takes_over_only_what_would_come_out_again(lab, change):
    path = lab.image("a.png", 1)
    lab.run()
    options = ["--resume"]
    if change == "image":
        path.write_bytes(png(2))
    elif change == "threshold":
        options += ["--threshold", "0.4"]
    elif change == "model":
        lab.segmenter = FakeSegmenter(make_card(sha256="1" * 64))
    elif change == "card":
        lab.segmenter = FakeSegmenter(make_card(version="2"))
    elif change == "damaged":
        (lab.out / "a.png.result.json").write_text("{")

    outcome = lab.run(*options)

    assert outcome.exit_code == 0
    assert lab.counted == (0 if change == "nothing" else 1)
    assert lab.lines()[0]["count"] == ("2" if change == "image" else "1")


def test_resume_needs_a_folder(lab):
    lab.image("a.png", 1)

    outcome = CliRunner().invoke(count.command, [str(lab.folder), "--resume"])

    assert isinstance(outcome.exception, InputError)
    assert "--out" in str(outcome.exception)


def test_ctrl_c_keeps_what_is_done(lab, monkeypatch):
    for number in range(3):
        lab.image(f"{number}.png", number)
    real = counting.count_item

    def interrupted(item, *args, **options):
        if item.name == "2.png":
            raise KeyboardInterrupt
        return real(item, *args, **options)

    monkeypatch.setattr(counting, "count_item", interrupted)
    outcome = lab.run()
    monkeypatch.undo()
    monkeypatch.setattr(auto, "load_segmenter", lambda *_: lab.segmenter)

    assert outcome.exit_code == 130
    assert "with --resume" in outcome.stderr
    assert len(lab.lines()) == 2
    lab.run("--resume")
    assert lab.counted == 1
    assert len(lab.lines()) == 3


def test_what_cannot_be_counted_is_listed_until_it_can(lab):
    lab.image("a.png", 1)
    bad = lab.folder / "b.png"
    bad.write_bytes(b"rubbish")

    outcome = lab.run()

    assert outcome.exit_code == 1
    assert "2 images: 1 counted, 1 not counted" in outcome.stderr
    (line,) = lab.lines("errors.csv")
    assert line["image"] == "b.png"
    assert "not a PNG" in line["reason"]

    lab.image("b.png", 2)
    assert lab.run("--resume").exit_code == 0
    assert not (lab.out / "errors.csv").exists()


def test_a_folder_that_cannot_be_written(lab):
    lab.image("a.png", 1)
    lab.out.write_text("a file where the folder should be")

    outcome = lab.run()

    assert isinstance(outcome.exception, StorageError)
    assert "--resume" in str(outcome.exception)


def test_json_lines(lab):
    lab.image("a.png", 2)

    outcome = lab.run("--json")

    assert [json.loads(line)["count"] for line in outcome.stdout.splitlines()] == [2]


def test_own_outputs_and_hidden_files_are_no_images(lab):
    lab.image("a.png", 1)
    lab.image(".hidden.png", 1)
    lab.out = lab.folder / "out"
    lab.run()

    names = [item.name for item in find_images([lab.folder], recursive=True)]

    assert names == ["a.png"]


def test_a_name_that_is_no_utf8(lab):
    (lab.folder / Path(os.fsdecode(b"\xff.png"))).write_bytes(png(1))

    outcome = lab.run("--json")

    assert outcome.exit_code == 0
    assert lab.lines()[0]["image"] == "\\xff.png"
    assert json.loads(outcome.stdout)["image"] == "\\xff.png"


def test_the_terminal_hears_nothing_from_the_interpreter(tmp_path):
    pytest.importorskip("ai_edge_litert")
    (tmp_path / "a.png").write_bytes(png(3))
    command = [sys.executable, "-c", "from device.cli import main; main()", "count", tmp_path]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "on one core" in done.stderr
    assert "XNNPACK" not in done.stderr


def test_an_assay_names_the_channel_and_a_file_without_it_is_refused(lab, tmp_path):
    (lab.folder / "two.tif").write_bytes(dapi_frame(1).ome_tiff)
    assay = tmp_path / "mine.json"
    for channel in ("DAPI", "FITC", "TRITC"):
        named = Assay(name="mine", model="fast", reading=Reading(channel=channel))
        assay.write_bytes(encode_assay(named))
        outcome = lab.run("--assay", str(assay), "--json")
        if channel == "TRITC":
            assert outcome.exit_code != 0
            assert "DAPI" in outcome.output
            assert "FITC" in outcome.output
        else:
            assert json.loads(outcome.stdout)["taken"]["channel"] == channel
