"""What `count` and `watch` make of a folder as people have it: names, foreign files, masks, growing files."""

import csv
import io
import os
from functools import partial
from pathlib import PurePath

import numpy as np
import pytest
import tifffile
from appliance import png
from click.testing import CliRunner
from conftest import FakeSegmenter
from forms import DEEP, GREY, tiff
from PIL import Image
from watched import Bench

from device.batch.items import search
from device.cli import cli
from device.commands import count
from device.errors import InputError
from device.export.tables import csv_text
from device.imageio import decode_frame
from device.imageio.filenames import Kind, judge_file, kind_of
from device.imageio.header import read_header
from device.watch.growth import continues
from device.watch.unsearched import Unsearched


@pytest.fixture
def lab(tmp_path, monkeypatch):
    monkeypatch.setattr(count, "open_quietly", lambda *_: FakeSegmenter())
    folder = tmp_path / "in"
    folder.mkdir()
    return folder


def run(*paths):
    out = paths[0].parent / "out"
    words = [*(str(path) for path in paths), "--out", str(out)]
    return CliRunner().invoke(count.command, words), out


def lines(out, table="counts.csv"):
    with (out / table).open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def jpeg():
    stream = io.BytesIO()
    Image.open(io.BytesIO(png(1))).save(stream, "JPEG")
    return stream.getvalue()


def test_a_damaged_file_of_an_old_name_costs_only_itself(lab):
    (lab / "ok.png").write_bytes(png(1))
    (lab / os.fsdecode(b"Pr\xe4parat.png")).write_bytes(png(1)[:200])
    outcome, out = run(lab)
    assert outcome.exit_code == 1
    assert [line["image"] for line in lines(out)] == ["ok.png"]
    (failed,) = lines(out, "errors.csv")
    assert failed["image"] == "Pr\\xe4parat.png"
    assert "2 images: 1 counted, 1 not counted" in outcome.stderr


def test_a_missing_file_of_an_old_name_is_said(lab):
    (lab / "ok.png").write_bytes(png(1))
    outcome, out = run(lab / "ok.png", lab / os.fsdecode(b"\xe4.png"))
    assert outcome.exit_code == 1
    assert len(lines(out, "errors.csv")) == 1


def test_images_are_known_by_content_and_others_are_named(lab):
    (lab / "a.png").write_bytes(png(1))
    (lab / "b.jfif").write_bytes(jpeg())
    (lab / "c.JPE").write_bytes(jpeg())
    (lab / "d.dat").write_bytes(png(2))
    (lab / "e").write_bytes(png(3))
    (lab / "wrong.tif").write_bytes(png(3))
    (lab / "slide.vsi").write_bytes(bytes(60))
    (lab / "photo.heic").write_bytes(b"\0\0\0\x18ftypheic" + bytes(40))
    (lab / "notes.txt").write_text("left eye")
    (lab / "._a.png").write_bytes(bytes(60))
    (lab / "f.png.part").write_bytes(png(1)[:300])

    outcome, out = run(lab)

    assert [line["image"] for line in lines(out)] == [
        "a.png",
        "b.jfif",
        "c.JPE",
        "d.dat",
        "e",
        "wrong.tif",
    ]
    assert [line["image"] for line in lines(out, "errors.csv")] == ["photo.heic", "slide.vsi"]
    assert outcome.exit_code == 1
    said = outcome.stderr
    assert said.count("notes.txt") == 1
    assert "Passed over (no image): notes.txt" in said
    assert "Passed over (hidden or temporary): ._a.png" in said
    assert "Passed over (not complete): f.png.part" in said


@pytest.mark.parametrize(
    "name",
    [
        "a_mask.png",
        "a-masks.tif",
        "a_cp_masks.png",
        "a_thumb.jpg",
        "thumb_a.png",
        "a labels.tif",
        "a_seg.png",
        "Count Masks of a.png",
        "Result of a.tif",
        "Drawing of a.png",
        "a_Simple Segmentation.tif",
        "a_nuclei_mask_1.tif",
        "a.png_thumb.jpg",
        "a_scalebar.png",
        "a_Probabilities 2.tif",
        "a_flows.tif",
    ],
)
def test_masks_and_thumbnails_beside_an_image_are_no_images(lab, name):
    (lab / "a.png").write_bytes(png(2))
    (lab / name).write_bytes(png(2))
    outcome, out = run(lab)
    assert [line["image"] for line in lines(out)] == ["a.png"]
    assert f"Passed over (mask or small copy of a.png): {name}" in outcome.stderr


