import csv
import io
import threading
import time
import zipfile

import numpy as np
import pytest
import tifffile
from appliance import make_service, make_settings, png, wait_for, with_storage
from conftest import FakeSegmenter
from PIL import Image
from urllib3.filepost import encode_multipart_formdata

from device.config import CameraSettings, Settings
from device.errors import CameraBusyError, CameraLostError, ModelError
from device.service import Service
from device.web import create_app

API = "/api/v1"


@pytest.fixture
def service(tmp_path):
    found = make_service(tmp_path)
    found.start()
    yield found
    found.stop()


@pytest.fixture
def client(service):
    return create_app(service).test_client()


@pytest.fixture
def idle_client(tmp_path):
    """Nothing is counted: what is handed in stays queued."""
    return create_app(make_service(tmp_path)).test_client()


def hand_in(client, data=None, name="a.png", headers=None, **form):
    # Not the test client's own encoding, which leaves out the blank line before an empty value.
    fields = {"image": (name, png() if data is None else data)}
    fields |= {key: str(value) for key, value in form.items()}
    body, content_type = encode_multipart_formdata(fields)
    return client.post(f"{API}/counts", data=body, content_type=content_type, headers=headers)


def done(client, count_id):
    def condition():
        state = client.get(f"{API}/counts/{count_id}").json
        return state if state["status"] in ("done", "failed", "cancelled") else None

    return wait_for(condition, what="the end of the count")


def counted(client, data=None, **form):
    return done(client, hand_in(client, data, **form).json["id"])


def test_an_upload_is_accepted_counted_and_told_with_every_field(client):
    answer = hand_in(client, sample="Plate 7", notes="left", name="Kühn 1.png")
    assert answer.status_code == 202
    assert answer.json["needs"]["memory_mb"] > 50
    assert answer.json["needs"]["seconds"] > 0
    state = done(client, answer.json["id"])
    assert state["status"] == "done"
    assert state["needs"] == answer.json["needs"]
    assert (state["count"], state["corrected_count"], len(state["cells"])) == (2, 2, 2)
    assert (state["sample"], state["notes"], state["image"]) == ("Plate 7", "left", "Kühn 1.png")
    assert state["origin"] == "upload"
    assert state["progress"] == 1
    assert state["model"]["name"] == "fake"


def test_channel_and_plane_of_the_form_are_used(client):
    stack = np.zeros((2, 3, 120, 400), np.uint8)
    stack[1, 2] = np.asarray(Image.open(io.BytesIO(png(3))))
    data = io.BytesIO()
    metadata = {"axes": "CZYX", "Channel": {"Name": ["DAPI", "GFP"]}}
    tifffile.imwrite(data, stack, ome=True, photometric="minisblack", metadata=metadata)

    refused = hand_in(client, data.getvalue(), "a.ome.tif")
    state = counted(client, data.getvalue(), channel="GFP", z=3)

    assert refused.status_code == 400
    assert "1 DAPI, 2 GFP" in refused.get_data(as_text=True)
    assert state["count"] == 3
    assert state["taken"]["channel"] == "GFP"
    assert state["taken"]["plane"] == "z 3 of 3"
    assert hand_in(client, data.getvalue(), z=0).status_code in (400, 422)


def test_settings_of_the_form_are_used(client):
    state = counted(client, threshold="0.9", min_area_px="5", exclude_border="true")
    assert (state["threshold"], state["min_area_px"]) == (0.9, 5)
    assert state["exclude_border"] is True
    assert counted(client, cell_diameter_px="20")["cell_diameter_px"] == 20


def test_empty_fields_of_a_form_mean_nothing_was_chosen(client):
    assert counted(client, threshold="", sample="", model="")["threshold"] == 0.5


