import json
import shutil

import msgspec
import pytest
import tifffile
from appliance import Lab, png
from click.testing import CliRunner
from conftest import FakeSegmenter, make_card

from device.batch import replay as replay_module
from device.batch.folder import write_image_files
from device.batch.items import Item, count_item
from device.batch.replay import past_of_count, past_of_file, replay, results_in
from device.commands.replay import command
from device.counting.records import CountSettings
from device.errors import ConflictError, InputError
from device.jobs.relabelling import Change


class ReplayLab(Lab):
    def count(self, cells=3, **settings):
        return self.counted(png(cells), settings=CountSettings(**settings)).id

    def replay(self, count_id, segmenter=None):
        return replay(past_of_count(self.store, count_id), segmenter or FakeSegmenter())

    def stored(self, count_id, name):
        return self.store.product(count_id, name)


@pytest.fixture
def lab(tmp_path):
    lab = ReplayLab(tmp_path / "data")
    yield lab
    lab.service.stop()


def named(outcome):
    return {difference.what for difference in outcome.differences}


def test_an_untouched_result_is_the_same(lab):
    for settings in ({}, {"threshold": 0.3}, {"cell_diameter_px": 30.0, "exclude_border": True}):
        outcome = lab.replay(lab.count(**settings))

        assert outcome.same
        assert outcome.differences == ()
        assert (outcome.count_then, outcome.count_now) == (3, 3)


def test_so_is_one_that_was_labelled_anew_or_corrected(lab):
    count_id = lab.count()
    lab.service.counter.relabeller.store(count_id, Change(threshold=0.8, min_area_px=50.0))
    lab.store.corrections.add(count_id, lab.store.result(count_id), 5.0, 5.0, "me")

    assert lab.replay(count_id).differences == ()


def test_a_result_keeps_what_it_came_from(lab):
    result = lab.store.result(lab.count())

    assert result.versions["numpy"]
    assert result.versions["python"]
    assert len(result.model.card_sha256) == 64
    assert len(result.image_sha256) == 64


def test_another_image_is_named(lab):
    count_id = lab.count(3)
    lab.store.counts.original_path(lab.store.counts.get(count_id)).write_bytes(png(5))

    outcome = lab.replay(count_id)

    assert named(outcome) == {"image", "outcome"}
    assert not outcome.same
    assert (outcome.count_then, outcome.count_now) == (3, 5)


def test_an_image_with_other_bytes_and_the_same_cells_is_named_too(lab):
    count_id = lab.count(3)
    path = lab.store.counts.original_path(lab.store.counts.get(count_id))
    path.write_bytes(path.read_bytes() + b" ")

    outcome = lab.replay(count_id)

    assert named(outcome) == {"image"}
    assert not outcome.same


OTHERWISE = [
    ({"full_scale": 4095}, "full scale 255, it was 4095"),
    ({"offset": 100}, "offset 0, it was 100"),
    ({"channel": "CTb"}, "channel none, it was CTb"),
    (
        {"ignored_for": ("annotations",), "ignored_px": 90},
        "what is left out none, it was annotations",
    ),
]


def read_by_another_version(lab, **taken):
    """A count whose result says that its file was understood otherwise than it would be now."""
    count_id = lab.count()
    path = lab.stored(count_id, "result.json")
    result = json.loads(path.read_bytes())
    result["taken"] = result.get("taken", {}) | taken
    path.write_text(json.dumps(result))
    return count_id


@pytest.mark.parametrize(("taken", "said"), OTHERWISE)
def test_an_image_that_is_read_differently_now_is_named(lab, taken, said):
    outcome = lab.replay(read_by_another_version(lab, **taken))
    assert "image" in named(outcome)
    assert not outcome.same
    assert any(f"read differently: {said}" == d.text for d in outcome.differences)


@pytest.mark.parametrize(("taken", "said"), OTHERWISE)
def test_its_map_is_never_labelled_with_the_frame_of_now(lab, taken, said):
    count_id = read_by_another_version(lab, **taken)
    before = lab.store.result(count_id)
    for again in (lab.service.counter.relabeller.preview, lab.service.counter.relabeller.store):
        with pytest.raises(ConflictError, match=f"a.png is read differently now .*{said}"):
            again(count_id, Change(threshold=0.8))
    assert lab.store.result(count_id) == before


def test_other_weights_are_named(lab):
    other = FakeSegmenter(make_card(sha256="1" * 64, version="2"))

    outcome = lab.replay(lab.count(), other)

    assert named(outcome) == {"model"}
    assert "fake 2" in outcome.differences[0].text
    assert not outcome.same


def test_another_card_for_the_same_weights_is_named(lab):
    card = make_card()
    post = msgspec.structs.replace(card.postprocessing, min_area_ratio=1.5)

    outcome = lab.replay(lab.count(), FakeSegmenter(make_card(postprocessing=post)))

    assert {"model", "settings", "outcome"} <= named(outcome)
    assert "card" in outcome.differences[0].text
    assert outcome.count_now == 0


def test_another_default_threshold_is_named(lab):
    outcome = lab.replay(lab.count(), FakeSegmenter(make_card(threshold=0.7)))

    assert "settings" in named(outcome)
    assert any("threshold is 0.7, it was 0.5" in d.text for d in outcome.differences)


