"""A server's workers: several counts at once, and a process that dies costs only its image."""

import json
import logging

import msgspec
import pytest
from appliance import make_settings, png, wait_for
from troubled import BeginFake

from device.commands.serve import _as_server
from device.config import ServerSettings, Settings
from device.jobs import Worker
from device.jobs.crew import Crew
from device.machine.log import JsonFormatter
from device.service import Service
from device.store import NewCount, open_store
from device.web import create_app


@pytest.fixture
def store(tmp_path):
    return open_store(make_settings(tmp_path).storage)


@pytest.fixture
def crew(store, tmp_path):
    settings = make_settings(tmp_path)
    made = Crew(store, settings.counting, 2, BeginFake(settings.storage))
    made.start()
    yield made
    made.stop()


def accept(store, image="a.png", cells=2):
    return store.counts.accept(
        NewCount(data=png(cells), image=image, origin="upload", model="fast")
    )


def ends(store, row, status):
    wait_for(lambda: store.counts.get(row.id).status == status, 120, f"{status} of {row.image}")
    return store.counts.get(row.id)


def test_every_image_is_counted_once_whatever_happens_to_a_process(store, crew):
    killer = accept(store, "kills.png")
    rows = [accept(store, f"{cells}.png", cells) for cells in range(6)]
    assert [ends(store, row, "done").count for row in rows] == list(range(6))
    failed = ends(store, killer, "failed")
    assert failed.attempts == 3
    assert "stopped 3 times" in failed.error
    assert crew.state.doing == "idle"


def test_one_that_takes_long_holds_up_no_other_and_can_be_cancelled(store, crew):
    slow = accept(store, "waits.png")
    ends(store, slow, "running")
    ends(store, accept(store), "done")
    assert crew.state.doing == "counting"
    store.queue.cancel(slow.id)
    ends(store, slow, "cancelled")


def test_what_is_not_finished_waits_for_the_next_start(store, tmp_path):
    settings = make_settings(tmp_path)
    first = Crew(store, settings.counting, 2, BeginFake(settings.storage))
    first.start()
    slow = accept(store, "waits.png")
    ends(store, slow, "running")
    first.stop()
    row = store.counts.get(slow.id)
    assert (row.status, row.attempts) == ("queued", 0)
    assert first.state.doing == "stopped"


def test_the_settings_say_who_counts(tmp_path):
    settings = make_settings(tmp_path)
    assert isinstance(Service(settings).require_counter().worker, Worker)
    many = msgspec.structs.replace(settings, server=ServerSettings(workers=3))
    assert isinstance(Service(many).require_counter().worker, Crew)


def test_a_server_has_no_camera_and_a_process_per_core():
    made = _as_server(Settings())
    assert (made.camera.kind, made.button.enabled, made.server.metrics) == ("none", False, True)
    assert made.server.workers >= 1
    assert made.storage.max_queue == 10_000
    set_by_hand = msgspec.structs.replace(Settings(), server=ServerSettings(workers=7))
    assert _as_server(set_by_hand).server.workers == 7


def metrics_of(service, **headers) -> dict[str, float]:
    from prometheus_client.parser import text_string_to_metric_families

    text = create_app(service).test_client().get("/metrics", headers=headers).text
    return {
        " ".join([sample.name, *sample.labels.values()]): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_metrics_are_those_of_the_database(tmp_path):
    settings = msgspec.structs.replace(make_settings(tmp_path), server=ServerSettings(metrics=True))
    service = Service(settings)
    accept(service.require_store())
    found = metrics_of(service)
    assert found["fluocount_counts queued"] == 1
    assert found["fluocount_worker stopped"] == 1
    assert found["fluocount_disk_free_bytes"] > 1e6


def test_metrics_need_a_login_where_the_page_does(tmp_path):
    settings = msgspec.structs.replace(
        make_settings(tmp_path, host="0.0.0.0"), server=ServerSettings(metrics=True)
    )
    service = Service(settings)
    assert create_app(service).test_client().get("/metrics").status_code == 302  # to the login
    token = service.require_store().access.create_token("prometheus")
    assert "fluocount_queue_limit" in metrics_of(service, Authorization=f"Bearer {token}")


def test_there_are_no_metrics_unless_they_are_wanted(tmp_path):
    app = create_app(Service(make_settings(tmp_path)))
    assert app.test_client().get("/metrics").status_code == 404


def test_the_log_is_one_object_a_line():
    record = logging.LogRecord("device.x", logging.WARNING, "", 0, "two\nlines %s", ("ä",), None)
    line = JsonFormatter().format(record)
    assert "\n" not in line
    assert json.loads(line)["message"] == "two\nlines ä"
    assert json.loads(line)["level"] == "warning"
