"""A whole study as one ZIP: sent while it is made, the same files as on the command line."""

import io
import re
import zipfile

import pytest
from appliance import make_settings
from studied import make_study, started

from device.export.geojson import CLASSIFICATION, REGION
from device.export.stored import load_count
from device.store import open_store
from device.store.studies import Study
from device.studies.bundle import write_folder, zip_parts
from device.studies.coco import write_coco, write_qupath
from device.studies.opening import open_study
from device.studies.reviewing import begin_review
from device.studies.values import image_lines
from device.web import create_app

CELLS = {(group, f"{group}{n}", "1"): 2 + n for group in "ab" for n in range(3)}
PATH = "/api/v1/studies/torpor 2"


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    service = started(tmp_path_factory.mktemp("lab"))
    make_study(service, CELLS, name="torpor 2")
    yield service
    service.stop()


@pytest.fixture
def client(lab):
    return create_app(lab).test_client()


def files_of(folder):
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def unpacked(answer, folder):
    """The folder that the ZIP holds, unpacked."""
    assert answer.status_code == 200
    with zipfile.ZipFile(io.BytesIO(answer.data)) as archive:
        assert archive.testzip() is None
        archive.extractall(folder)
    (inner,) = folder.iterdir()
    return inner


@pytest.mark.parametrize(("kind", "write"), [("coco", write_coco), ("qupath", write_qupath)])
def test_the_page_sends_the_files_of_the_command_line(lab, client, tmp_path, kind, write):
    write(lab.require_store(), "torpor 2", tmp_path / "written")
    sent = unpacked(client.get(f"{PATH}/{kind}.zip"), tmp_path / "sent")
    assert sent.name == f"torpor_2-{kind}"
    assert files_of(sent) == files_of(tmp_path / "written")


def test_the_crate_of_the_page_opens_elsewhere_with_equal_counts(lab, client, tmp_path):
    licence = "https://creativecommons.org/licenses/by/4.0/"
    answer = client.get(f"{PATH}/crate.zip", query_string={"licence": licence})
    crate = unpacked(answer, tmp_path / "sent")
    assert licence in (crate / "ro-crate-metadata.json").read_text()
    fresh = open_store(make_settings(tmp_path / "fresh").storage)
    assert open_study(fresh, crate).counts == len(CELLS)
    assert image_lines(fresh, "torpor 2") == image_lines(lab.require_store(), "torpor 2")
    fresh.close()


def test_the_report_comes_with_its_figures_and_tables(client, tmp_path):
    pytest.importorskip("statsmodels")
    sent = unpacked(client.get(f"{PATH}/report.zip"), tmp_path / "sent")
    assert {"report.html", "figure.svg", "figure.png", "images.csv", "prism.csv"} <= set(
        files_of(sent)
    )


def test_the_folder_for_qupath_says_what_to_do_and_has_a_script_that_finds_the_cells(lab, tmp_path):
    write_qupath(lab.require_store(), "torpor 2", tmp_path / "qupath")
    script = (tmp_path / "qupath" / "import-cells.groovy").read_text()
    guide = (tmp_path / "qupath" / "README.txt").read_text()
    assert "importObjectsFromFile" in script
    for image in (tmp_path / "qupath" / "images").iterdir():
        assert (tmp_path / "qupath" / "cells" / f"{image.stem}.geojson").is_file()
    for named in ("images", "cells", "import-cells.groovy"):
        assert named in guide
        assert (tmp_path / "qupath" / named).exists()


def test_the_script_for_qupath_counts_no_region_as_a_cell(lab, tmp_path):
    write_qupath(lab.require_store(), "torpor 2", tmp_path / "qupath")
    script = (tmp_path / "qupath" / "import-cells.groovy").read_text()
    counted = re.search(r"getAnnotationObjects\(\)\.findAll \{.*toString\(\) == '(\w+)' \}", script)
    assert counted is not None
    assert counted[1] == CLASSIFICATION["name"] != REGION["name"]
    assert script.count("getAnnotationObjects()") == 1
    assert f"class {REGION['name']}" in (tmp_path / "qupath" / "README.txt").read_text()


