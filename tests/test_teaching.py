"""Teaching: better on frames left out, or nothing is offered; every refusal is a sentence."""

import io

import numpy as np
import pytest
from appliance import make_settings, wait_for
from conftest import FakeSegmenter, draw_discs, make_card, make_confidence
from PIL import Image

from device.assays.evidence import Known
from device.assays.teaching import LEAST_FRAMES
from device.batch.replay import past_of_count, replay
from device.counting.assay import Assay
from device.counting.confidence.flags import model_flags
from device.counting.pipeline import count_frame
from device.counting.records import CountSettings, settings_of
from device.errors import ConflictError, InputError
from device.imageio import decode_frame
from device.jobs.intake import CountOptions
from device.jobs.teaching import judge_before
from device.service import Service
from device.store.records import Edit
from device.store.studies import Study
from device.web import create_app


def frame(seed):
    """Six bright cells, and six dim ones that a person would not count; (png, dim places)."""
    random = np.random.default_rng(seed)
    places = [(40 + 70 * column, 40 + 70 * row) for row in range(2) for column in range(6)]
    random.shuffle(places)
    pixels = random.integers(0, 10, (150, 460)).astype(np.uint8)
    for number, (x, y) in enumerate(places):
        level = random.integers(200, 256) if number < 6 else random.integers(140, 170)
        disc = draw_discs(pixels.shape, [(x, y, 37)])
        pixels = np.maximum(pixels, (disc.astype(float) / 255 * level).astype(np.uint8))
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    return stream.getvalue(), places[6:]


def test_what_was_promised_before_is_what_the_count_said():
    image = decode_frame(frame(1)[0], "a.png")
    confidence = make_confidence(frame_sd=0.6, count_sd=0.4, count_slope=0.5)
    segmenter = FakeSegmenter(card=make_card(confidence=confidence))
    counted = count_frame(image, segmenter, CountSettings())
    known = Known(
        name="a.png",
        fold=0,
        frame=image,
        probability=counted.probability,
        settings=settings_of(counted.result),
        targets=np.zeros((0, 2)),
        radius_px=10.0,
    )
    assay = Assay(name="mine", model="fast")
    count, _, low, high = judge_before(known, segmenter.card, assay)
    assert (count, (low, high)) == (counted.result.count, counted.result.interval)
    assert high - low > count / 2


@pytest.fixture
def service(tmp_path):
    service = Service(make_settings(tmp_path / "data"), load_segmenter=lambda _: FakeSegmenter())
    service.counter.worker.start()
    service.store.assays.save(Assay(name="mine", model="fast"), "ann")
    yield service
    service.stop()


def count(service, data, name="a.png", **options):
    row = service.counter.intake.accept(
        data, name, "upload", CountOptions(**{"assay": "mine"} | options)
    )
    wait_for(lambda: service.store.counts.get(row.id).status == "done")
    return row.id


def remove_at(service, count_id, places):
    result = service.store.result(count_id)
    for x, y in places:
        nearest = min(result.cells, key=lambda cell: np.hypot(cell.x - x, cell.y - y))
        service.store.corrections.remove(count_id, result, nearest.id, "ann")


def corrected(service, seeds, **options):
    ids = []
    for seed in seeds:
        data, dim = frame(seed)
        count_id = count(service, data, f"{seed}.png", **options)
        remove_at(service, count_id, dim)
        ids.append(count_id)
    return ids


def test_a_taught_assay_counts_the_next_frame_as_a_person_would(service):
    corrected(service, range(6))
    lesson = service.counter.teacher.lesson("mine")
    assert lesson.better
    assert lesson.after.f1 > 0.95 > lesson.before.f1
    assert lesson.after.mean_error < 1 < lesson.before.mean_error
    assert {one.before for one in lesson.frames} == {12}
    assert service.store.assays.get("mine").version == 1  # nothing is saved unasked
    service.store.assays.save(lesson.proposed, "ann")
    data, _ = frame(99)
    new = count(service, data, "99.png")
    assert abs(service.store.result(new).count - 6) <= 1
    assert replay(past_of_count(service.store, new), FakeSegmenter()).same
    assert service.store.result(new).assay.taught.frames == 6