@pytest.mark.parametrize(
    ("form", "words"),
    [
        ({"threshold": "2"}, "threshold"),
        ({"threshold": "nan"}, "threshold"),
        ({"threshold": "much"}, "threshold"),
        ({"treshold": "0.5"}, "treshold"),
        ({"cell_diameter_px": "0"}, "cell diameter"),
        ({"sample": "x" * 201}, "sample name"),
        ({"model": "/etc/passwd"}, "no model called"),
        ({"exclude_border": "perhaps"}, "cells at the edge"),
    ],
)
def test_wrong_settings_are_refused_with_their_name(idle_client, form, words):
    answer = hand_in(idle_client, **form)
    assert answer.status_code == 400
    assert words in answer.json["error"].lower()
    assert idle_client.get(f"{API}/counts").json["counts"] == []


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "empty"),
        (b"hello", "not a PNG, JPEG or TIFF"),
        (png()[:60], "damaged"),
        (png(shape=(20, 400)), "at least 32x32"),
    ],
)
def test_what_is_no_image_is_refused_with_the_sentence_of_the_command_line(
    idle_client, data, words
):
    answer = hand_in(idle_client, data)
    assert answer.status_code == 400
    assert words in answer.json["error"]
    assert idle_client.get(f"{API}/counts").json["counts"] == []


def test_a_missing_image_is_named(idle_client):
    answer = idle_client.post(f"{API}/counts", data={"sample": "x"})
    assert answer.status_code == 400
    assert answer.json["error"] == "Image is missing."


def test_an_upload_above_the_limit_is_refused_before_it_is_decoded(tmp_path):
    client = create_app(make_service(tmp_path, max_upload_mb=1)).test_client()
    answer = hand_in(client, b"x" * 3_000_000)
    assert answer.status_code == 413
    assert "1 MB" in answer.json["error"]


def test_a_limit_that_is_passed_is_the_one_that_is_named(idle_client):
    texts = hand_in(idle_client, notes="n" * 250_000)
    fields = hand_in(idle_client, **{f"field{number}": "x" for number in range(30)})
    for answer in (texts, fields):
        assert answer.status_code == 413
        assert "texts beside the image" in answer.json["error"]
        assert "200 kB" in answer.json["error"]
    call = idle_client.post(f"{API}/exports", json={"ids": ["x" * 300_000], "format": "csv"})
    assert call.status_code == 413
    assert "The request is too large; at most 200 kB" in call.json["error"]


def test_a_name_with_control_characters_does_no_harm(client):
    state = counted(client, name="a\x07b\x1b[2J.png")
    assert state["image"].isprintable()
    assert client.get(f"{API}/counts/{state['id']}/image").status_code == 200


def test_sending_again_with_the_same_key_counts_once(client):
    headers = {"Idempotency-Key": "run-7"}
    first, second = hand_in(client, headers=headers), hand_in(client, headers=headers)
    assert first.json["id"] == second.json["id"]
    other = hand_in(client, png(3), headers=headers)
    assert other.status_code == 409
    assert "another image" in other.json["error"]
    assert len(client.get(f"{API}/counts").json["counts"]) == 1


def test_a_full_queue_says_so_and_when_to_come_again(tmp_path):
    settings = with_storage(make_settings(tmp_path), max_queue=1)
    service = Service(settings, load_segmenter=lambda model: FakeSegmenter())
    client = create_app(service).test_client()
    assert hand_in(client).status_code == 202
    answer = hand_in(client)
    assert answer.status_code == 503
    assert "nothing was accepted" in answer.json["error"]
    assert answer.headers["Retry-After"]


def test_a_full_disk_says_so_with_figures_and_problems_name_it(tmp_path):
    settings = with_storage(make_settings(tmp_path), refuse_free_mb=10**9)
    service = Service(settings, load_segmenter=lambda model: FakeSegmenter())
    client = create_app(service).test_client()
    answer = hand_in(client)
    assert answer.status_code == 507
    assert "MB free" in answer.json["error"]
    status = client.get(f"{API}/status").json
    assert [problem["code"] for problem in status["problems"]] == ["disk"]
    assert status["disk"]["level"] == "refuse"


