"""Assays: stored with versions, used wherever something is counted, kept with every result."""

import json

import msgspec
import pytest
from appliance import make_settings, png, wait_for
from click.testing import CliRunner
from conftest import FakeSegmenter, make_card, make_confidence
from hypothesis import given
from hypothesis import strategies as st

from device.assays.library import (
    decode_assay,
    encode_assay,
    find_assay,
    read_assay,
    shipped_assays,
    stock,
)
from device.batch.replay import past_of_count, past_of_file, replay
from device.commands.assay import command
from device.config import CountingSettings, WatchSettings
from device.counting.assay import Assay, Exposure, Taught, adapt_card
from device.counting.pipeline import count_frame
from device.counting.reading import Reading, merge
from device.counting.records import CountSettings, with_assay
from device.counting.settings import resolve
from device.errors import InputError, NotFoundError, SettingsError
from device.jobs.intake import CountOptions
from device.models.card import available_models
from device.store import open_store
from device.watch import plans_from_settings
from device.web import create_app

pytestmark = pytest.mark.usefixtures("each_database")


@pytest.fixture
def store(service):
    return service.store


def count(service, cells=3, **options):
    row = service.counter.intake.accept(png(cells), "a.png", "upload", CountOptions(**options))
    wait_for(lambda: service.store.counts.get(row.id).status == "done")
    return row.id


def taught(card=None, **changes):
    card = card or make_card()
    values = {
        "model_sha256": card.sha256,
        "threshold": 0.3,
        "min_peak": 0.1,
        "confidence": make_confidence(least_probability=0.2),
        "frames": 5,
        "cells": 50,
    }
    return Taught(**values | changes)


def test_a_file_is_the_assay_it_was_made_of():
    assay = Assay(
        name="GFP 20x",
        version=3,
        reading=Reading(channel="GFP", project="max", full_scale=4095),
        cell_diameter_um=12.5,
        pixel_size_um=0.65,
        exposure=Exposure(exposure_s=0.2, red_gain=1.5),
        taught=taught(),
    )
    assert decode_assay(encode_assay(assay), "x.json") == assay


@pytest.mark.parametrize(
    "bad",
    [
        b"",
        b"[]",
        b'{"name": ""}',
        b'{"name": "../x"}',
        b'{"name": "a", "threshhold": 0.3}',
        b'{"name": "a", "threshold": 1.5}',
        b'{"name": "a", "cell_diameter_px": 9, "cell_diameter_um": 9}',
        b'{"name": "a", "cell_diameter_px": -1}',
        b"{" * 5000,
        b'{"name": "a", "about": "' + b"x" * 200_000 + b'"}',
    ],
)
def test_what_is_no_assay_gets_a_sentence(bad):
    with pytest.raises(InputError, match="exported as one"):
        decode_assay(bad, "x.json")


@pytest.mark.sqlite
def test_three_assays_are_shipped_for_models_that_are_shipped(tmp_path):
    shipped = shipped_assays()
    assert len(shipped) == 3
    assert {assay.model for assay in shipped} <= {*available_models(), "auto"}
    store = open_store(make_settings(tmp_path).storage)
    stock(store, make_settings(tmp_path))
    assert len(store.assays.newest()) == 4
    assert store.assays.get("DAPI nuclei").version == 1


def test_every_change_is_a_version_and_none_is_lost(store):
    first = store.assays.save(Assay(name="mine", threshold=0.3), "ann")
    second = store.assays.save(msgspec.structs.replace(first, threshold=0.4), "bob")
    assert (first.version, second.version) == (1, 2)
    assert store.assays.get("mine") == second
    assert store.assays.get("mine", 1) == first
    assert store.assays.save(second, "bob") == second  # nothing changed
    back = store.assays.save(store.assays.get("mine", 1), "ann")
    assert (back.version, back.threshold) == (3, 0.3)
    assert [one.who for one in store.assays.versions("mine")] == ["ann", "bob", "ann"]
    with pytest.raises(NotFoundError, match="default"):
        store.assays.get("yours")


@pytest.mark.sqlite
@pytest.mark.parametrize(
    "odd",
    [
        {"pixel_size_um": float("inf")},
        {"pixel_size_um": 1e300},
        {"cell_diameter_px": float("inf")},
        {"cell_diameter_px": 0.5},
        {"cell_diameter_um": 1e300},
        {"min_area_px": float("inf")},
    ],
)
def test_an_assay_that_counts_nothing_is_not_kept(service, store, odd):
    """A number without end would be stored as none at all, a huge smallest cell would make every count 0."""
    with pytest.raises(InputError, match="of the assay odd must be"):
        store.assays.save(Assay(name="odd", **odd), "AB")
    assert store.assays.find("odd") is None


def test_the_settings_file_makes_the_default_and_changes_only_what_it_changes(tmp_path):
    settings = make_settings(tmp_path)
    store = open_store(settings.storage)
    stock(store, settings)
    stock(store, settings)
    assert store.assays.get("default").version == 1
    store.assays.save(
        msgspec.structs.replace(store.assays.get("default"), threshold=0.42), "somebody"
    )
    stock(store, settings)
    assert store.assays.get("default").version == 2  # the file says what it said
    changed = msgspec.structs.replace(settings, counting=CountingSettings(model="c-resunet"))
    stock(store, changed)
    newest = store.assays.get("default")
    assert (newest.version, newest.model, newest.threshold) == (3, "c-resunet", 0.42)