@pytest.mark.parametrize(
    "name",
    [
        "result_a.png",
        "MAX_a.png",
        "a_2.png",
        "mask_b.png",
        "a_cells.png",
        "a_label2.png",
        "a_flow 3.png",
        "a-flow-01.tif",
        "a_seg2.png",
        "a_binary 1.png",
        "a_overlay1.jpg",
    ],
)
def test_other_images_of_like_names_are_counted(lab, name):
    (lab / "a.png").write_bytes(png(1))
    (lab / name).write_bytes(png(1))
    assert {item.name for item in search([lab]).items} == {"a.png", name}


@pytest.mark.parametrize("images", ["", "images"])
def test_a_folder_of_masks_holds_no_images(lab, images):
    for inner, name in (
        (images, "a.png"),
        ("masks", "a.tif"),
        ("masks", "c.png"),
        ("day1", "a.png"),
    ):
        (lab / inner).mkdir(exist_ok=True)
        (lab / inner / name).write_bytes(png(1))
    found = search([lab], recursive=True)
    names = {str(PurePath(images, "a.png")), "masks/c.png", "day1/a.png"}
    assert {item.name for item in found.items} == names
    assert found.passed == [("masks/a.tif", "mask or small copy of a.png")]


def test_a_thumbnail_with_a_number_of_its_own_is_no_image(lab):
    (lab / "P1_A01_w1BDA5F0C0-93A1-4C43-9D0F-0123456789AB.tif").write_bytes(png(1))
    (lab / "P1_A01_w1_thumbE4A51111-93A1-4C43-9D0F-0123456789AB.tif").write_bytes(png(1))
    found = search([lab])
    assert len(found.items) == 1
    assert "MetaXpress" in found.passed[0][1]


def test_however_a_path_is_written_its_image_has_one_line(lab):
    (lab / "mouse1").mkdir()
    (lab / "mouse1" / "a.png").write_bytes(png(1))
    (lab / "latest").symlink_to(lab / "mouse1")
    ways = [lab / "mouse1" / "..", lab / "latest", lab / "mouse1", lab / "latest" / "a.png"]
    assert len(search(ways, recursive=True).items) == 1


def test_a_mask_alone_is_an_image(lab):
    (lab / "a_mask.png").write_bytes(png(2))
    assert run(lab)[0].exit_code == 0


def test_equal_names_of_several_folders_keep_their_folder(lab):
    for mouse in ("mouse1", "mouse2"):
        (lab / mouse).mkdir()
        (lab / mouse / "Image_001.png").write_bytes(png(1))
    names = ["mouse1/Image_001.png", "mouse2/Image_001.png"]
    assert [item.name for item in search([lab / "mouse1", lab / "mouse2"]).items] == names
    assert [item.name for item in search([lab / names[0], lab / names[1]]).items] == names
    assert [item.name for item in search([lab], recursive=True).items] == names
    assert [item.name for item in search([lab / "mouse1"]).items] == ["Image_001.png"]
    assert len(search([lab / "mouse1", lab / names[0], lab / "mouse1"]).items) == 1
    _, out = run(lab / "mouse1", lab / "mouse2")
    assert [line["image"] for line in lines(out)] == names
    assert (out / "mouse2" / "Image_001.png.overlay.jpg").is_file()


def test_odd_names_stand_in_one_line(lab):
    for name in ("new\nline.png", "tab\there.png", "=1+1.png", "＝cmd.png", "-dash.png"):
        (lab / name).write_bytes(png(1))
    outcome, out = run(lab)
    assert outcome.exit_code == 0
    assert len(lines(out)) == 5
    assert "\t" not in outcome.output
    assert all("line.png" not in line.split() for line in outcome.output.splitlines())
    assert csv_text("＝cmd|x") == "'＝cmd|x"


@pytest.mark.parametrize(
    "words", [["count", "a.png", "--model="], ["count", "a.png", "--model", ""], ["watch", ""]]
)
def test_an_empty_option_is_an_error(words):
    outcome = CliRunner().invoke(cli, words)
    assert outcome.exit_code == 2
    assert "empty" in outcome.output or "nothing behind it" in outcome.output