def test_damaged_settings_bring_up_the_page_but_count_nothing(tmp_path):
    service = Service(
        make_settings(tmp_path),
        settings_problem="The settings file x cannot be used.",
        load_segmenter=lambda model: FakeSegmenter(),
    )
    client = create_app(service).test_client()
    assert client.get("/").status_code == 200
    answer = hand_in(client)
    assert answer.status_code == 503
    assert "settings file x" in answer.json["error"]
    assert client.get(f"{API}/counts").status_code == 200
    problems = client.get(f"{API}/status").json["problems"]
    assert problems[0]["code"] == "settings"


def test_a_damaged_model_brings_up_the_page_and_is_named(tmp_path):
    def damaged(model):
        raise ModelError("The model is damaged; restore it.")

    service = Service(make_settings(tmp_path), load_segmenter=damaged)
    service.start()
    try:
        client = create_app(service).test_client()
        assert client.get("/").status_code == 200
        answer = hand_in(client)
        assert answer.status_code == 503
        assert "restore it" in answer.json["error"]
        status = client.get(f"{API}/status").json
        assert status["model"] is None
        assert "model" in [problem["code"] for problem in status["problems"]]
    finally:
        service.stop()


def test_a_model_that_was_mended_is_found_without_a_restart(tmp_path):
    answers = [ModelError("The model is damaged; restore it.")]

    def mended(model):
        if answers:
            raise answers.pop()
        return FakeSegmenter()

    service = Service(make_settings(tmp_path), load_segmenter=mended)
    service.start()
    try:
        client = create_app(service).test_client()
        client.get(f"{API}/status")
        assert "model" not in [
            each["code"] for each in client.get(f"{API}/status").json["problems"]
        ]
        assert counted(client)["status"] == "done"
    finally:
        service.stop()


FILES = [
    ("overlay.jpg", "image/jpeg", b"\xff\xd8"),
    ("overlay.png", "image/png", b"\x89PNG"),
    ("outlines.png", "image/png", b"\x89PNG"),
    ("image", "image/png", b"\x89PNG"),
    ("image.jpg", "image/jpeg", b"\xff\xd8"),
    ("thumbnail.jpg", "image/jpeg", b"\xff\xd8"),
    ("probability.png", "image/png", b"\x89PNG"),
    ("cells.csv", "text/csv", b"image,id"),
    ("labels.tiff", "image/tiff", b"II"),
    ("rois.zip", "application/zip", b"PK"),
    ("cells.geojson", "application/geo+json", b"{"),
]


def test_every_file_of_a_count(client):
    state = counted(client)
    for name, media, start in FILES:
        answer = client.get(f"{API}/counts/{state['id']}/{name}")
        assert (answer.status_code, answer.mimetype) == (200, media)
        assert answer.data.startswith(start)
        missing = client.get(f"{API}/counts/nothing/{name}")
        assert missing.status_code == 404
        assert "no count nothing" in missing.json["error"]


def test_the_image_comes_back_byte_for_byte(client):
    data = png(3)
    state = counted(client, data, name="ünïcode 7.png")
    answer = client.get(f"{API}/counts/{state['id']}/image")
    assert answer.data == data


def test_files_of_an_unfinished_count_are_a_conflict_but_its_image_can_be_seen(idle_client):
    count_id = hand_in(idle_client).json["id"]
    for name in ("overlay.jpg", "cells.csv", "thumbnail.jpg", "relabel"):
        answer = idle_client.get(f"{API}/counts/{count_id}/{name}")
        assert answer.status_code == 409
        assert "queued" in answer.json["error"]
    picture = idle_client.get(f"{API}/counts/{count_id}/image.jpg")
    assert Image.open(io.BytesIO(picture.data)).size == (400, 120)


