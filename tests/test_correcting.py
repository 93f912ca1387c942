"""Corrections by hand in everything that is downloaded, and what adding means at each place."""

import csv
import io
import json
import zipfile

import msgspec
import numpy as np
import pytest
import tifffile
from appliance import png
from browser import cells_png, serving, settings_for

from device.errors import ConflictError, NotFoundError
from device.export.archive import archive_parts
from device.export.stored import export_file, load_count
from device.jobs.correcting import add_cell
from device.store import Edit, Filter
from device.web import create_app


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    with serving(settings_for(tmp_path_factory.mktemp("correcting"))) as found:
        yield found


@pytest.fixture
def row(served):
    """A count with doubtful objects on both sides of the decision."""
    for seed in range(7, 30):
        found = served.hand_in(cells_png(seed), "doubtful.png")
        result = served.store.result(found.id)
        ids = [cell.id for cell in result.doubtful]
        if ids and min(ids) <= result.count < max(ids):
            return found
    raise AssertionError("no frame has doubtful objects of both kinds")


def uncounted(served, row):
    result = served.store.result(row.id)
    return max(result.doubtful, key=lambda cell: cell.id)


def exported(served, row, name: str) -> bytes:
    return export_file(served.store, load_count(served.store, row), name)


def test_an_accepted_object_has_its_outline_and_measures_everywhere(served, row):
    doubtful = uncounted(served, row)
    changed = add_cell(served.store, row.id, (doubtful.x, doubtful.y), "AB")
    assert changed.corrected_count == row.count + 1
    labels = tifffile.imread(io.BytesIO(exported(served, row, "labels.tiff")))
    own = np.argwhere(labels == doubtful.id)
    assert len(own) == pytest.approx(doubtful.area_px, rel=0.1)
    assert own.mean(axis=0)[::-1] == pytest.approx((doubtful.x, doubtful.y), abs=2)
    table = exported(served, row, "cells.csv").decode()
    lines = {line["id"]: line for line in csv.DictReader(io.StringIO(table))}
    assert len(lines) == row.count + 1
    assert lines[str(doubtful.id)]["origin"] == "accepted"
    assert lines[str(doubtful.id)]["area_px"] == str(doubtful.area_px)
    features = json.loads(exported(served, row, "cells.geojson"))["features"]
    shapes = {one["properties"]["name"]: one["geometry"]["type"] for one in features}
    assert shapes[str(doubtful.id)] in ("Polygon", "MultiPolygon")
    rois = zipfile.ZipFile(io.BytesIO(exported(served, row, "rois.zip"))).namelist()
    assert f"{doubtful.id:05d}.roi" in rois
    with pytest.raises(ConflictError, match="added here already"):
        add_cell(served.store, row.id, (doubtful.x, doubtful.y), "AB")


def test_adding_on_a_counted_cell_is_refused_and_on_a_removed_one_brings_it_back(served, row):
    store, result = served.store, served.store.result(row.id)
    cell = max(result.cells, key=lambda one: one.area_px)
    with pytest.raises(ConflictError, match=f"Cell {cell.id} is counted here already"):
        add_cell(store, row.id, (cell.x, cell.y), "AB")
    store.corrections.remove(row.id, result, cell.id, "AB")
    assert add_cell(store, row.id, (cell.x, cell.y), "AB").corrected_count == row.count
    assert not store.corrections.in_force(row.id)


def test_the_same_key_makes_a_correction_once(served, row):
    store, result = served.store, served.store.result(row.id)
    for _ in range(2):
        add_cell(store, row.id, (2.0, 2.0), "AB", "k1")
        changed = store.corrections.remove(row.id, result, 1, "AB", "k2")
    assert changed.corrected_count == row.count
    assert len(store.corrections.in_force(row.id)) == 2
    (second, first) = reversed(store.corrections.in_force(row.id))
    for _ in range(2):
        store.corrections.undo(row.id, "AB", second.id)
    assert [one.id for one in store.corrections.in_force(row.id)] == [first.id]


def test_a_click_on_a_cell_of_another_labelling_is_refused(served, row):
    """A page that was offline sends its clicks when somebody has saved another threshold: the numbers moved on."""
    client = create_app(served.service, needs_login=False).test_client()
    path, seen = f"/api/v1/counts/{row.id}", row.revision
    late = {"action": "remove", "cell_id": 1, "revision": seen}
    assert client.post(f"{path}/relabel", json={"min_area_px": 2.0}).status_code == 200
    answer = client.post(f"{path}/corrections", json=late)
    assert (answer.status_code, served.store.corrections.of(row.id)) == (409, [])
    now = {**late, "revision": served.store.counts.get(row.id).revision}
    assert client.post(f"{path}/corrections", json=now).status_code == 200


