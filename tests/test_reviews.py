"""Blinded reviews: nothing leaks, nothing is changed unseen, and what was agreed becomes corrections."""

import io
import json
import sqlite3

import numpy as np
import pytest
from appliance import wait_for
from hypothesis import given
from hypothesis import strategies as st
from studied import all_done, make_study, started

from device.errors import ConflictError, InputError
from device.jobs.intake import CountOptions
from device.jobs.recounting import Again
from device.store.protocols import ConstraintError
from device.studies.consensus import agree, shared_marks
from device.studies.reviewing import AUTOMATIC, begin_review, error_sd, review_result
from device.studies.sampling import draw_images, expected_sd, sample_size, shares
from device.studies.values import image_lines
from device.web import create_app
from device.web.api.openings import LISTS

pytestmark = pytest.mark.usefixtures("each_database")

CELLS = {
    (group, f"{group}-animal-{n}", str(part)): 3 + n + 2 * part + (group == "torpid")
    for group in ("awake", "torpid")
    for n in range(2)
    for part in range(2)
}


@pytest.fixture(scope="module")
def lab(tmp_path_factory, each_database):
    service = started(tmp_path_factory.mktemp("lab"))
    make_study(service, CELLS, groups=("awake", "torpid"))
    yield service
    service.stop()


@pytest.fixture
def store(lab):
    return lab.require_store()


@pytest.fixture
def client(lab):
    return create_app(lab).test_client()


def cells_of(store, count_id: str) -> tuple[tuple[float, float], ...]:
    return tuple((cell.x, cell.y) for cell in store.result(count_id).cells)


def mark_all(store, review, observer: str, change=lambda points: points) -> None:
    for key in review.order(observer):
        points = change(cells_of(store, review.keys[key]))
        store.reviews.save_marks(review.id, key, observer, points, done=True)


def opened_in(store, review) -> list[str]:
    """The images, by key, whose counts stand in the log as opened; an empty key stands for a list."""
    return [line.detail["image"] for line in store.reviews.log(review.id) if line.what == "opened"]


def finished_review(store, *observers: str, change=lambda points: points, **drawn):
    review = begin_review(store, "torpor", observers, seed=1, **drawn)
    for place, observer in enumerate(observers):
        mark_all(store, review, observer, change if place else lambda points: points)
    store.reviews.finish(review.id, "lead")
    return review


@pytest.mark.sqlite
def test_a_review_through_the_interface_leaks_neither_name_nor_group_nor_count(store, client):
    lines = image_lines(store, "torpor")
    said = []

    def call(method: str, path: str, **options):
        answer = client.open(path, method=method, **options)
        assert answer.status_code == 200, answer.text
        said.append((path, dict(answer.headers), answer.data))
        return answer

    wish = {"observers": ["Anna", "Ben"], "number": 6}
    made = client.post("/api/v1/studies/torpor/reviews", json=wish).json
    path = f"/api/v1/reviews/{made['id']}"
    call("GET", f"/reviews/{made['id']}")
    orders = {observer: review_all(call, path, observer) for observer in ("Anna", "Ben")}
    assert orders["Anna"] != orders["Ben"]
    assert sorted(orders["Anna"]) == sorted(orders["Ben"])
    secrets = {"torpor", "awake", "torpid", "animal", "image.png", AUTOMATIC}
    secrets |= {text for line in lines for text in (line.image, line.count_id, line.image_sha256)}
    for where, headers, data in said:
        text = json.dumps(headers) + data.decode("latin-1")
        assert not [secret for secret in secrets if secret in text], where
        if headers["Content-Type"] == "application/json":
            assert not set(keys_of(json.loads(data))) & {"count", "interval", "flags", "place"}, (
                where
            )
    closed = ("results", "agreement.svg", f"agreed/{orders['Anna'][0]}")
    assert [client.get(f"{path}/{part}").status_code for part in closed] == [409] * 3
    assert client.post(f"{path}/finish", json={"who": "lead"}).json["finished"]
    assert client.get(f"{path}/results").status_code == 200


