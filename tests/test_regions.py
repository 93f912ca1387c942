"""Named regions: what may be drawn, what lies inside, and that every export keeps it."""

import csv
import io
import json
import zipfile

import numpy as np
import pytest
import tifffile
from appliance import make_service, png, wait_for
from conftest import draw_discs
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from roifile import ImagejRoi

from device.counting.assay import Assay
from device.counting.reading import Reading
from device.errors import ConflictError, InputError, NotFoundError
from device.export.archive import archive_parts
from device.export.files import counts_table, regions_table
from device.export.pictures import REGION_RGB, draw_corrected
from device.export.stored import export_file, load_count
from device.imageio.points import read_points
from device.jobs.intake import CountOptions
from device.jobs.recounting import Again
from device.store.region import Region, crosses_itself
from device.store.studies import Place, Study
from device.web import create_app

SQUARE = [(-0.5, -0.5), (99.5, -0.5), (99.5, 59.5), (-0.5, 59.5)]
"""Around the first two of the cells of `png`, whose centres are at (30, 30) and (90, 30)."""


def polygon(points) -> Region:
    return Region(id="1", name="CA1", points=tuple(points), who="", created_s=0)


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    service = make_service(tmp_path_factory.mktemp("data"))
    service.counter.worker.start()
    yield service
    service.counter.worker.stop()


@pytest.fixture
def count(service):
    """A count of three cells, and a fourth that was added by hand beyond the square."""
    row = service.counter.intake.accept(png(3), "slice.png", "upload")
    wait_for(lambda: service.store.counts.get(row.id).status == "done")
    service.store.corrections.add(row.id, service.store.result(row.id), 300, 100, "Ada")
    return service.store.counts.get(row.id)


def read(table: str | bytes) -> list[dict[str, str]]:
    text = table.decode() if isinstance(table, bytes) else table
    return list(csv.DictReader(io.StringIO(text)))


corners = st.tuples(st.integers(0, 40), st.integers(0, 30))


@given(st.lists(corners, min_size=3, max_size=9, unique=True))
def test_area_and_inside_agree_wherever_no_side_crosses_another(points):
    if crosses_itself(points):
        return
    region = polygon(points)
    # Middles of a fine grid: none lies on a side of whole numbers for long.
    step = 0.25
    xs, ys = np.arange(0, 40, step) + 0.113, np.arange(0, 30, step) + 0.117
    inside = sum(region.contains(x, y) for x in xs for y in ys) * step**2
    assert inside == pytest.approx(region.area_px, abs=0.3 * len(points) * step * 40)


@pytest.mark.parametrize(
    "points",
    [
        [(0, 0), (10, 10), (10, 0), (0, 10)],
        [(0, 0), (10, 0), (5, 5), (0, 10), (10, 10), (5, 5)],
        [(0, 0), (10, 0), (10, 10), (5, 0), (0, 10)],
    ],
    ids=["bow tie", "bow tie with a corner at the crossing", "a corner on a side"],
)
def test_a_region_whose_sides_meet_is_refused(service, count, points):
    with pytest.raises(InputError, match="cross"):
        service.store.regions.add(count.id, "CA1", points, "Ada")
    assert service.store.counts.get(count.id).regions == ()


@pytest.mark.parametrize(
    ("name", "points", "said"),
    [
        ("CA1", [(0, 0), (10, 0)], "3 to 500 corners, not 2"),
        ("CA1", [(0, 0), (10, 0), (10, 0), (0, 0)], "3 to 500 corners, not 2"),
        ("CA1", [(0, 0), (400, 0), (0, 10)], "inside the image"),
        ("CA1", [(0, 0), (0.5, 0), (0, 0.5)], "less than one pixel"),
        ("  ", SQUARE, "needs a name"),
        ("x" * 61, SQUARE, "needs a name"),
    ],
)
def test_what_is_no_region_is_refused_in_words(service, count, name, points, said):
    with pytest.raises(InputError, match=said):
        service.store.regions.add(count.id, name, points, "Ada")


def test_a_region_is_named_once_and_found_until_it_is_removed(service, count):
    regions = service.store.regions
    (kept,) = regions.add(count.id, " CA1  left ", SQUARE, "Ada").regions
    assert (kept.name, kept.who, kept.area_px) == ("CA1 left", "Ada", 6000)
    # The same again, because no answer came, is the same region.
    assert regions.add(count.id, "CA1 left", SQUARE, "Ada").regions == (kept,)
    with pytest.raises(ConflictError, match="already has a region"):
        regions.add(count.id, "CA1 left", SQUARE[:3], "Ben")
    other = regions.add(count.id, "CA3", SQUARE, "Ben").regions[1]
    with pytest.raises(ConflictError, match="already has a region"):
        regions.rename(count.id, other.id, "CA1 left")
    assert [one.name for one in regions.rename(count.id, other.id, "CA3").regions] == [
        "CA1 left",
        "CA3",
    ]
    assert regions.remove(count.id, kept.id).regions == (other,)
    with pytest.raises(NotFoundError, match="reload"):
        regions.rename(count.id, kept.id, "DG")


