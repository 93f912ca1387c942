"""Points made in other programs become corrections, all or nothing."""

import io
import json
import zipfile

import numpy as np
import pytest
from appliance import png, wait_for
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from roifile import ROI_TYPE, ImagejRoi

from device.commands.correct import command
from device.errors import InputError
from device.export.stored import export_file, load_count
from device.imageio.points import read_points
from device.web import create_app

POINTS = [(10.0, 20.0), (30.5, 7.25)]


def roi(points):
    made = ImagejRoi.frompoints([(x + 0.5, y + 0.5) for x, y in points])
    made.roitype = ROI_TYPE.POINT
    return made.tobytes()


def zipped(points):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for number, point in enumerate(points):
            archive.writestr(f"{number}.roi", roi([point]))
    return stream.getvalue()


def cell_counter(points):
    markers = "".join(
        f"<Marker><MarkerX>{x}</MarkerX><MarkerY>{y}</MarkerY><MarkerZ>1</MarkerZ></Marker>"
        for x, y in points
    )
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n<CellCounter_Marker_File><Image_Properties>'
        "<Image_Filename>a.tif</Image_Filename></Image_Properties><Marker_Data><Current_Type>1</Current_Type>"
        f"<Marker_Type><Type>1</Type>{markers}</Marker_Type></Marker_Data></CellCounter_Marker_File>"
    ).encode()


def qupath(points):
    places = [[x + 0.5, y + 0.5] for x, y in points]
    feature = {"type": "Feature", "geometry": {"type": "MultiPoint", "coordinates": places}}
    return json.dumps({"type": "FeatureCollection", "features": [feature]}).encode()


def table(points, line="{};{}\n", header="X;Y\n"):
    return (header + "".join(line.format(x, y) for x, y in points)).encode()


WRITERS = {
    "roi": roi,
    "zip": zipped,
    "xml": cell_counter,
    "geojson": qupath,
    "csv": table,
    "csv of this program": lambda points: table(points, "c,{},{}\n", "image,x_px,y_px\n"),
}


@pytest.mark.parametrize("kind", WRITERS)
def test_every_program_means_the_same_place(kind):
    assert read_points(WRITERS[kind](POINTS), "p") == pytest.approx(np.array(POINTS))


def test_whole_numbers_of_imagej_name_a_pixel():
    corners = np.array([(0, 13), (20, 0)], dtype=np.int32)
    made = ImagejRoi(roitype=ROI_TYPE.POINT, left=10, top=7, right=31, bottom=21)
    made.n_coordinates, made.integer_coordinates = 2, corners
    assert read_points(made.tobytes(), "p") == ((10, 20), (30, 7))


@given(st.binary(max_size=200))
def test_no_file_breaks_the_reader(data):
    for start in (b"", b"Iout", b"PK\x03\x04", b"<a", b'{"type": "Feature"', b"[", b"x,y\n"):
        try:
            assert read_points(start + data, "p")
        except InputError as error:
            assert "p" in str(error)  # noqa: PT017


@pytest.mark.parametrize(
    "bad",
    [
        b"",
        b"a,b\n1,2\n",
        b"x,y\nnan,2\n",
        b"x,y\n",
        b'<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>',
        b'{"type": "FeatureCollection", "features": []}',
        b"x_um,y_um\n1,2\n",
    ],
)
def test_what_holds_no_points_gets_a_sentence(bad):
    with pytest.raises(InputError):
        read_points(bad, "p.csv")


@pytest.fixture
def count_id(service):
    row = service.counter.intake.accept(png(6), "a.png", "upload")
    wait_for(lambda: service.store.counts.get(row.id).status == "done")
    return row.id


def cells(service, count_id):
    return [(cell.x, cell.y) for cell in service.store.result(count_id).cells]


def send(service, count_id, data, **more):
    client = create_app(service).test_client()
    form = {"points": (io.BytesIO(data), "p.dat"), "who": "ann", **more}
    return client.post(f"/api/v1/counts/{count_id}/points", data=form)


def test_points_are_the_cells_of_the_image(service, count_id):
    marked = [*cells(service, count_id)[1:], (200.0, 100.0), (380.0, 5.0)]
    answer = send(service, count_id, roi(marked))
    assert answer.status_code == 200
    assert answer.json["corrected_count"] == len(marked)
    actions = [one["action"] for one in answer.json["corrections"]]
    assert sorted(actions) == ["add", "add", "remove"]
    # Sent again, the earlier ones are undone and the outcome is the same.
    again = send(service, count_id, roi(marked))
    assert again.json["corrected_count"] == len(marked)
    assert sum(not one["undone"] for one in again.json["corrections"]) == 3


def test_what_fluocount_exports_it_reads_back_without_a_correction(service, count_id):
    store = service.store
    for name in ("rois.zip", "cells.geojson", "cells.csv"):
        data = export_file(store, load_count(store, store.counts.get(count_id)), name)
        answer = send(service, count_id, data)
        assert answer.status_code == 200, answer.json
        assert [one for one in answer.json["corrections"] if not one["undone"]] == []


@pytest.mark.parametrize(
    "points", [[(5000.0, 3.0)], [(-8.0, 3.0)], [(10.0 * n, 115.0) for n in range(20)]]
)
def test_points_of_another_image_change_nothing(service, count_id, points):
    answer = send(service, count_id, table(points))
    assert answer.status_code == 400
    assert "Nothing was changed" in answer.json["error"]
    assert service.store.corrections.of(count_id) == []


def test_two_points_in_one_cell_are_two_cells(service, count_id):
    found = cells(service, count_id)
    answer = send(service, count_id, table([*found, (found[0][0] + 4, found[0][1])]))
    assert answer.json["corrected_count"] == len(found) + 1


def test_the_command_reads_them_too(service, count_id, tmp_path):
    file = tmp_path / "p.csv"
    file.write_bytes(table(cells(service, count_id)[:5]))
    words = [count_id, str(file), "--data-dir", str(tmp_path / "data")]
    answer = CliRunner().invoke(command, words, catch_exceptions=False)
    assert "corrected count 5" in answer.output
    assert service.store.counts.get(count_id).corrected_count == 5