def test_relabelling_previews_without_storing_then_stores(client):
    state = counted(client, png(2, shade=180))
    address = f"{API}/counts/{state['id']}"
    preview = client.get(f"{address}/relabel?threshold=0.9")
    assert preview.json["count"] == 0
    assert client.get(address).json["count"] == 2
    shown = client.get(f"{address}/outlines.png?threshold=0.9").data
    assert Image.open(io.BytesIO(shown)).convert("RGBA").getbbox() is None
    stored = client.post(f"{address}/relabel", json={"threshold": 0.9})
    assert stored.status_code == 200
    assert (stored.json["count"], stored.json["revision"]) == (0, 2)
    after = client.get(address).json
    assert (after["count"], after["corrected_count"], after["threshold"]) == (0, 0, 0.9)
    assert client.get(f"{address}/overlay.jpg").status_code == 200
    assert client.get(f"{API}/counts").json["counts"][0]["count"] == 0


def test_relabelling_as_it_was_gives_the_same_result(client):
    state = counted(client)
    again = client.get(f"{API}/counts/{state['id']}/relabel").json
    measured = {"seconds", "versions"}  # of the run, not of the image
    for field in set(again) - measured:
        assert again[field] == state[field], field


def test_corrections_are_logged_and_undone(client):
    address = f"{API}/counts/{counted(client)['id']}"

    def correct(**body):
        return client.post(f"{address}/corrections", json=body)

    assert correct(action="add", x=5, y=6, who="Ada").json["corrected_count"] == 3
    removed = correct(action="remove", cell_id=1, who="Ben").json
    assert removed["corrected_count"] == 2
    assert [each["who"] for each in removed["corrections"]] == ["Ada", "Ben"]
    assert correct(action="undo").json["corrected_count"] == 3
    state = client.get(address).json
    assert (state["count"], state["corrected_count"]) == (2, 3)
    assert [each["undone"] for each in state["corrections"]] == [False, True]
    assert len(client.get(f"{address}/cells.csv").text.splitlines()) == 1 + 3
    assert correct(action="add", x=-1, y=0).status_code == 400
    assert correct(action="add").status_code == 400
    assert correct(action="remove", cell_id=77).status_code == 400
    assert correct(action="invent").status_code == 400
    refused = client.post(f"{address}/relabel", json={"threshold": 0.3})
    assert refused.status_code == 409
    assert "corrections by hand" in refused.json["error"]


def test_exports_apply_corrections(client):
    state = counted(client)
    address = f"{API}/counts/{state['id']}"
    client.post(f"{address}/corrections", json={"action": "remove", "cell_id": 1})
    labels = tifffile.imread(io.BytesIO(client.get(f"{address}/labels.tiff").data))
    assert set(labels.ravel()) == {0, 2}


def test_history_filters_pages_and_edits(idle_client):
    ids = [hand_in(idle_client, sample=f"s{number % 2}").json["id"] for number in range(5)]
    page = idle_client.get(f"{API}/counts?limit=3").json
    assert [each["id"] for each in page["counts"]] == ids[:1:-1]
    rest = idle_client.get(f"{API}/counts?limit=3&before={page['next_before']}").json
    assert [each["id"] for each in rest["counts"]] == ids[1::-1]
    assert rest["next_before"] is None
    assert len(idle_client.get(f"{API}/counts?sample=s1").json["counts"]) == 2
    assert idle_client.get(f"{API}/samples").json == {"samples": ["s0", "s1"]}
    edited = idle_client.patch(f"{API}/counts/{ids[0]}", json={"keep": True, "notes": "n"})
    assert (edited.json["keep"], edited.json["notes"], edited.json["sample"]) == (True, "n", "s0")
    assert len(idle_client.get(f"{API}/counts?kept=true").json["counts"]) == 1
    assert idle_client.delete(f"{API}/counts/{ids[0]}").status_code == 409
    assert idle_client.delete(f"{API}/counts/{ids[1]}").status_code == 204
    assert idle_client.get(f"{API}/counts/{ids[1]}").status_code == 404
    assert idle_client.patch(f"{API}/counts/{ids[0]}", json={}).status_code == 400
    assert idle_client.patch(f"{API}/counts/{ids[0]}", json={"sample": "\ud800"}).status_code == 400