def test_a_folder_without_images_is_said_with_its_name(lab):
    (lab / "notes.txt").write_text("nothing")
    with pytest.raises(InputError, match="contains no"):
        search([lab])


def test_links_to_nothing_and_folders_that_are_not_searched_are_named(lab):
    (lab / "a.png").write_bytes(png(1))
    (lab / "b.png").symlink_to(lab / "gone.png")
    files = ("mouse1/c.png", "mouse2/day1/c.png", "mouse3/c.czi", ".trash/c.png", "notes/a.txt")
    for name in files:
        (lab / name).parent.mkdir(parents=True)
        (lab / name).write_bytes(png(2))
    outcome, _ = run(lab)
    assert outcome.exit_code == 0
    assert "(a link to a file that is not there): b.png" in outcome.stderr
    assert "--recursive counts them too): mouse1, mouse2, mouse3\n" in outcome.stderr
    (lab / "a.png").unlink()
    with pytest.raises(InputError, match="its sub-folders do"):
        search([lab])


@pytest.mark.parametrize("name", ["a.oir", "a.dv", "a.jxl"])
def test_images_of_other_programs_are_no_files_of_another_kind(name):
    assert kind_of(PurePath(name)) is Kind.FOREIGN


OIF = "\ufeff[Acquisition Parameters Common]\r\n".encode("utf-16-le")
"""The file of an Olympus microscope that lists the pictures in the folder beside it."""


def olympus(folder):
    (folder / "b.oif.files").mkdir()
    (folder / "b.oif").write_bytes(OIF)
    (folder / "b.oif.files" / "s_C001Z001.tif").write_bytes(tiff(DEEP))


def test_a_file_whose_pixels_lie_in_a_folder_says_what_to_save_instead(lab):
    (lab / "a.png").write_bytes(png(1))
    olympus(lab)
    outcome, _ = run(lab)
    assert outcome.exit_code == 1
    assert (
        "b.oif: the pixels of Olympus' .oif lie in a folder beside it; save it as OIB or TIFF"
        in outcome.stderr
    )
    assert "b.oif.files" not in outcome.stderr
    found = search([lab], recursive=True)
    assert [item.name for item in found.items] == ["a.png"]
    assert ("b.oif.files/s_C001Z001.tif", "part of b.oif, which cannot be read") in found.passed


def test_a_folder_of_nothing_else_gets_the_sentence_too(lab):
    olympus(lab)
    outcome, _ = run(lab)
    assert outcome.exit_code == 1
    assert "save it as OIB or TIFF" in outcome.stderr
    assert "0 counted, 1 not counted" in outcome.stderr


@pytest.mark.parametrize("recursive", [False, True])
def test_a_folder_that_is_an_image_is_one_that_cannot_be_read(lab, recursive):
    (lab / "a.png").write_bytes(png(1))
    (lab / "b.ome.zarr" / "0").mkdir(parents=True)
    (lab / "b.ome.zarr" / "0" / "thumb.png").write_bytes(png(1))
    found = search([lab], recursive=recursive)
    assert [item.name for item in found.items] == ["a.png"]
    assert "b.ome.zarr" in [name for name, _ in found.foreign]


@pytest.mark.parametrize("suffix", ["oif", "OIF", "vsi"])
def test_so_does_an_upload_of_such_a_file(suffix):
    said = f"^slide.{suffix} cannot be read: the pixels of Olympus' .* lie in a folder beside it; .* TIFF"
    for read in (decode_frame, read_header):
        for data in (
            OIF,
            tiff(GREY),
            png(1),
        ):  # .vsi begins as a TIFF, .mrxs is a photograph of the slide
            with pytest.raises(InputError, match=said):
                read(data, f"slide.{suffix}")


@pytest.mark.parametrize("suffix", ["vsi", "mrxs"])
def test_the_overview_in_such_a_file_is_not_counted(lab, suffix):
    (lab / f"slide.{suffix}").write_bytes(tiff(GREY))
    (lab / "a.png").write_bytes(png(1))
    found = search([lab])
    assert [item.name for item in found.items] == ["a.png"]
    assert "lie in a folder beside it" in dict(found.foreign)[f"slide.{suffix}"]


def test_own_results_are_no_images(tmp_path):
    for name in ("a.png.overlay.jpg", "a.jfif.labels.tif", "counts.csv", "a.nd2.outlines.png"):
        (tmp_path / name).write_bytes(png(1))
        judged = judge_file(tmp_path, (tmp_path / name).relative_to(tmp_path))
        assert (judged.kind, judged.reason) == (Kind.OTHER, "")