def test_a_changed_result_file_is_named(lab):
    count_id = lab.count()
    path = lab.stored(count_id, "result.json")
    result = json.loads(path.read_bytes())
    result["threshold"] = 0.9
    result["cells"].pop()
    result["count"] -= 1
    path.write_text(json.dumps(result))

    outcome = lab.replay(count_id)

    assert named(outcome) == {"settings", "outcome"}
    assert any("threshold is 0.5, it was 0.9" in d.text for d in outcome.differences)


def test_a_changed_label_image_is_named(lab):
    first, second = lab.count(3), lab.count(2)
    shutil.copy(lab.stored(second, "labels.tiff"), lab.stored(first, "labels.tiff"))

    outcome = lab.replay(first)

    assert [d.text for d in outcome.differences] == ["the label image differs"]


def test_other_software_with_the_same_outcome_is_said_but_the_same(lab, monkeypatch):
    count_id = lab.count()
    monkeypatch.setattr(replay_module, "software_versions", lambda: {"numpy": "0.0.1"})

    outcome = lab.replay(count_id)

    assert named(outcome) == {"software"}
    assert any(d.text.startswith("numpy is 0.0.1, it was") for d in outcome.differences)
    assert outcome.same


def test_a_result_file_beside_its_image_or_not(tmp_path, fake_segmenter):
    image = tmp_path / "run 1" / "a.png"
    image.parent.mkdir()
    image.write_bytes(png(4))
    out = tmp_path / "out"
    count_item(
        Item(image, "a.png"),
        fake_segmenter,
        CountSettings(threshold=0.4),
        write=lambda name, frame, counted: write_image_files(out, name, frame, counted),
    )
    file = out / "a.png.result.json"

    assert replay(past_of_file(file, image), fake_segmenter).differences == ()
    with pytest.raises(InputError, match="--image"):
        past_of_file(file)
    shutil.copy(image, tmp_path / "a.png")
    assert replay(past_of_file(file), fake_segmenter).same


def test_the_stores_own_file_finds_its_image(lab):
    past = past_of_file(lab.stored(lab.count(), "result.json"))

    assert replay(past, FakeSegmenter()).same


@pytest.mark.parametrize("content", ["{}", "no json", '{"count": 3, "cells": []}'])
def test_a_file_that_is_no_result(tmp_path, content):
    path = tmp_path / "x.json"
    path.write_text(content)

    with pytest.raises(InputError, match="is not a fluocount result"):
        past_of_file(path)


class TestCommand:
    def run(self, lab, monkeypatch, *arguments):
        monkeypatch.setattr("device.jobs.segmenters.open_model", lambda *_: FakeSegmenter())
        return CliRunner().invoke(command, [*arguments, "--data-dir", str(lab.data_dir)])

    def test_same(self, lab, monkeypatch):
        outcome = self.run(lab, monkeypatch, lab.count())

        assert outcome.output == "same: 3 cells\n"
        assert outcome.exit_code == 0

    def test_different(self, lab, monkeypatch):
        count_id = lab.count()
        lab.store.counts.original_path(lab.store.counts.get(count_id)).write_bytes(png(5))

        outcome = self.run(lab, monkeypatch, count_id)

        assert outcome.exit_code == 1
        assert outcome.output.startswith("different:\n  image: ")
        assert "outcome: 5 cells, there were 3" in outcome.output

    def test_another_threshold(self, lab, monkeypatch):
        outcome = self.run(lab, monkeypatch, lab.count(), "--threshold", "0.25", "--json")

        answer = json.loads(outcome.output)
        assert outcome.exit_code == 1
        assert answer["same"] is False
        assert answer["differences"][0]["what"] == "settings"

    def test_a_file(self, lab, monkeypatch):
        path = lab.stored(lab.count(), "result.json")

        assert self.run(lab, monkeypatch, str(path)).exit_code == 0

    def test_nothing_of_that_name(self, lab, monkeypatch):
        for name in ("0123456789abcdef", "no/result.json"):
            outcome = self.run(lab, monkeypatch, name)
            assert outcome.exit_code == 1
            assert outcome.exception is not None


def test_a_folder_of_results_is_replayed_line_by_line(tmp_path, monkeypatch):
    images, out = tmp_path / "images", tmp_path / "out"
    images.mkdir()
    for number in (1, 2):
        path = images / f"{number}.png"
        path.write_bytes(png(number))
        item = Item(path, path.name)
        count_item(
            item,
            FakeSegmenter(),
            CountSettings(),
            write=lambda name, frame, counted: write_image_files(out, name, frame, counted),
        )
    monkeypatch.setattr("device.jobs.Segmenters.get", lambda *_: FakeSegmenter())
    done = CliRunner().invoke(command, [str(out), "--image", str(images)])
    assert done.exit_code == 0, done.output
    assert "2 of 2 results are the same" in done.output

    labels = tifffile.imread(out / "2.png.labels.tif")
    labels[labels > 1] = 1
    tifffile.imwrite(out / "2.png.labels.tif", labels)
    done = CliRunner().invoke(command, [str(out), "--image", str(images)])
    assert done.exit_code == 1
    assert "2.png  outcome: the label image differs" in done.output
    assert "1 of 2 results are the same" in done.output

    (images / "1.png").unlink()
    done = CliRunner().invoke(command, [str(out), "--image", str(tmp_path)])
    assert "1.png.result.json  not compared: The image" in done.output
    assert "0 of 2 results are the same" in done.output


def test_a_folder_without_results_gets_a_sentence(tmp_path):
    with pytest.raises(InputError, match="contains no results"):
        results_in(tmp_path)