def test_an_image_that_cannot_be_read_is_left_out_and_named(tmp_path):
    service = started(tmp_path / "data")
    make_study(service, {("a", "m1", "1"): 2, ("a", "m1", "2"): 3})
    store = service.require_store()
    gone, _ = image_lines(store, "torpor")
    store.counts.original_path(store.counts.get(gone.count_id)).unlink()
    client = create_app(service).test_client()
    answer = client.get("/api/v1/studies/torpor/qupath.zip")
    sent = unpacked(answer, tmp_path / "sent")
    assert gone.image in (sent / "problems.txt").read_text()
    assert len(list((sent / "cells").iterdir())) == 1
    refused = client.get("/api/v1/studies/torpor/crate.zip")
    assert refused.status_code == 404
    assert gone.image in refused.json["error"]
    service.stop()


def test_what_cannot_be_exported_says_so(lab, client):
    assert client.get("/api/v1/studies/none/crate.zip").status_code == 404
    assert client.get(f"{PATH}/other.zip").status_code == 400
    lab.require_store().studies.save(Study(name="empty"))
    assert client.get("/api/v1/studies/empty/coco.zip").status_code == 200


def test_a_third_export_waits_and_ended_ones_make_room(client):
    running = [client.get(f"{PATH}/coco.zip") for _ in range(2)]
    refused = client.get(f"{PATH}/coco.zip")
    assert refused.status_code == 503
    assert "already" in refused.json["error"]
    for answer in running:
        answer.close()
    for _ in range(3):
        assert client.get(f"{PATH}/coco.zip", buffered=True).status_code == 200


def test_an_export_during_a_blinded_review_stands_in_its_log(lab, client):
    store = lab.require_store()
    review = begin_review(store, "torpor 2", ("Anna",), seed=1)
    client.get(f"{PATH}/coco.zip", buffered=True)
    assert "opened" in [line.what for line in store.reviews.log(review.id)]


def test_the_first_files_are_sent_before_the_last_is_made():
    made = []

    def parts():
        for name in ("one.txt", "two.txt"):
            made.append(name)
            yield name, b"x" * 100

    sent = zip_parts(parts(), "study")
    first = next(sent)
    assert b"study/one.txt" in first
    assert made == ["one.txt"]
    whole = zipfile.ZipFile(io.BytesIO(first + b"".join(sent)))
    assert whole.namelist() == ["study/one.txt", "study/two.txt"]


def test_a_large_image_is_sent_in_pieces(tmp_path):
    image = tmp_path / "slide.png"
    image.write_bytes(bytes(5_000_000))
    pieces = list(zip_parts([("slide.png", image)], "study"))
    assert max(map(len, pieces)) < 2_000_000
    (stored,) = zipfile.ZipFile(io.BytesIO(b"".join(pieces))).infolist()
    assert stored.file_size == 5_000_000


def test_corrections_made_while_the_export_runs_are_whole(lab, tmp_path):
    """A count's row and its corrections are read together when its turn comes."""
    from device.studies.crate import crate_parts

    store = lab.require_store()
    last = image_lines(store, "torpor 2")[-1]

    def slowly():
        for number, part in enumerate(crate_parts(store, "torpor 2")):
            if number == 0:
                result = store.result(last.count_id)
                store.corrections.add(last.count_id, result, 300.0, 100.0, "AB")
            yield part

    write_folder(slowly(), tmp_path / "crate")
    fresh = open_store(make_settings(tmp_path / "fresh").storage)
    open_study(fresh, tmp_path / "crate")
    row = fresh.counts.get(last.count_id)
    assert (
        row.corrected_count == load_count(store, store.counts.get(last.count_id)).result.count + 1
    )
    fresh.close()