def test_judging_a_doubtful_object_is_kept_and_can_be_turned_round(served, row):
    store, result = served.store, served.store.result(row.id)
    inside = next(cell for cell in result.doubtful if cell.id <= result.count)
    outside = uncounted(served, row)
    for judge, number in (
        (store.corrections.accept, row.count + 1),
        (store.corrections.reject, row.count - 1),
    ):
        for cell in (inside, outside):
            changed = judge(row.id, result, cell.id, "AB")
        assert changed.corrected_count == number
    held = {one.cell_id: one.action for one in store.corrections.in_force(row.id)}
    assert held == {inside.id: "remove", outside.id: "confirm"}


def test_the_archive_of_a_corrected_count_shows_the_corrections(served, row):
    store, result = served.store, served.store.result(row.id)
    before = _unpacked(store, row)
    cell = max(result.cells, key=lambda one: one.area_px)
    changed = store.corrections.remove(row.id, result, cell.id, "AB")
    after = _unpacked(store, changed)
    for name in ("overlay.jpg", "outlines.png", "labels.tiff", "cells.csv", "result.json"):
        assert before[name] != after[name], name
    told = json.loads(after["result.json"])
    assert (told["count"], told["corrected_count"]) == (row.count, row.count - 1)
    assert told["corrections"][0]["who"] == "AB"


def _unpacked(store, row) -> dict[str, bytes]:
    data = b"".join(archive_parts(store, [row]))
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert archive.testzip() is None
        return {name.split("/")[-1]: archive.read(name) for name in archive.namelist()}


def test_an_edit_with_an_old_version_is_refused(served, row):
    counts = served.store.counts
    seen = counts.get(row.id).version
    counts.edit(row.id, Edit(notes="first"), seen)
    with pytest.raises(ConflictError, match="changed somewhere else"):
        counts.edit(row.id, Edit(notes="second"), seen)
    assert counts.get(row.id).notes == "first"


def test_the_feed_tells_each_change_once_and_what_was_deleted(served, row):
    store = served.store
    latest = store.feed.since(None, 10).latest
    store.counts.edit(row.id, Edit(notes="seen"))
    found = store.feed.since(latest, 10)
    assert [one.id for one in found.rows] == [row.id]
    assert not store.feed.since(found.latest, 10).rows
    store.counts.delete(row.id)
    assert store.feed.since(found.latest, 10).deleted == (row.id,)
    assert store.feed.since(found.latest + 1000, 10).reset


def test_the_feed_tells_many_changes_in_parts_without_a_gap(served, row):
    store = served.store
    latest = store.feed.since(None, 10).latest
    rows = [row, *(served.hand_in(cells_png(7), f"{at}.png") for at in range(3))]
    for one in rows:
        store.counts.edit(one.id, Edit(keep=True))
    told = set()
    while found := store.feed.since(latest, 2).rows:
        told |= {one.id for one in found}
        latest = store.feed.since(latest, 2).latest
    assert told == {one.id for one in rows}


def test_filters_find_what_is_left_to_review(served, row):

    store = served.store

    def found(**wish) -> set[str]:
        return {one.id for one in store.counts.search(Filter(**wish))}

    assert row.id in found(reviewed=False, doubtful=True, corrected=False)
    store.counts.edit(row.id, Edit(reviewed_by="AB"))
    store.corrections.remove(row.id, store.result(row.id), 1, "AB")
    assert row.id in found(reviewed=True, corrected=True, search="OUBTFU")
    assert row.id not in found(reviewed=False)
    assert not found(search="%")
    assert msgspec.to_builtins(store.counts.get(row.id))["reviewed_by"] == "AB"


def test_every_order_lists_all_counts_once_page_by_page(served):

    store = served.store
    for at, name in enumerate(["slice 10", "Slice 2", "slice 2", "slice 1"]):
        store.counts.edit(served.hand_in(png(at + 2), f"{name}.png").id, Edit(sample="sorted"))

    def pages(order: str) -> list:
        found, before = [], None
        while part := store.counts.search(
            Filter(sample="sorted", order=order, before=before), limit=2
        ):
            found += part
            before = part[-1].sequence
        return found

    newest = pages("newest")
    assert pages("oldest") == newest[::-1]
    names = [row.image for row in pages("name")]
    assert [name.lower() for name in names] == [
        "slice 1.png",
        "slice 2.png",
        "slice 2.png",
        "slice 10.png",
    ]
    assert [row.count for row in pages("count_down")] == [5, 4, 3, 2]
    assert [row.count for row in pages("count")] == [2, 3, 4, 5]
    assert {row.id for row in pages("doubtful")} == {row.id for row in newest}
    which = Filter(sample="sorted", order="name")
    listed = pages("name")
    for before, row, after in zip([None, *listed], listed, [*listed[1:], None], strict=False):
        assert store.counts.neighbours(row, which) == (before, after)
    store.counts.delete(listed[1].id)
    with pytest.raises(NotFoundError, match="load the list again"):
        store.counts.search(
            Filter(sample="sorted", order="name", before=listed[1].sequence), limit=2
        )