@pytest.mark.parametrize(
    ("query", "number"),
    [
        ("since=2020-01-01", 1),
        ("since=2999-01-01", 0),
        ("until=2020-01-01T00:00:00Z", 0),
        ("until=2999-01-01T00:00:00%2B02:00", 1),
        ("status=queued", 1),
        ("status=done", 0),
        ("origin=watch", 0),
    ],
)
def test_history_by_time_status_and_origin(idle_client, query, number):
    hand_in(idle_client)
    assert len(idle_client.get(f"{API}/counts?{query}").json["counts"]) == number


@pytest.mark.parametrize(
    "query", ["since=yesterday", "limit=0", "limit=x", "before=-1", "status=odd", "smaple=x"]
)
def test_wrong_queries_are_refused(idle_client, query):
    assert idle_client.get(f"{API}/counts?{query}").status_code == 400


def test_the_table_has_a_line_for_every_done_count_zero_included(client):
    counted(client, png(3))
    counted(client, png(0, shade=0))
    rows = list(csv.DictReader(io.StringIO(client.get(f"{API}/counts.csv").text)))
    assert [row["count"] for row in rows] == ["3", "0"]


def test_exports_of_chosen_counts(client):
    states = [counted(client, png(number)) for number in (1, 2)]
    ids = [state["id"] for state in states]
    table = client.post(f"{API}/exports", json={"ids": ids[:1], "format": "csv"})
    assert len(table.text.splitlines()) == 2
    answer = client.post(f"{API}/exports", json={"ids": ids, "format": "zip"})
    archive = zipfile.ZipFile(io.BytesIO(answer.data))
    assert archive.testzip() is None
    names = archive.namelist()
    assert len([name for name in names if name.endswith("/cells.csv")]) == 2
    assert len([name for name in names if name.endswith("/original.png")]) == 2
    assert len(archive.read("counts.csv").splitlines()) == 3
    wrong = client.post(f"{API}/exports", json={"ids": ["nothing"], "format": "csv"})
    assert wrong.status_code == 404


def test_a_waiting_count_is_cancelled_and_counted_again(tmp_path):
    service = make_service(tmp_path)
    client = create_app(service).test_client()
    count_id = hand_in(client).json["id"]
    assert client.post(f"{API}/counts/{count_id}/cancel").json["status"] == "cancelled"
    assert client.post(f"{API}/counts/{count_id}/cancel").status_code == 409
    assert client.post(f"{API}/counts/{count_id}/retry").status_code == 202
    service.start()
    try:
        assert done(client, count_id)["count"] == 2
    finally:
        service.stop()


def test_capture_and_count(client):
    wait_for(lambda: client.get(f"{API}/camera").json["state"] == "ready")
    answer = client.post(f"{API}/captures", json={"sample": "dish"})
    assert answer.status_code == 202
    state = done(client, answer.json["id"])
    assert (state["origin"], state["sample"]) == ("capture", "dish")
    assert state["capture"]["exposure_s"] == pytest.approx(0.001)
    assert state["capture"]["true_count"] > 0
    assert (state["width"], state["height"]) == (320, 240)


def test_camera_controls_and_preview(client):
    wait_for(lambda: client.get(f"{API}/camera").json["state"] == "ready")
    changed = client.patch(f"{API}/camera", json={"exposure_s": 0.002, "average_frames": 2})
    assert changed.status_code == 200
    assert changed.json["exposure_s"] == pytest.approx(0.002)
    preview = wait_for(
        lambda: (found := client.get(f"{API}/camera/preview.jpg")).status_code == 200 and found
    )
    assert preview.data.startswith(b"\xff\xd8")
    assert client.patch(f"{API}/camera", json={"exposure_s": 1e5}).status_code == 400
    assert client.patch(f"{API}/camera", json={"gian": 1}).status_code == 400
    assert client.patch(f"{API}/camera", json={}).status_code == 400