def test_every_export_keeps_the_regions(service, count):
    store = service.store
    store.studies.save(Study(name="torpor", groups=("control",)))
    store.studies.assign("torpor", {count.id: Place(group="control", subject="m1")})
    region = store.regions.add(count.id, "=CA1/left", SQUARE, "Ada").regions[0]
    (line,) = read(regions_table(store, [store.counts.get(count.id)]))
    assert (line["region"], line["count"], line["drawn_by"]) == ("'=CA1/left", "2", "Ada")
    assert (float(line["area_px"]), line["area_mm2"]) == (6000, "")
    assert float(line["cells_per_million_px"]) == pytest.approx(2 / 6000 * 1e6, rel=1e-5)
    assert (line["study"], line["group"], line["subject"]) == ("torpor", "control", "m1")
    (whole,) = read(counts_table(store, [store.counts.get(count.id)]))
    assert (whole["study"], whole["group"], whole["subject"], whole["slice"]) == (
        "torpor",
        "control",
        "m1",
        "",
    )
    held = load_count(store, store.counts.get(count.id))
    cells = read(export_file(store, held, "cells.csv"))
    assert [cell["regions"] for cell in cells] == ["'=CA1/left", "'=CA1/left", "", ""]
    *_, feature = json.loads(export_file(store, held, "cells.geojson"))["features"]
    assert feature["properties"]["name"] == "=CA1/left"
    assert feature["properties"]["measurements"] == {"cells": 2, "area_px": 6000}
    assert feature["geometry"]["coordinates"][0][0] == [0, 0]
    require_roi(export_file(store, held, "rois.zip"), region)
    with zipfile.ZipFile(io.BytesIO(b"".join(archive_parts(store, [held.row])))) as archive:
        assert read(archive.read("regions.csv")) == [line]
        (result,) = (name for name in archive.namelist() if name.endswith("/result.json"))
        assert json.loads(archive.read(result))["regions"][0]["name"] == "=CA1/left"


def test_the_downloaded_overlay_draws_regions_and_the_stored_one_stays(service, count):
    client = create_app(service).test_client()
    service.store.corrections.undo(count.id, "Ada")
    stored = service.store.product(count.id, "overlay.jpg").read_bytes()
    paths = [f"/api/v1/counts/{count.id}/{name}" for name in ("overlay.png", "overlay.jpg")]
    before = [pixels_of(client.get(path).data) for path in paths]
    service.store.regions.add(count.id, "CA1", SQUARE, "Ada")
    rows = [service.store.counts.get(count.id)]
    archive = zipfile.ZipFile(io.BytesIO(b"".join(archive_parts(service.store, rows))))
    (packed,) = (name for name in archive.namelist() if name.endswith("/overlay.jpg"))
    after = [*(pixels_of(client.get(path).data) for path in paths), pixels_of(archive.read(packed))]
    for old, new, exact in zip([*before, before[1]], after, (True, False, False), strict=True):
        # The right side of the square, below its name and off the cells, and a place beyond it.
        assert np.abs(new[50, 99] - REGION_RGB).max() <= (0 if exact else 60)
        assert np.abs(new[50, 99] - old[50, 99]).max() > 60
        assert np.abs(new[100, 200] - old[100, 200]).max() <= (0 if exact else 12)
    # The name is written inside, below the upper side.
    assert (after[0][4:20, :60] > 240).all(axis=2).any()
    assert service.store.product(count.id, "overlay.jpg").read_bytes() == stored
    # A thumbnail is too small for them, with corrections or without.
    service.store.corrections.remove(count.id, service.store.result(count.id), 3, "Ada")
    thumbnail = pixels_of(client.get(f"/api/v1/counts/{count.id}/thumbnail.jpg").data)
    place = round(50 * thumbnail.shape[1] / 400), round(100 * thumbnail.shape[1] / 400)
    assert np.abs(thumbnail[place] - REGION_RGB).max() > 60


def pixels_of(data: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(data)) as picture:
        return np.asarray(picture.convert("RGB")).astype(int)


def test_a_name_that_fits_nowhere_is_cut_off_and_never_in_the_way(service, count):
    edge = [(398, 0), (399, 0), (399, 2), (398, 2)]
    service.store.regions.add(count.id, "W" * 60, edge, "Ada")
    held = load_count(service.store, service.store.counts.get(count.id))
    assert pixels_of(draw_corrected(service.store, held, "overlay.jpg")).shape[1] == 400