def test_where_nothing_can_be_gained_nothing_is_offered(service):
    ids = [count(service, frame(seed)[0], f"{seed}.png") for seed in range(5)]
    lesson = service.counter.teacher.lesson("mine", ids)  # looked through, nothing to correct
    assert not lesson.better
    assert lesson.proposed is None
    assert "does not help" in lesson.text


def test_images_marked_as_reviewed_teach_without_a_correction(service):
    corrected(service, range(4))
    right = count(service, frame(9)[0], "9.png")
    with pytest.raises(InputError, match="at least 5"):
        service.counter.teacher.lesson("mine")
    service.store.counts.edit(right, Edit(reviewed_by="ann"))
    assert len(service.counter.teacher.lesson("mine").frames) == 5


def test_too_few_frames_get_a_sentence(service):
    corrected(service, range(LEAST_FRAMES - 1))
    with pytest.raises(InputError, match="at least 5"):
        service.counter.teacher.lesson("mine")


def test_one_image_counted_five_times_is_one_image(service):
    data, dim = frame(0)
    ids = [count(service, data, "a.png") for _ in range(5)]
    for count_id in ids:
        remove_at(service, count_id, dim)
    with pytest.raises(InputError, match="only 1 images"):
        service.counter.teacher.lesson("mine", ids)


def test_contradictions_get_a_sentence(service):
    ids = corrected(service, range(5))
    store, result = service.store, service.store.result(ids[0])
    gone = store.corrections.of(ids[0])[0]
    store.corrections.add(ids[0], result, gone.x + 2, gone.y, "bob")
    with pytest.raises(InputError, match="at the same place"):
        service.counter.teacher.lesson("mine")
    store.corrections.undo(ids[0], "bob")
    other = count(service, frame(0)[0], "again.png")  # the same image, looked at otherwise
    with pytest.raises(InputError, match="corrected differently"):
        service.counter.teacher.lesson("mine", [*ids, other])


def test_assays_and_models_are_not_mixed(service):
    ids = corrected(service, range(4))
    foreign = corrected(service, [7], assay="default")
    with pytest.raises(InputError, match="not mixed"):
        service.counter.teacher.lesson("mine", [*ids, *foreign])
    corrected(service, [8])
    service.segmenters._cards.clear()
    another = FakeSegmenter(make_card(sha256="1" * 64))
    service.segmenters._open = dict.fromkeys(service.segmenters._open, another)
    with pytest.raises(ConflictError, match="model"):
        service.counter.teacher.lesson("mine")


def test_teaching_during_a_blinded_review_stands_in_its_log(service):
    ids, store = corrected(service, range(5)), service.store
    store.studies.save(Study(name="torpor"))
    review = store.reviews.create("torpor", ("Anna",), {ids[0]: ""}, {"": 1}, 1)
    create_app(service).test_client().post("/api/v1/assays/mine/teach", json={})
    opened = [line for line in store.reviews.log(review.id) if line.what == "opened"]
    assert [one.detail["image"] for one in opened] == list(review.keys)


def test_the_page_teaches_and_a_person_accepts(service):
    corrected(service, range(5))
    client = create_app(service).test_client()
    answer = client.post("/api/v1/assays/mine/teach", json={})
    assert answer.status_code == 200, answer.json
    assert answer.json["better"]
    saved = client.post("/api/v1/assays", json={"assay": answer.json["proposed"], "who": "ann"})
    assert saved.json["version"] == 2
    assert client.post("/api/v1/assays/nobody/teach", json={}).status_code == 404
    back = client.post("/api/v1/assays/mine/restore", json={"version": 1})
    assert back.json["taught"] is None


@pytest.mark.parametrize(
    ("coverage", "codes"), [(0.3, ["unreliable_interval"]), (0.9, []), (None, [])]
)
def test_intervals_that_failed_when_they_were_tested_are_flagged(coverage, codes):
    card = make_card(confidence=make_confidence(coverage=coverage))
    assert [flag.code for flag in model_flags(card)] == codes
