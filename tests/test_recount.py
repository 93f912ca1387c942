"""An image is counted again beside its old count; corrections are kept; nobody counts it twice."""

import msgspec
from appliance import make_service, png, wait_for
from hypothesis import given
from hypothesis import strategies as st

from device.batch.replay import past_of_count, replay
from device.counting.assay import Assay
from device.counting.records import Cell, CountResult
from device.export.stored import counts_lines
from device.jobs.intake import CountOptions
from device.jobs.recounting import Again, carry_marks
from device.store import Filter
from device.store.records import Correction
from device.store.studies import Place, Study
from device.web import create_app
from device.web.records import CountState


def count(service, cells=3, **options):
    row = service.counter.intake.accept(png(cells), "a.png", "upload", CountOptions(**options))
    return finished(service, row.id)


def finished(service, count_id):
    wait_for(lambda: service.store.counts.get(count_id).status == "done")
    return service.store.counts.get(count_id)


def again(service, rows, **otherwise):
    done = service.counter.recounter.recount(rows, Again(**otherwise))
    assert done.problems == ()
    return [finished(service, row.id) for row in done.accepted]


def test_the_new_count_stands_beside_the_old_one(service):
    store = service.store
    store.assays.save(Assay(name="strict", threshold=0.8), "ann")
    old = count(service, sample="m1", notes="n")
    before = store.product(old.id, "result.json").read_bytes()
    (new,) = again(service, [old], assay="strict", cell_diameter_px=30.0)
    assert store.product(old.id, "result.json").read_bytes() == before
    assert (new.version_of, new.sample, new.notes, new.image) == (old.id, "m1", "n", "a.png")
    result = store.result(new.id)
    assert (result.assay.name, result.threshold, result.cell_diameter_px) == ("strict", 0.8, 30.0)
    (third,) = again(service, [new])
    assert third.version_of == old.id
    assert store.result(third.id).cell_diameter_px == 30.0
    assert replay(past_of_count(store, new.id), service.segmenters.get("fast")).same


def test_every_image_of_a_sample_is_counted_again_once(service):
    first, second = count(service, sample="m1"), count(service, cells=2, sample="m1")
    count(service, cells=4, sample="other")
    again(service, [first], cell_diameter_px=30.0)
    rows = service.counter.recounter.of_sample("m1")
    assert len(rows) == 2
    assert second.id in [row.id for row in rows]
    assert first.id not in [row.id for row in rows]


def test_tables_and_lists_hold_an_image_once(service):
    old = count(service)
    (new,) = again(service, [old], cell_diameter_px=30.0)
    client = create_app(service).test_client()
    assert [one["id"] for one in client.get("/api/v1/counts").json["counts"]] == [new.id]
    every = client.get("/api/v1/counts?versions=all").json["counts"]
    assert [one["id"] for one in every] == [new.id, old.id]
    assert len(client.get("/api/v1/counts.csv").data.splitlines()) == 2
    versions = client.get(f"/api/v1/counts/{old.id}").json["recounts"]
    assert [one["id"] for one in versions] == [old.id, new.id]
    service.store.counts.delete(new.id)  # then the old one is the newest again
    assert [one["id"] for one in client.get("/api/v1/counts").json["counts"]] == [old.id]
    assert len(list(counts_lines(service.store, service.store.counts.search(Filter())))) == 1


def test_a_waiting_version_hides_nothing(tmp_path):
    service = make_service(tmp_path / "data")  # no worker
    row = service.counter.intake.accept(png(2), "a.png", "upload")
    service.counter.intake.accept(
        png(2), "a.png", "upload", CountOptions(version_of=row.id, assay="default")
    )
    assert len(service.store.counts.search(Filter(newest=True))) == 2
    service.stop()


def test_corrections_are_kept(service):
    store = service.store
    old = count(service)
    result = store.result(old.id)
    store.corrections.add(old.id, result, 350.0, 100.0, "ann")
    store.corrections.remove(old.id, result, 1, "bob")
    (new,) = again(service, [old], cell_diameter_px=36.0)
    assert (new.count, new.corrected_count) == (3, 3)
    assert {(one.action, one.who) for one in store.corrections.of(new.id)} == {
        ("add", "ann"),
        ("remove", "bob"),
    }
    assert store.counts.get(old.id).corrected_count == 3