@pytest.fixture
def bench(tmp_path):
    made = Bench(tmp_path)
    yield made
    made.worker.stop()
    made.store.close()


def write_pages(path, number):
    planes = np.random.default_rng(5).integers(0, 255, (4, 100, 220), np.uint8)
    with tifffile.TiffWriter(path) as writer:
        for plane in planes[:number]:
            writer.write(plane, metadata=None, photometric="minisblack")


def test_a_stack_that_was_counted_while_it_had_one_page_loses_its_line(bench):
    path = bench.folder / "timelapse.tif"
    write_pages(path, 1)
    bench.once()
    assert bench.images() == ["timelapse.tif"]
    write_pages(path, 4)
    bench.once()
    assert bench.images() == []
    (failed,) = bench.lines("errors.csv")
    assert "4 planes" in failed["reason"]
    assert not list(bench.out.glob("timelapse.tif.*"))


def test_a_copy_that_stalled_has_one_line_when_it_is_complete(bench):
    whole = bench.image("b.png", cells=2).read_bytes()
    path = bench.folder / "b.png"
    path.write_bytes(whole[: len(whole) // 2] + bytes(len(whole) - len(whole) // 2))
    bench.once()
    assert len(bench.lines("errors.csv")) == 1
    path.write_bytes(whole)
    bench.once()
    assert bench.images() == ["b.png"]
    assert bench.lines("errors.csv") == []


def test_the_watch_names_what_it_passes_over_once(bench):
    bench.image("a.png")
    (bench.folder / "notes.txt").write_text("left eye")
    (bench.folder / "slide.vsi").write_bytes(bytes(100))
    bench.once()
    bench.once()
    assert (
        sum("notes.txt: passed over (no image)." in line for line in bench.said) == 2
    )  # once a run
    assert [line["image"] for line in bench.lines("errors.csv")] == ["slide.vsi"]


def test_the_watch_names_folders_that_it_does_not_search_once(bench):
    for inner in ("mouse1", "mouse2/day1", ".trash", "notes"):
        (bench.folder / inner).mkdir(parents=True)
    bench.image("mouse1/a.png")
    bench.image("mouse2/day1/a.png")
    bench.image(".trash/a.png")
    (bench.folder / "notes" / "a.txt").write_text("left eye")
    bench.once()
    said = [line for line in bench.said if "--recursive" in line]
    assert [line.split(":")[0] for line in said] == ["mouse1", "mouse2"]
    bench.image("notes/a.png")
    bench.once()
    assert any(line.startswith("notes: passed over (folder with images") for line in bench.said)


def test_images_that_come_deep_into_a_sub_folder_are_named_within_a_minute(tmp_path):
    deep = tmp_path / "mouse1" / "plate1" / "day1"
    deep.mkdir(parents=True)
    unsearched = Unsearched()
    found = partial(unsearched.finds_images, tmp_path / "mouse1")
    assert not found(0.0)
    (deep / "a.png").write_bytes(png(1))
    assert not found(59.0)  # many small files are not listed all the time
    assert [found(60.0), found(120.0), found(1e9)] == [True, False, False]


def test_the_watch_says_what_to_save_instead_of_an_oif(bench):
    olympus(bench.folder)
    bench.once()
    (failed,) = bench.lines("errors.csv")
    assert failed["image"] == "b.oif"
    assert "save it as OIB or TIFF" in failed["reason"]
    assert bench.images() == []


def test_a_table_that_a_spreadsheet_saved_with_a_bom_goes_on(bench):
    bench.image("a.png", 1)
    bench.once()
    table = bench.out / "counts.csv"
    table.write_bytes(b"\xef\xbb\xbf" + table.read_bytes())
    bench.image("b.png", 2)
    bench.once()
    assert not (bench.out / "counts-1.csv").exists()
    assert len(table.read_text("utf-8-sig").splitlines()) == 3


def test_a_file_that_grew_is_told_from_another():
    rng = np.random.default_rng(1)
    one, other = rng.bytes(5000), rng.bytes(5000)
    assert continues(one, one + other)
    assert continues(one[:2500] + bytes(2500), one)
    assert not continues(one, other)
    assert not continues(one, one[:4000])
    assert not continues(bytes(3000), one)