def test_without_a_camera_captures_are_refused_and_uploads_still_work(tmp_path):
    settings = make_settings(tmp_path)
    settings = Settings(storage=settings.storage, camera=CameraSettings(kind="none"))
    service = Service(settings, load_segmenter=lambda model: FakeSegmenter())
    service.start()
    try:
        client = create_app(service).test_client()
        answer = client.post(f"{API}/captures", json={})
        assert answer.status_code == 503
        assert "camera" in answer.json["error"].lower()
        assert client.get(f"{API}/camera/preview.jpg").status_code == 503
        assert client.get(f"{API}/camera").json["state"] == "none"
        assert counted(client)["count"] == 2
    finally:
        service.stop()


@pytest.mark.parametrize(
    ("error", "status"), [(CameraBusyError("Busy."), 409), (CameraLostError("Lost."), 503)]
)
def test_a_camera_that_fails_is_said_with_its_sentence(tmp_path, monkeypatch, error, status):
    service = make_service(tmp_path)

    def failing():
        raise error

    monkeypatch.setattr(service.camera, "capture", failing)
    answer = create_app(service).test_client().post(f"{API}/captures", json={})
    assert (answer.status_code, answer.json["error"]) == (status, str(error))
    assert service.store.counts.search() == []


def test_nothing_is_exposed_when_nothing_can_be_kept(tmp_path, monkeypatch):
    settings = with_storage(make_settings(tmp_path), refuse_free_mb=10**9)
    service = Service(settings, load_segmenter=lambda model: FakeSegmenter())
    exposed = []
    monkeypatch.setattr(service.camera, "capture", lambda: exposed.append(1))
    answer = create_app(service).test_client().post(f"{API}/captures", json={})
    assert answer.status_code == 507
    assert exposed == []


def test_status_tells_what_the_page_needs(client):
    status = client.get(f"{API}/status").json
    assert status["model"]["name"] == "fake"
    assert status["limits"]["formats"]
    assert status["queue"]["max"] == 200
    assert status["camera"]["kind"] == "simulated"
    assert status["device_time"][:2] == "20"
    assert status["problems"] == []


def test_unknown_addresses_and_methods(client):
    assert client.get(f"{API}/nothing").json["error"]
    answer = client.put(f"{API}/counts")
    assert answer.status_code == 405
    assert "GET" in answer.headers["Allow"]
    assert answer.json["error"]


CHROME = (
    "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,image/apng,*/*;q=0.8,"
    "application/signed-exchange;v=b3;q=0.7"
)


@pytest.mark.parametrize(
    ("accept", "kind"),
    [("text/html", "text/html"), (CHROME, "text/html"), ("*/*", "application/json")],
)
def test_people_get_a_page_and_scripts_get_json(client, accept, kind):
    answer = client.get("/nothing", headers={"Accept": accept})
    assert answer.status_code == 404
    assert answer.mimetype == kind


def test_a_bug_is_logged_and_told_without_details(client, monkeypatch, caplog):
    def broken(*_, **__):
        raise RuntimeError("secret detail")

    monkeypatch.setattr(client.application.extensions["fluocount"].store.counts, "search", broken)
    answer = client.get(f"{API}/counts")
    assert answer.status_code == 500
    assert "secret detail" not in answer.get_data(as_text=True)
    assert "secret detail" in caplog.text


def test_viewers_of_a_slow_exposure_leave_threads_for_others(tmp_path, monkeypatch):
    service = make_service(tmp_path, threads=4)
    app = create_app(service)
    waits, release = [], threading.Event()

    def preview_jpeg(wait_s):
        waits.append(wait_s)
        if wait_s:
            release.wait(20)
        raise CameraBusyError("The picture is still being exposed (60 s); ask again.")

    monkeypatch.setattr(service.camera, "preview_jpeg", preview_jpeg)
    address = f"{API}/camera/preview.jpg"
    viewers = [threading.Thread(target=app.test_client().get, args=(address,)) for _ in range(2)]
    for viewer in viewers:
        viewer.start()
    wait_for(lambda: len(waits) == 2)
    begin_s = time.monotonic()
    answer = app.test_client().get(address)
    assert answer.status_code == 409
    assert time.monotonic() - begin_s < 10
    assert [bool(wait_s) for wait_s in waits] == [True, True, False]
    release.set()
    for viewer in viewers:
        viewer.join()