def test_the_report_of_a_study_lists_the_regions(service, count):
    from device.studies.drawn import drawn_csv, drawn_regions

    store = service.store
    store.studies.save(Study(name="sleep", groups=("control",)))
    store.studies.assign("sleep", {count.id: Place(group="control", subject="m1")})
    assert drawn_csv(store, "sleep") is None
    store.regions.add(count.id, "CA1", SQUARE, "Ada")
    (one,) = drawn_regions(store, "sleep")
    assert (one.image, one.place.subject, one.reading.count) == ("slice.png", "m1", 2)
    assert (one.area, one.density) == ("6000 px²", "333 per million px²")
    (line,) = read(drawn_csv(store, "sleep"))
    assert (line["region"], line["count"], line["group"]) == ("CA1", "2", "control")
    pytest.importorskip("statsmodels")
    from device.studies.analysis import analyse
    from device.studies.report import report_files

    files = report_files(store, analyse(store, "sleep"))
    assert read(files["regions.csv"])[0] == line
    said = files["report.html"].decode().split("Regions drawn on the images")[1]
    for part in ("CA1", ">2<", "6000 px²", "no 90 % interval"):
        assert part in said


def require_roi(data: bytes, region: Region) -> None:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        (name,) = (one for one in archive.namelist() if one.startswith("region"))
        roi = ImagejRoi.frombytes(archive.read(name))
    assert name == "region 1 _CA1_left.roi"
    np.testing.assert_allclose(roi.coordinates(), np.array(region.points) + 0.5)


@pytest.mark.parametrize("file_format", ["rois.zip", "cells.geojson"])
def test_an_exported_region_is_no_cell_when_the_file_is_read_again(service, count, file_format):
    service.store.regions.add(count.id, "CA1", SQUARE, "Ada")
    held = load_count(service.store, service.store.counts.get(count.id))
    points = read_points(export_file(service.store, held, file_format), file_format)
    assert len(points) == count.corrected_count == 4


def test_regions_stay_where_the_image_is_counted_again(service, count):
    service.store.regions.add(count.id, "CA1", SQUARE, "Ada")
    old = service.store.counts.get(count.id)
    assert counted_again(service, old, cell_diameter_px=30.0).regions == old.regions


def counted_again(service, row, **otherwise):
    (new,) = service.counter.recounter.recount([row], Again(**otherwise)).accepted
    wait_for(lambda: service.store.counts.get(new.id).status == "done")
    return service.store.counts.get(new.id)


def test_regions_do_not_go_to_another_picture_of_the_file(service):
    stream = io.BytesIO()
    with tifffile.TiffWriter(stream, ome=True) as writer:
        for shape in ((120, 400), (60, 80)):
            pixels = draw_discs(shape, [(30, 30, 37)]).astype(np.uint8)
            writer.write(pixels, metadata={"axes": "YX"})
    for scene in (1, 2):
        reading = Reading(scene=scene)
        service.store.assays.save(Assay(name=f"scene {scene}", reading=reading), "Ada")
    options = CountOptions(assay="scene 1")
    row = service.counter.intake.accept(stream.getvalue(), "two.ome.tif", "upload", options)
    wait_for(lambda: service.store.counts.get(row.id).status == "done")
    drawn = service.store.regions.add(row.id, "CA1", SQUARE, "Ada")
    assert counted_again(service, drawn, assay="scene 1").regions == drawn.regions
    assert counted_again(service, drawn, assay="scene 2").regions == ()


def test_the_numbers_of_a_damaged_count_are_left_out_and_said(service, count):
    service.store.regions.add(count.id, "CA1", SQUARE, "Ada")
    row = service.store.counts.get(count.id)
    service.store.product(count.id, "result.json").write_bytes(b"{")
    (line,) = read(regions_table(service.store, [row]))
    assert (line["region"], line["count"], line["flags"]) == ("CA1", "", "damaged_files")


def test_the_interface_keeps_names_and_removes_regions(service, count):
    client = create_app(service).test_client()
    path = f"/api/v1/counts/{count.id}/regions"
    wish = {"name": "CA1", "points": [[x, y] for x, y in SQUARE], "who": "Ada"}
    answer = client.post(path, json=wish)
    assert answer.status_code == 201
    (kept,) = answer.json["regions"]
    assert (kept["count"], kept["area_px"], kept["cells_per_mm2"]) == (2, 6000, None)
    assert client.post(path, json={**wish, "points": wish["points"][1:]}).status_code == 409
    crossed = {**wish, "points": [[0, 0], [10, 10], [10, 0], [0, 10]]}
    assert "cross" in client.post(path, json=crossed).json["error"]
    # A correction counts at once.
    service.store.corrections.remove(count.id, service.store.result(count.id), 1, "Ada")
    assert client.get(f"/api/v1/counts/{count.id}").json["regions"][0]["count"] == 1
    named = client.patch(f"{path}/{kept['id']}", json={"name": "CA3"})
    assert [one["name"] for one in named.json["regions"]] == ["CA3"]
    table = client.post("/api/v1/exports", json={"ids": [count.id], "format": "regions"})
    assert read(table.data)[0]["region"] == "CA3"
    assert read(client.get("/api/v1/regions.csv").data)[-1]["count"] == "1"
    assert client.delete(f"{path}/{kept['id']}").json == {"regions": []}
    assert client.delete(f"{path}/{kept['id']}").status_code == 404