def test_settings_win_over_the_assay_and_the_assay_over_the_card():
    card = make_card()
    assay = Assay(name="a", threshold=0.3, cell_diameter_px=20.0, exclude_border=True)
    own = resolve(with_assay(CountSettings(), assay), card)
    assert (own.threshold, own.cell_diameter_px, own.exclude_border) == (0.3, 20.0, True)
    asked = CountSettings(threshold=0.7, cell_diameter_px=30.0, exclude_border=False)
    chosen = resolve(with_assay(asked, assay), card)
    assert (chosen.threshold, chosen.cell_diameter_px, chosen.exclude_border) == (0.7, 30.0, False)
    assert resolve(with_assay(CountSettings(), Assay(name="b")), card).threshold == card.threshold


@given(st.floats(0.05, 5), st.floats(2, 50))
def test_a_diameter_in_micrometres_needs_the_pixel_size(pixel_size_um, diameter_um):
    assay = Assay(name="a", cell_diameter_um=diameter_um)
    assert assay.diameter_px(pixel_size_um) == pytest.approx(diameter_um / pixel_size_um)
    with pytest.raises(InputError, match="how large a pixel is"):
        assay.diameter_px(None)


def test_a_plane_that_is_asked_for_replaces_the_projection_of_the_assay():
    default = Reading(channel="DAPI", project="max", offset=100)
    assert merge(default, Reading(z=3)) == Reading(channel="DAPI", z=3, offset=100)
    assert merge(Reading(z=3), Reading(project="mean")) == Reading(project="mean")


def test_what_was_taught_counts_only_with_its_model():
    card = make_card()
    adapted = adapt_card(card, Assay(name="a", taught=taught(card)))
    assert (adapted.threshold, adapted.postprocessing.min_peak) == (0.3, 0.1)
    assert adapted.confidence.least_probability == 0.2
    assert adapt_card(card, None) is card
    doubting = make_card(confidence=make_confidence(most_doubt=1.5))
    later = adapt_card(doubting, Assay(name="a", taught=taught(doubting)))
    assert later.confidence.most_doubt == 1.5
    with pytest.raises(InputError, match="taught with another model"):
        adapt_card(make_card(sha256="1" * 64), Assay(name="a", taught=taught(card)))


@pytest.mark.sqlite
def test_a_result_keeps_its_assay_and_replays_the_same_after_the_assay_changed(service, store):
    saved = store.assays.save(Assay(name="mine", threshold=0.35, taught=taught()), "ann")
    count_id = count(service, assay="mine")
    assert store.result(count_id).assay == saved
    store.assays.save(msgspec.structs.replace(saved, threshold=0.9, taught=None), "bob")
    assert replay(past_of_count(store, count_id), FakeSegmenter()).differences == ()
    stored = store.product(count_id, "result.json")
    assert replay(past_of_file(stored), FakeSegmenter()).differences == ()
    again = store.result(count(service, assay="mine"))
    assert (again.assay.version, again.threshold) == (2, 0.9)


@pytest.mark.sqlite
def test_without_a_name_the_default_counts(service, store):
    assert store.result(count(service)).assay == store.assays.get("default")
    with pytest.raises(NotFoundError, match="no such thing"):
        count(service, assay="nobody's")


@pytest.mark.sqlite
def test_a_second_try_means_the_assay_of_the_first(service, store):
    options = CountOptions(once_key="k")
    first = service.counter.intake.accept(png(2), "a.png", "upload", options)
    changed = msgspec.structs.replace(store.assays.get("default"), threshold=0.7)
    store.assays.save(changed, "ann")
    assert service.counter.intake.accept(png(2), "a.png", "upload", options).id == first.id


@pytest.mark.sqlite
def test_the_camera_exposes_as_the_assay_says(service, store):
    wait_for(lambda: service.camera.status.state == "ready")
    exposure = Exposure(exposure_s=0.002, blue_gain=1.5)
    store.assays.save(Assay(name="short", exposure=exposure), "ann")
    row = service.counter.capturer.capture(CountOptions(assay="short"))
    assert row.capture["exposure_s"] == pytest.approx(0.002, rel=0.1)
    assert row.capture["blue_gain"] == 1.5
    assert row.settings.assay.name == "short"


def test_a_pixel_size_that_contradicts_the_assay_is_flagged(make_disc_frame):
    assay = Assay(name="20x", pixel_size_um=0.5)
    settings = with_assay(CountSettings(), assay)

    def codes(size_um):
        result = count_frame(make_disc_frame(pixel_size_um=size_um), FakeSegmenter(), settings)
        return {flag.code for flag in result.result.flags}, result.result.pixel_size_um

    assert codes(0.52) == (set(), 0.52)
    assert codes(0.25) == ({"pixel_size"}, 0.25)
    assert codes(None) == (set(), 0.5)


