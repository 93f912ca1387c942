"""Counting shared out: lists, addresses, shards and what joins them."""

import csv
import io
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from appliance import png
from attacks.names import attack
from click.testing import CliRunner
from conftest import FakeSegmenter, make_card
from hypothesis import given
from hypothesis import strategies as st

from device.batch.items import search
from device.batch.spool import Found, Item, Shard, Spool
from device.commands import count, join
from device.errors import InputError
from device.imageio.filenames import Kind
from device.models import auto

OF_THE_TIME = ("counted_at", "counted_utc", "seconds", "noticed_at")


@pytest.fixture
def lab(tmp_path, monkeypatch):
    monkeypatch.setattr(auto, "load_segmenter", lambda *_: FakeSegmenter())
    folder = tmp_path / "in"
    for number in range(9):
        path = folder / f"mouse{number % 3}" / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(png(number))
    (folder / "mouse0" / "bad.png").write_bytes(b"rubbish")
    (folder / "mouse1" / "photo.heic").write_bytes(b"\0\0\0\x18ftypheic" + bytes(40))
    return folder


def run(out, *words, stdin=None):
    options = ["--out", str(out), "--model", "fast", *map(str, words)]
    return CliRunner().invoke(count.command, options, input=stdin)


def rows(path: Path) -> list[dict[str, str]]:
    if not path.exists():
        return []
    with path.open(newline="", encoding="utf-8") as stream:
        lines = list(csv.DictReader(stream))
    return [{key: text for key, text in line.items() if key not in OF_THE_TIME} for line in lines]


def names(out: Path) -> list[str]:
    return [line["image"] for line in rows(out / "counts.csv")]


def join_all(out, *folders):
    return CliRunner().invoke(join.command, [*map(str, folders), "--out", str(out)])


@given(
    files=st.sets(
        st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1),
        max_size=30,
    ),
    of=st.integers(1, 7),
)
def test_shards_share_nothing_and_miss_nothing(files, of):
    held = [name for number in range(of) for name in files if Shard(number + 1, of).holds(name)]
    assert sorted(held) == sorted(files)


def test_shards_of_the_same_files_have_the_same_fingerprint_in_any_order():
    def spool(files, shard):
        made = Spool(shard)
        for name in files:
            made.add(0, Found(Item(Path(name), name), place=name))
        return made

    one, two = spool("abcd", Shard(1, 2)), spool("dbca", Shard(2, 2))
    assert one.fingerprint == two.fingerprint != spool("abc", None).fingerprint
    assert one.images + two.images == one.all_images == 4
    assert not {item.name for item in one.items()} & {item.name for item in two.items()}


def test_many_files_are_found_on_the_disk_as_few_are_in_memory(monkeypatch):
    files = ["b", "a/2", "a", "c", "a-1", "a/1", "b"]
    kinds = [Kind.IMAGE, Kind.IMAGE, Kind.IMAGE, Kind.FOREIGN, Kind.IMAGE, Kind.OTHER, Kind.IMAGE]

    def find():
        with Spool(Shard(1, 1)) as spool:
            for number, (name, kind) in enumerate(zip(files, kinds, strict=True)):
                place = f"{name}{number}" if kind is Kind.IMAGE else ""
                for _ in range(2):
                    spool.add(
                        number // 5, Found(Item(Path(place), name), kind, f"why {name}", place)
                    )
            others = [list(spool.others(kind)) for kind in (Kind.FOREIGN, Kind.OTHER)]
            return list(spool.items()), others, spool.images, spool.fingerprint

    few = find()
    assert [item.name for item in few[0]] == ["a", "a/2", "a-1", "b", "b~2"]
    for most in (0, 3):
        monkeypatch.setattr("device.batch.spool.MOST_IN_MEMORY", most)
        assert find() == few


def test_joined_shards_are_the_count_of_one_computer(lab, tmp_path):
    whole = run(tmp_path / "whole", lab, "--recursive")
    parts = [tmp_path / f"part{number}" for number in (1, 2, 3)]
    for number, part in enumerate(parts, start=1):
        run(part, lab, "--recursive", "--shard", f"{number}/3")
    assert sum(len(names(part)) for part in parts) == 9
    joined = join_all(tmp_path / "joined", *reversed(parts))
    assert joined.exit_code == 0, joined.output
    assert "9 images counted, 2 not counted; 36 cells" in joined.output
    for table in ("counts.csv", "errors.csv"):
        assert rows(tmp_path / "joined" / table) == rows(tmp_path / "whole" / table)
    lines = {line for part in parts for line in (part / "counts.csv").read_bytes().splitlines()}
    assert set((tmp_path / "joined" / "counts.csv").read_bytes().splitlines()) == lines
    assert "11 images: 9 counted" in whole.stderr
    again = join_all(tmp_path / "joined", *parts)
    assert "already holds" in str(again.exception)


