"""How images come into a study by themselves: a watched folder, the button; and the reviews of the command line."""

from dataclasses import replace

import msgspec
import pytest
from appliance import make_service, make_settings, wait_for
from click.testing import CliRunner
from conftest import FakeSegmenter
from studied import make_study, started, write_folder
from test_access import set_up
from test_administration import add, call, log_in_as
from test_service_button import BUTTON, press, with_button

from device.commands.study import command
from device.config import WatchSettings
from device.errors import ConflictError, NotFoundError, SettingsError
from device.service import Service
from device.store import open_store
from device.store.studies import Place, Study
from device.studies.reviewing import begin_review
from device.watch import make_plan, plans_from_settings
from device.watch.standalone import watch_folder
from device.web import create_app

PATTERN = "{group}_{subject}_s{slice}"


def in_folders(tmp_path, **watch):
    return msgspec.structs.replace(make_settings(tmp_path / "data"), watch=WatchSettings(**watch))


def test_a_watched_folder_fills_a_study(tmp_path):
    settings = make_settings(tmp_path / "data")
    folder = write_folder(tmp_path / "in", {"sham_m1_s1.png": 2, "odd.png": 3})
    store = open_store(settings.storage)
    plan = replace(make_plan(settings, folder), settle_s=0.05, study="torpor")
    with pytest.raises(NotFoundError, match="no study"):
        watch_folder(settings, plan, once=True, load_segmenter=lambda model: FakeSegmenter())
    store.studies.save(Study(name="torpor", pattern=PATTERN))
    said = []
    watch_folder(
        settings, plan, once=True, say=said.append, load_segmenter=lambda model: FakeSegmenter()
    )
    images = {image.row.image: image for image in store.studies.images("torpor")}
    store.close()
    assert images["sham_m1_s1.png"].place == Place(group="sham", subject="m1", slice="1")
    assert images["odd.png"].place == Place()
    assert images["sham_m1_s1.png"].row.count == 2


def test_the_settings_name_the_study_of_a_watched_folder(tmp_path):
    folder, other = str(tmp_path / "in"), str(tmp_path / "other")
    (plan,) = plans_from_settings(
        in_folders(tmp_path, folders=(folder,), studies={folder: "torpor"})
    )
    assert plan.study == "torpor"
    with pytest.raises(SettingsError, match="A study is set for"):
        plans_from_settings(in_folders(tmp_path, folders=(folder,), studies={other: "torpor"}))


def test_a_press_of_the_button_goes_to_the_next_slice(factory, tmp_path):
    service = Service(with_button(tmp_path), load_segmenter=lambda model: FakeSegmenter())
    service.start()
    try:
        wait_for(lambda: service.camera.status.state == "ready")
        studies = service.require_store().studies
        studies.save(Study(name="torpor", groups=("sham",)))
        studies.capture_for("torpor", Place(group="sham", subject="m1", slice="1"))
        press(factory)
        wait_for(lambda: studies.images("torpor"), what="the capture")
        factory.pin(BUTTON).drive_high()
        wait_for(lambda: studies.capturing().place.slice == "2", what="the next slice")
        assert studies.images("torpor")[0].place.slice == "1"
    finally:
        service.stop()


def test_the_command_line_begins_checks_and_ends_a_review(tmp_path):
    service = started(tmp_path)
    make_study(service, {("a", "m1", str(part)): 2 + part for part in range(3)})
    store = service.require_store()

    def run(*arguments: str):
        return CliRunner().invoke(command, ["--data-dir", str(tmp_path), *arguments])

    try:
        assert (
            "of 3 images give the mean error"
            in run("sample-size", "torpor", "--precision", "1").output
        )
        begun = run("review", "torpor", "--observer", "Anna", "--number", "2", "--seed", "4")
        (review,) = store.reviews.of_study("torpor")
        assert f"/reviews/{review.id}" in begun.output
        assert isinstance(run("results", review.id, "--end").exception, ConflictError)
        for key in review.keys:
            store.reviews.save_marks(review.id, key, "Anna", ((9.0, 9.0),), done=True)
        assert "In 2 of 3 images, drawn at random," in run("results", review.id, "--end").output
        log = run("log", review.id)
        assert log.exit_code == 0
        assert log.output.count('"what":"done"') == 2
    finally:
        service.stop()


def test_who_marks_under_another_name_stands_in_the_log_with_the_own_account(tmp_path):
    service = make_service(tmp_path, host="192.168.7.7")
    service.start()
    try:
        make_study(service, {("a", "m1", "1"): 2})
        reviews = service.require_store().reviews
        review = begin_review(service.require_store(), "torpor", ("Anna", "Ben"), seed=1)
        app = create_app(service)
        admin = app.test_client()
        set_up(admin, app)
        add(admin, "Anna")
        client = log_in_as(app, "Anna")
        for observer in ("Anna", "Ben"):
            body = {"observer": observer, "what": "started"}
            assert (
                call(client, "POST", f"/api/v1/reviews/{review.id}/steps", body).status_code == 200
            )
        said = {one.who: one.detail for one in reviews.log(review.id) if one.what == "started"}
        assert said == {"Anna": {}, "Ben": {"account": "Anna"}}
        assert reviews.faults(review.id) == []
    finally:
        service.stop()