def review_all(call, path: str, observer: str) -> list[str]:
    """What a browser asks while an observer marks every image; the keys in the order in which they came."""
    call("POST", f"{path}/steps", json={"observer": observer, "what": "started"})
    seen = []
    while (found := call("GET", f"{path}/next?observer={observer}").json)["key"]:
        seen.append(found["key"])
        call("GET", f"{path}/images/{found['key']}.jpg")
        marks = {"image": found["key"], "observer": observer, "points": [[1.5, 2.5]]}
        for done in (False, True):
            call("POST", f"{path}/marks", json=marks | {"done": done})
        call("GET", path)
    call("POST", f"{path}/steps", json={"observer": observer, "what": "paused"})
    call("GET", f"{path}/log")
    return seen


def keys_of(value):
    if isinstance(value, dict):
        yield from value
        for inner in value.values():
            yield from keys_of(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from keys_of(inner)


def test_a_review_is_not_unblinded_before_everybody_has_finished(store, client):
    review = begin_review(store, "torpor", ("Anna", "Ben"), number=4, seed=2)
    mark_all(store, review, "Anna")
    with pytest.raises(ConflictError, match="Ben has"):
        store.reviews.finish(review.id, "lead")
    for look in (review_result, lambda store, id: shared_marks(store, id, "x")):
        with pytest.raises(ConflictError, match="blinded until"):
            look(store, review.id)
    answer = client.get(f"/api/v1/reviews/{review.id}/results")
    assert (answer.status_code, "blinded" in answer.json["error"]) == (409, True)


def test_what_is_done_does_not_change_and_a_pause_keeps_the_marks(store):
    review = begin_review(store, "torpor", ("Anna",), number=4, seed=3)
    key = review.order("Anna")[0]
    store.reviews.save_marks(review.id, key, "Anna", ((1.0, 2.0),), done=False)
    assert store.reviews.marks(review.id)[key, "Anna"].points == ((1.0, 2.0),)
    store.reviews.save_marks(review.id, key, "Anna", ((3.0, 4.0),), done=True)
    with pytest.raises(ConflictError, match="does not change"):
        store.reviews.save_marks(review.id, key, "Anna", (), done=True)
    with pytest.raises(InputError, match="no observer"):
        store.reviews.save_marks(review.id, key, "Ben", (), done=True)


@pytest.mark.sqlite
@pytest.mark.parametrize(
    ("sql", "said"),
    [
        ("UPDATE review_log SET content = replace(content, 'Anna', 'Ann') WHERE number = 2", "Line 2"),
        ("UPDATE review_log SET hash = 'x' WHERE number = 1", "Line 1"),
        ("DELETE FROM review_log WHERE number = 1", "Line 1 of the log is missing"),
        ("DELETE FROM review_log WHERE number = (SELECT MAX(number) FROM review_log)", "end was cut"),
        ("UPDATE review_marks SET points = '[]' WHERE done", "are not those in the log"),
        ("DELETE FROM review_marks", "are gone"),
        ("UPDATE reviews SET content = replace(content, 'Anna', 'Otto')", "Line 0"),
        ("UPDATE reviews SET finished = 1", "without a line in its log"),
    ],
)  # fmt: skip
def test_whatever_somebody_changes_in_the_database_shows(tmp_path, sql, said):
    service = started(tmp_path)
    try:
        make_study(service, {("a", "m1", "1"): 3, ("a", "m2", "1"): 4})
        store = service.require_store()
        review = begin_review(store, "torpor", ("Anna",), seed=3)
        mark_all(store, review, "Anna")
        assert store.reviews.faults(review.id) == []
        with sqlite3.connect(store.database.path) as tampering:
            for trigger in ("review_log_stays", "review_log_keeps"):
                tampering.execute(f"DROP TRIGGER {trigger}")
            assert tampering.execute(sql).rowcount
        assert said in " ".join(store.reviews.faults(review.id))
    finally:
        service.stop()


def test_the_log_is_not_changed_by_a_slip(store):
    begin_review(store, "torpor", ("Anna",), seed=3)
    for sql in ("UPDATE review_log SET hash = ''", "DELETE FROM review_log"):
        with pytest.raises(ConstraintError, match="never"):
            store.database.connection().execute(sql)


def test_a_count_that_is_opened_during_the_review_stands_in_its_log_once(store, client):
    review = begin_review(store, "torpor", ("Anna",), number=8, seed=5)
    count_id = next(iter(review.keys.values()))
    for address in (f"/api/v1/counts/{count_id}", f"/api/v1/counts/{count_id}", "/api/v1/counts"):
        assert client.get(address).status_code == 200
    opened = opened_in(store, review)
    key = next(key for key, known in review.keys.items() if known == count_id)
    assert opened == [key, ""]
    mark_all(store, review, "Anna")
    store.reviews.finish(review.id, "lead")
    told = " ".join(review_result(store, review.id).opened)
    assert f"opened the count of {store.counts.get(count_id).image}" in told
    client.get(f"/api/v1/counts/{count_id}")
    assert len(review_result(store, review.id).opened) == 2


@pytest.mark.sqlite
def test_who_is_sent_to_the_login_opened_nothing(store, lab):
    review = begin_review(store, "torpor", ("Anna",), number=8, seed=8)
    count_id = next(iter(review.keys.values()))
    app = create_app(lab)
    app.config["NEEDS_LOGIN"] = True
    for address in (f"/counts/{count_id}", f"/api/v1/counts/{count_id}", "/api/v1/counts"):
        assert app.test_client().get(address).status_code in (302, 401)
    assert opened_in(store, review) == []


SILENT = {
    "assays.list_assays", "assays.look_at", "assays.versions", "camera.state", "camera.preview", "studies.capturing",
    "counts.changes",  # notes the counts that it tells one by one
    "counts.samples", "instruments.list_all", "models.show_models", "objectives.list_objectives", "openapi.spec",
    "reviews.state",
    "reviews.picture", "reviews.log", "reviews.following", "status.about", "studies.list_studies",
    "reviews.of_study",
    "reviews.size", "administration.users", "administration.tokens", "upkeep.settings",
}  # fmt: skip
"""Calls that tell no count of an image."""


@pytest.mark.sqlite
def test_every_call_that_tells_counts_stands_in_the_log_of_a_blinded_review(client):
    """A new call of the interface belongs to one or the other."""
    rules = client.application.url_map.iter_rules()
    calls = {
        one.endpoint
        for one in rules
        if one.rule.startswith("/api/") and "GET" in one.methods and "count_id" not in one.arguments
    }
    assert calls - SILENT == LISTS - {"exports.export"}


def test_a_later_count_of_an_image_is_its_opening_too(lab, store, client):
    review = begin_review(store, "torpor", ("Anna",), number=8, seed=7)
    key, count_id = next(iter(review.keys.items()))
    recounter = lab.require_counter().recounter
    recounter.recount([store.counts.get(count_id)], Again(cell_diameter_px=30))
    wait_for(lambda: all_done(lab), what="the counts")
    newest = store.counts.versions(count_id)[-1]
    assert newest.id != count_id
    client.get(f"/api/v1/counts/{newest.id}")
    opened = opened_in(store, review)
    assert opened == [key]


def test_the_same_file_sent_again_is_an_opening_when_sent_and_when_opened(lab, store, client):
    review = begin_review(store, "torpor", ("Anna",), number=8, seed=9)
    key, count_id = next(iter(review.keys.items()))
    data = store.counts.original_path(store.counts.get(count_id)).read_bytes()
    again = lab.require_counter().intake.accept(data, "again.png", "upload", CountOptions())
    wait_for(lambda: all_done(lab), what="the count")
    client.get(f"/api/v1/counts/{again.id}")
    assert opened_in(store, review) == [key]
    other = begin_review(store, "torpor", ("Anna",), number=8, seed=9)
    sent = {"image": (io.BytesIO(data), "once more.png"), "threshold": "0.4"}
    answer = client.post("/api/v1/counts", data=sent)
    wait_for(lambda: all_done(lab), what="the count")
    assert answer.json["earlier"]["count"] is not None
    assert opened_in(store, other) == [
        key for key, known in other.keys.items() if known == count_id
    ]


def test_the_neighbours_of_a_count_are_opened_too(store, client):
    review = begin_review(store, "torpor", ("Anna",), number=8, seed=10)
    count_id = next(iter(review.keys.values()))
    found = client.get(f"/api/v1/counts/{count_id}/neighbours").json
    beside = {one["id"] for one in (found["previous"], found["next"]) if one}
    sha256 = {store.counts.get(one).image_sha256 for one in beside | {count_id}}
    assert set(opened_in(store, review)) == {
        key for key, known in review.keys.items() if store.counts.get(known).image_sha256 in sha256
    }
    assert len(sha256) > 1


@pytest.mark.sqlite
def test_what_a_page_asks_every_second_is_logged_where_it_tells_a_count_of_the_review(
    store, client
):
    review = begin_review(store, "torpor", ("Anna",), number=8, seed=6)
    position = client.get("/api/v1/changes").json["latest"]
    client.get(f"/api/v1/changes?since={position}")
    assert "opened" not in [line.what for line in store.reviews.log(review.id)]
    client.get("/api/v1/changes?since=0")
    assert set(opened_in(store, review)) == set(review.keys)


@pytest.mark.sqlite
def test_agreement_is_that_of_the_marks(store):
    review = finished_review(store, "Anna", "Ben", change=lambda points: points[:-1])
    found = review_result(store, review.id)
    observers, anna, ben = found.pairs
    assert (observers.first, observers.second) == ("Anna", "Ben")
    assert observers.bland_altman.mean == -1
    assert anna.second == ben.second == AUTOMATIC
    assert (anna.bland_altman.mean, anna.f1, anna.icc.value) == (0, 1, 1)
    assert ben.bland_altman.mean == 1
    total = sum(CELLS.values())
    assert ben.f1 == pytest.approx(2 * (total - 8) / (2 * total - 8))
    assert found.sentence.startswith(
        "In 8 of 8 images the automatic count was on average 0.5 cells above"
    )
    assert [one.range for one in found.images] == [1] * 8
    assert found.faults == ()


def test_a_consensus_becomes_corrections_and_a_reviewed_count(store):
    review = finished_review(
        store, "Anna", "Ben", change=lambda points: (*points[1:], (5.0, 100.0))
    )
    key = review.order("Anna")[0]
    shared = shared_marks(store, review.id, key)
    count = store.counts.get(review.keys[key]).count
    assert sorted(len(one.observers) for one in shared) == [1] * 2 + [2] * (count - 1)
    agreed = tuple((one.x, one.y) for one in shared if len(one.observers) == 2 or one.x == 5)
    assert agree(store, review.id, key, agreed, "lead") == count
    row = store.counts.get(review.keys[key])
    assert row.reviewed_by == "agreed by Anna, Ben"
    assert len(store.corrections.in_force(row.id)) == 2
    assert agree(store, review.id, key, (), "lead") == 0
    assert store.reviews.faults(review.id) == []
    assert review_result(store, review.id).pairs[1].bland_altman.mean == 0


def test_a_consensus_corrects_the_count_that_the_study_reads(store, lab):
    review = finished_review(store, "Anna", number=8)
    key = review.order("Anna")[0]
    lab.require_counter().recounter.recount(
        [store.counts.get(review.keys[key])], Again(cell_diameter_px=32)
    )
    wait_for(lambda: all_done(lab), what="the counts")
    marks = cells_of(store, review.keys[key])[1:]
    assert agree(store, review.id, key, marks, "lead") == len(marks)
    newest = store.counts.versions(
        store.counts.get(review.keys[key]).version_of or review.keys[key]
    )[-1]
    (line,) = [one for one in image_lines(store, "torpor") if one.count_id == newest.id]
    assert (line.count, line.reviewed_by) == (len(marks), "agreed by Anna")


@pytest.mark.sqlite
def test_nobody_reviews_under_the_name_of_the_automatic_count(store):
    with pytest.raises(InputError, match="name of a person"):
        begin_review(store, "torpor", ("Anna", " Automatic count"), number=8)


def test_who_marks_under_another_name_stands_in_the_log(store, lab):
    review = begin_review(store, "torpor", ("Anna",), number=8, seed=12)
    key = review.order("Anna")[0]
    bearer = {"Authorization": f"Bearer {store.access.create_token('plate reader')}"}
    client = create_app(lab, needs_login=True).test_client()
    marks = {"observer": "Anna", "image": key, "points": [[1, 2]]}
    sent = client.post(f"/api/v1/reviews/{review.id}/marks", json=marks, headers=bearer)
    assert sent.status_code == 200
    (line,) = [one for one in store.reviews.log(review.id) if one.what == "marked"]
    assert (line.who, line.detail["account"]) == ("Anna", "plate reader")
    assert store.reviews.faults(review.id) == []


@pytest.mark.sqlite
def test_the_report_holds_the_sentence_of_the_review(store):
    pytest.importorskip("statsmodels")
    from device.studies.analysis import analyse
    from device.studies.report import report_html

    review = finished_review(store, "Anna")
    html = report_html(store, analyse(store, "torpor"))
    assert review_result(store, review.id).sentence in html


@given(sd=st.floats(0.1, 20), precision=st.floats(0.1, 10), images=st.integers(1, 400))
def test_more_precision_needs_no_fewer_images_and_never_more_than_there_are(sd, precision, images):
    needed = sample_size(sd, precision, images)
    assert min(5, images) <= needed <= images
    assert sample_size(sd, precision / 2, images) >= needed


def test_a_sample_of_the_said_size_is_as_precise_as_wished():
    generator = np.random.default_rng(1)
    errors = generator.normal(0.5, 3, 400)
    needed = sample_size(3, 0.8, 400)
    means = [generator.choice(errors, needed, replace=False).mean() for _ in range(500)]
    within = np.mean(np.abs(np.array(means) - errors.mean()) <= 0.8)
    assert within == pytest.approx(0.95, abs=0.03)


@given(sizes=st.lists(st.integers(1, 200), min_size=1, max_size=6), number=st.integers(1, 300))
def test_every_stratum_has_its_share_and_none_is_missed(sizes, number):
    of = {str(place): size for place, size in enumerate(sizes)}
    given = shares(of, number)
    assert sum(given.values()) == min(max(number, len(of)), sum(sizes))
    assert all(1 <= given[name] <= of[name] for name in of)


def test_the_draw_is_random_and_the_same_for_one_seed(store):
    lines = image_lines(store, "torpor")
    one, again, *others = (draw_images(lines, 5, seed).strata for seed in (1, *range(1, 12)))
    assert one == again
    assert any(other != one for other in others)
    assert len(one) == 5
    assert expected_sd(lines) > 0
    assert error_sd(store, "torpor") >= 0
    with pytest.raises(InputError, match="no counted image"):
        draw_images([], 5, 1)


def test_what_was_reviewed_stays_whole(tmp_path):
    from device.store import Edit

    service = started(tmp_path)
    try:
        make_study(service, {("a", "m1", "1"): 3})
        store = service.require_store()
        begin_review(store, "torpor", ("Anna",), seed=1)
        with pytest.raises(ConflictError, match="never deleted"):
            store.studies.remove("torpor")
        (image,) = store.studies.images("torpor")
        store.studies.take_out("torpor", [image.row.id])
        store.counts.edit(image.row.id, Edit(keep=False))
        with pytest.raises(ConflictError, match="part of a blinded review"):
            store.counts.delete(image.row.id)
    finally:
        service.stop()