def test_joined_tables_join_again(lab, tmp_path):
    for mouse in ("mouse1", "mouse2"):
        run(tmp_path / mouse, lab / mouse)
    assert join_all(tmp_path / "two", tmp_path / "mouse1", tmp_path / "mouse2").exit_code == 0
    (lab / "mouse0" / "bad.png").unlink()
    run(tmp_path / "mouse0", lab / "mouse0")
    assert join_all(tmp_path / "all", tmp_path / "two", tmp_path / "mouse0").exit_code == 0
    assert len(names(tmp_path / "all")) == 9


@pytest.mark.parametrize(
    ("trouble", "said"),
    [
        ("missing", "missing: 2/3"),
        ("twice", "both shard 1 of 3"),
        ("threshold", "another settings"),
        ("model", "another model"),
        ("added", "different images"),
        ("stopped", "not finished"),
        ("cut", "lines for"),
        ("columns", "other columns"),
        ("other division", "not shards of the same division"),
        ("no count", "holds no run.json"),
        ("overlap", "is in"),
    ],
)  # fmt: skip
def test_what_does_not_fit_together_is_refused(lab, tmp_path, monkeypatch, trouble, said):
    parts = [tmp_path / f"part{number}" for number in (1, 2, 3)]
    for number, part in enumerate(parts, start=1):
        extra: list[str] = []
        if number == 2 and trouble == "threshold":
            extra = ["--threshold", "0.4"]
        if number == 2 and trouble == "model":
            other = FakeSegmenter(make_card(sha256="1" * 64))
            monkeypatch.setattr(auto, "load_segmenter", lambda *_, made=other: made)
        if number == 3 and trouble == "added":
            (lab / "mouse0" / "new.png").write_bytes(png(2))
        of = 4 if number == 3 and trouble == "other division" else 3
        shard = [] if trouble == "overlap" else ["--shard", f"{number}/{of}"]
        run(part, lab, "--recursive", *shard, *extra)
        monkeypatch.setattr(auto, "load_segmenter", lambda *_: FakeSegmenter())
    named = list(parts)
    if trouble == "missing":
        del named[1]
    elif trouble == "twice":
        named[1] = parts[0]
    elif trouble == "stopped":
        text = (parts[1] / "run.json").read_text()
        (parts[1] / "run.json").write_text(text.replace('"finished": true', '"finished": false'))
    elif trouble == "cut":
        lines = (parts[1] / "counts.csv").read_bytes().splitlines(keepends=True)
        (parts[1] / "counts.csv").write_bytes(b"".join(lines[:-1]))
    elif trouble == "columns":
        data = (parts[1] / "counts.csv").read_bytes()
        (parts[1] / "counts.csv").write_bytes(data.replace(b"image", b"picture", 1))
    elif trouble == "no count":
        named[1] = lab
    outcome = join_all(tmp_path / "joined", *named)
    assert isinstance(outcome.exception, InputError), outcome.output
    assert said in str(outcome.exception)
    assert not (tmp_path / "joined").exists()


def test_a_list_is_counted_like_its_files(lab, tmp_path):
    found = sorted(lab.rglob("[0-9].png"))
    text = "".join(f"{path}\n" for path in [*found, found[0]]) + "\n"
    (tmp_path / "list.txt").write_text(text)
    run(tmp_path / "folder", lab, "--recursive")
    assert run(tmp_path / "list", "--list", tmp_path / "list.txt").exit_code == 0
    assert run(tmp_path / "stdin", "--list", "-", stdin=text.replace("\n", "\r\n")).exit_code == 0
    expected = rows(tmp_path / "folder" / "counts.csv")
    assert rows(tmp_path / "list" / "counts.csv") == expected
    assert rows(tmp_path / "stdin" / "counts.csv") == expected


def test_a_path_of_a_list_that_is_not_there_costs_only_itself(lab, tmp_path):
    text = f"{lab / 'mouse1' / '1.png'}\n{lab / 'mouse1' / 'gone.png'}\n{lab / 'mouse2'}\n"
    outcome = run(tmp_path / "out", "--list", "-", stdin=text)
    assert outcome.exit_code == 1
    assert names(tmp_path / "out") == ["mouse1/1.png"]
    assert len(rows(tmp_path / "out" / "errors.csv")) == 2


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--list", "-"], "is empty"),
        (["--list", "nowhere.txt"], "cannot be read"),
        ([], "one of the two"),
        (["--list", "-", "a.png"], "one of the two"),
        (["memory://a", "memory://b"], "Name one address"),
    ],
)
def test_what_names_no_images_is_said(lab, tmp_path, words, said):
    outcome = run(tmp_path / "out", *words, stdin="\n")
    assert isinstance(outcome.exception, InputError)
    assert said in str(outcome.exception)


@pytest.mark.parametrize("text", ["0/3", "4/3", "1", "a/b", "1/0"])
def test_a_shard_that_is_none_is_said(lab, tmp_path, text):
    outcome = run(tmp_path / "out", lab, "--shard", text)
    assert outcome.exit_code == 2
    assert "1/3, 2/3 and 3/3" in outcome.output