@pytest.fixture
def make_disc_frame():
    from conftest import draw_discs, make_frame

    return lambda **values: make_frame(draw_discs((120, 200), [(60, 60, 37)]), **values)


@pytest.mark.sqlite
def test_folders_have_assays_of_their_own(tmp_path):
    folders = (str(tmp_path / "a"), str(tmp_path / "b"))
    watch = WatchSettings(folders=folders, assays={folders[1]: "DAPI nuclei"})
    settings = msgspec.structs.replace(make_settings(tmp_path), watch=watch)
    assert [plan.assay for plan in plans_from_settings(settings)] == [None, "DAPI nuclei"]


@pytest.mark.sqlite
@pytest.mark.parametrize("what", ["assay", "objective", "study"])
def test_nothing_is_set_for_a_folder_that_is_not_watched(tmp_path, what):
    table = {"assay": "assays", "objective": "objectives", "study": "studies"}[what]
    named = {table: {str(tmp_path / "c"): "x"}}
    watch = WatchSettings(folders=(str(tmp_path / "a"),), **named)
    settings = msgspec.structs.replace(make_settings(tmp_path), watch=watch)
    with pytest.raises(SettingsError, match=rf"^An? {what} is set for .*not watched"):
        plans_from_settings(settings)


@pytest.mark.sqlite
def test_the_page_lists_saves_and_goes_back(service, store):
    client = create_app(service).test_client()
    assert len(client.get("/api/v1/assays").json["assays"]) == 4
    exported = client.get("/api/v1/assays/DAPI nuclei").json
    mine = exported | {"name": "mine", "threshold": 0.3}
    assert client.post("/api/v1/assays", json={"assay": mine}).json["version"] == 1
    assert (
        client.post("/api/v1/assays", json={"assay": mine | {"threshold": 0.5}}).status_code == 200
    )
    assert client.get("/api/v1/assays/mine?version=1").json["threshold"] == 0.3
    back = client.post("/api/v1/assays/mine/restore", json={"version": 1, "who": "ann"})
    assert (back.json["version"], back.json["threshold"]) == (3, 0.3)
    assert [v["version"] for v in client.get("/api/v1/assays/mine/versions").json["versions"]] == [
        3, 2, 1,
    ]  # fmt: skip
    for bad in ({"name": "x", "model": "/etc/passwd.tflite"}, {"name": "x", "model": "none"}, {}):
        answer = client.post("/api/v1/assays", json={"assay": bad})
        assert answer.status_code == 400
        assert answer.json["error"]
    assert store.assays.find("x") is None
    assert client.get("/api/v1/assays/nobody").status_code == 404
    assert client.get("/api/v1/assays/nobody/versions").status_code == 404


@pytest.mark.sqlite
def test_an_upload_names_its_assay(service, store):
    import io

    client = create_app(service).test_client()
    form = {"image": (io.BytesIO(png(2)), "a.png"), "assay": "yellow CTb neurons"}
    answer = client.post("/api/v1/counts", data=form)
    assert answer.status_code == 202
    assert store.counts.get(answer.json["id"]).settings.assay.name == "yellow CTb neurons"
    form = {"image": (io.BytesIO(png(2)), "a.png"), "assay": "nobody's"}
    assert client.post("/api/v1/counts", data=form).status_code == 404


@pytest.mark.sqlite
def test_the_command_line_exports_imports_and_restores(tmp_path):
    runner, place = CliRunner(), ["--data-dir", str(tmp_path / "data")]

    def run(*words):
        answer = runner.invoke(command, [*place, *words], catch_exceptions=False)
        assert answer.exit_code == 0, answer.output
        return answer.output

    assert "DAPI nuclei" in run("list")
    file = tmp_path / "dapi.json"
    run("export", "DAPI nuclei", "--out", str(file))
    assert run("import", str(file), "--name", "mine") == "mine, version 1\n"
    changed = json.loads(file.read_text()) | {"name": "mine", "threshold": 0.25}
    file.write_text(json.dumps(changed))
    run("import", str(file))
    assert "version 3, is version 1 again" in run("restore", "mine", "1")
    assert len(run("versions", "mine").splitlines()) == 3
    assert json.loads(run("export", "mine"))["threshold"] is None


@pytest.mark.sqlite
def test_a_command_finds_stored_shipped_and_exported_assays(tmp_path):
    settings = make_settings(tmp_path / "data")
    assert find_assay(None, settings).name == "default"
    assert find_assay("DAPI nuclei", settings).cell_diameter_um == 9.0
    assert not (tmp_path / "data").exists()  # looking makes no store
    store = open_store(settings.storage)
    store.assays.save(Assay(name="mine", threshold=0.3), "ann")
    assert find_assay("mine", settings).threshold == 0.3
    file = tmp_path / "x.json"
    file.write_bytes(encode_assay(Assay(name="elsewhere")))
    assert find_assay(str(file), settings) == read_assay(file)
    with pytest.raises(InputError, match="mine"):
        find_assay("nobody's", settings)