def cell(number, x, y):
    return Cell(
        id=number, x=x, y=y, area_px=700, equivalent_diameter_px=30.0, bbox=(0, 0, 1, 1),
        mean_intensity=(1.0,), max_intensity=(1.0,), score=1.0, probability=1.0,
    )  # fmt: skip


def correction(action, x, y):
    return Correction(
        id=1, count_id="a", action=action, x=x, y=y, cell_id=9, who="ann", created_s=0.0,
        undone_by=None, undone_s=None,
    )  # fmt: skip


class _Result(msgspec.Struct):
    cells: tuple[Cell, ...]
    doubtful: tuple[Cell, ...] = ()
    cell_diameter_px: float = 30.0


@given(st.lists(st.tuples(st.sampled_from(["add", "remove"]), st.integers(0, 9)), max_size=12))
def test_no_cell_is_removed_twice_and_no_id_is_used_twice(log):
    result = _Result(tuple(cell(n + 1, 100.0 * n, 0.0) for n in range(0, 10, 2)))
    marks = carry_marks([correction(action, 100.0 * n, 3.0) for action, n in log], result)
    ids = [mark.cell_id for mark in marks]
    assert len(ids) == len(set(ids))
    assert {mark.cell_id for mark in marks if mark.action == "remove"} <= {
        one.id for one in result.cells
    }
    assert all(mark.cell_id > 9 for mark in marks if mark.action == "add")


def test_a_cell_added_by_hand_that_the_new_count_finds_is_no_correction():
    result = _Result((cell(1, 50.0, 50.0),))
    assert carry_marks([correction("add", 52.0, 50.0)], result) == ()
    assert [mark.action for mark in carry_marks([correction("add", 90.0, 50.0)], result)] == ["add"]
    assert carry_marks([correction("remove", 90.0, 50.0)], result) == ()


def test_the_api_counts_again(service):
    client = create_app(service).test_client()
    old = count(service, sample="m1")
    for wish in ({"ids": [old.id], "cell_diameter_px": 30}, {"sample": "m1", "assay": "default"}):
        answer = client.post("/api/v1/recounts", json=wish)
        assert answer.status_code == 202
        (accepted,) = answer.json["accepted"]
        assert finished(service, accepted["id"]).version_of == old.id
    for wish, status in (
        ({}, 400),
        ({"ids": [old.id], "sample": "m1"}, 400),
        ({"sample": "nobody's"}, 400),
        ({"ids": ["0" * 16]}, 404),
        ({"ids": [old.id], "assay": "nobody's"}, 404),
    ):
        answer = client.post("/api/v1/recounts", json=wish)
        assert (answer.status_code, bool(answer.json["error"])) == (status, True)


def test_what_is_said_of_a_count_hides_nothing_of_its_result():
    """Both stand side by side in one answer; one name for two things once replaced the software's versions."""
    state, result = (
        {field.name: field.type for field in msgspec.structs.fields(record)}
        for record in (CountState, CountResult)
    )
    both = state.keys() & result.keys()
    assert {name: state[name] for name in both} == {name: result[name] for name in both}


def test_what_was_counted_again_stays_one_image_when_its_first_count_is_deleted(service):
    store = service.store
    first = count(service)
    second, third = again(service, [first], cell_diameter_px=30.0), again(service, [first])
    store.counts.delete(first.id)
    rows = [store.counts.get(one.id) for one in (*second, *third)]
    assert [row.version_of for row in rows] == [None, rows[0].id]
    assert [row.id for row in store.counts.search(Filter(newest=True))] == [rows[1].id]
    store.studies.save(Study(name="torpor"))
    store.studies.assign("torpor", {rows[1].id: Place(group="a", subject="m1")})
    (image,) = store.studies.images("torpor")
    assert (image.row.id, image.versions) == (rows[1].id, 2)
    assert store.studies.places_of(rows[0]) == store.studies.places_of(rows[1]) != {}