SLURM = Path(__file__).parents[1] / "systemd" / "count.slurm"


@pytest.mark.slow
def test_the_tasks_of_a_job_array_count_an_archive_together(tmp_path):
    """What SLURM runs, with its variables set by hand; a task is handed in twice."""
    archive, counted = tmp_path / "in", tmp_path / "counted"
    for cells in range(4):
        (archive / "day1").mkdir(parents=True, exist_ok=True)
        (archive / "day1" / f"{cells}.png").write_bytes(png(cells, shade=200))
    program = tmp_path / "bin" / "fluocount"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m device.cli "$@"\n')
    program.chmod(0o755)
    root = SLURM.parents[1]
    env = os.environ | {
        "PATH": f"{program.parent}:{os.environ['PATH']}",
        "PYTHONPATH": str(root),
        "SLURM_CPUS_PER_TASK": "1",
    }
    for task in ("1", "2", "2"):
        words = ["bash", SLURM, archive, counted, "2"]
        done = subprocess.run(
            words, env=env | {"SLURM_ARRAY_TASK_ID": task}, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
    assert "done earlier" in done.stderr
    joined = join_all(tmp_path / "all", *counted.iterdir())
    assert "4 images counted" in joined.output, joined.output
    lost = subprocess.run(
        ["bash", SLURM, archive, counted], env=env, capture_output=True, text=True
    )
    assert lost.returncode != 0
    assert "number of parts" in lost.stderr


def test_memory_does_not_grow_with_the_names(tmp_path):
    figures = attack(tmp_path, 12_000)  # above what is kept in memory
    assert figures.sound, figures


def test_a_zip_is_counted_where_it_is(lab, tmp_path):
    pytest.importorskip("fsspec", reason="no fsspec; pip install 'fluocount[remote]'")
    with zipfile.ZipFile(tmp_path / "plate.zip", "w") as archive:
        for path in lab.rglob("*"):
            if path.is_file():
                archive.write(path, path.relative_to(lab))
        archive.writestr("mouse1/1_mask.png", png(5))
        archive.writestr("../out.png", png(5))
    run(tmp_path / "folder", lab, "--recursive")
    outcome = run(tmp_path / "zip", f"zip://::{tmp_path / 'plate.zip'}", "--recursive")
    assert outcome.exit_code == 1
    assert "mask or small copy of 1.png" in outcome.stderr
    assert "leads out of the folder" in outcome.stderr
    assert rows(tmp_path / "zip" / "counts.csv") == rows(tmp_path / "folder" / "counts.csv")
    assert not (tmp_path / "out.png.result.json").exists()
    again = run(tmp_path / "zip", f"zip://::{tmp_path / 'plate.zip'}", "--recursive", "--resume")
    assert "9 done earlier" in again.stderr


def test_addresses_are_listed_like_paths(lab, tmp_path):
    fsspec = pytest.importorskip("fsspec", reason="no fsspec; pip install 'fluocount[remote]'")
    memory = fsspec.filesystem("memory")
    memory.pipe({"/bench/a/1.png": png(1), "/bench/b/2.png": png(2), "/bench/c.txt": b"note"})
    try:
        assert run(tmp_path / "out", "memory://bench", "--recursive").exit_code == 0
        assert names(tmp_path / "out") == ["a/1.png", "b/2.png"]
        text = "memory://bench/a/1.png\nmemory://bench/b/gone.png\n"
        outcome = run(tmp_path / "list", "--list", "-", stdin=text)
        assert outcome.exit_code == 1
        assert names(tmp_path / "list") == ["a/1.png"]
        assert "cannot be fetched" in rows(tmp_path / "list" / "errors.csv")[0]["reason"]
        one = run(tmp_path / "one", "memory://bench/b/2.png")
        assert one.exit_code == 0, one.output
        assert names(tmp_path / "one") == ["2.png"]
    finally:
        memory.rm("/bench", recursive=True)
    lost = run(tmp_path / "lost", "sftp://ada:s3cret@127.0.0.1:1/bench")
    assert "cannot be fetched" in str(lost.exception)
    assert "s3cret" not in lost.output + str(lost.exception)


@pytest.mark.parametrize(
    "text",
    ["memory://a/1.png\n/b/2.png\n", "zip://a.png::/x.zip\n", "memory://a/../1.png\n", "a\0b\n"],
)
def test_a_list_that_would_be_read_wrongly_is_refused(lab, tmp_path, text):
    outcome = run(tmp_path / "out", "--list", "-", stdin=io.BytesIO(text.encode()))
    assert isinstance(outcome.exception, InputError)


def test_a_search_is_in_the_order_of_names(tmp_path):
    for name in ("b.png", "a/2.png", "a.png", "a-1.png", "a/1.png", "B.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(png(1))
    found = [item.name for item in search([tmp_path], recursive=True).items]
    assert found == [str(path.relative_to(tmp_path)) for path in sorted(tmp_path.rglob("*.png"))]
