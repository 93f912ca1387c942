"""An image that is looked at before it is counted: what is shown is what would be counted, and nothing is kept."""

import base64
import io

import msgspec
import numpy as np
import pytest
from appliance import make_settings
from conftest import FakeSegmenter, make_card
from dapi import NUCLEUS_PX, dapi_frame
from forms import png as encode_png
from PIL import Image

from device.counting.assay import Assay
from device.models.card import find_model, load_card
from device.service import Service
from device.web import create_app

NUCLEI = dapi_frame(1, nuclei=12, blurred=0)


@pytest.fixture
def service(tmp_path):
    """Estimates diameters as the shipped models do; counts by brightness."""
    reader = load_card(find_model("fast")).diameter_reader
    segmenter = FakeSegmenter(make_card(diameter_reader=reader))
    return Service(make_settings(tmp_path), load_segmenter=lambda model: segmenter)


@pytest.fixture
def client(service):
    return create_app(service).test_client()


def look(client, data, name="a.tif", **form):
    return client.post("/api/v1/looks", data={"image": (io.BytesIO(data), name), **form})


def test_a_look_estimates_the_size_and_keeps_nothing(client, service):
    seen = look(client, NUCLEI.ome_tiff, channel="DAPI").json
    assert seen["cell_diameter_from"] == "estimated"
    low, high = seen["cell_diameter_range_px"]
    assert low < seen["cell_diameter_px"] < high
    assert 0.6 < seen["cell_diameter_px"] / NUCLEUS_PX < 1.6
    assert (seen["channel"], seen["pixel_size_um"]) == ("DAPI", None)
    assert service.store.counts.number() == 0


def test_the_picture_is_that_of_the_channel_and_range_that_are_counted(client):
    shown = {
        channel: np.asarray(Image.open(io.BytesIO(base64.b64decode(answer.json["picture"]))))
        for channel in ("DAPI", "FITC")
        if (answer := look(client, NUCLEI.ome_tiff, channel=channel))
    }
    assert shown["DAPI"].shape[:2] == NUCLEI.image.shape
    off = np.abs(shown["DAPI"][..., 0].astype(int) - NUCLEI.image).mean()
    assert off < 3 < np.abs(shown["FITC"][..., 0].astype(int) - NUCLEI.image).mean()


def test_what_is_set_is_shown_and_a_size_without_pixels_is_no_reason_to_show_nothing(
    client, service
):
    service.store.assays.save(Assay(name="wide", cell_diameter_px=31), "ann")
    service.store.assays.save(Assay(name="9 um", cell_diameter_um=9), "ann")
    service.store.assays.save(Assay(name="9 um here", cell_diameter_um=9, pixel_size_um=0.5), "ann")
    for form, px in (
        ({"assay": "wide"}, 31),
        ({"assay": "9 um here"}, 18),
        ({"assay": "wide", "cell_diameter_px": "25"}, 25),
    ):
        seen = look(client, NUCLEI.png, **form).json
        assert (seen["cell_diameter_px"], seen["cell_diameter_from"]) == (px, "set")
    unknown = look(client, NUCLEI.png, assay="9 um").json
    assert unknown["cell_diameter_from"] == "estimated"
    assert (
        "how large a pixel is" in unknown["missing"]
    )  # which a size that is typed or drawn answers
    sized = look(client, NUCLEI.png, assay="9 um here").json
    assert (sized["pixel_size_um"], sized["pixel_size_from"]) == (0.5, "assay")


def test_where_nothing_tells_the_size_the_usual_one_is_named(client):
    dark = encode_png(np.zeros((120, 400), np.uint8))
    seen = look(client, dark).json
    assert (seen["cell_diameter_px"], seen["cell_diameter_from"]) == (37, "usual")


@pytest.mark.parametrize(
    ("data", "form", "status", "words"),
    [
        (b"no image", {}, 400, "a.tif"),
        (NUCLEI.ome_tiff, {"channel": "GFP"}, 400, "GFP"),
        (NUCLEI.png, {"assay": "none such"}, 404, "none such"),
        (NUCLEI.png, {"cell_diameter_px": "0"}, 400, "Cell diameter"),
        (NUCLEI.png, {"model": "none such"}, 400, "none such"),
    ],
)
def test_what_cannot_be_counted_is_refused_with_the_same_sentence(
    client, data, form, status, words
):
    seen, counted = (
        client.post(path, data={"image": (io.BytesIO(data), "a.tif"), **form})
        for path in ("/api/v1/looks", "/api/v1/counts")
    )
    assert (seen.status_code, seen.json["error"]) == (status, counted.json["error"])
    assert words in seen.json["error"]


def test_an_assay_that_was_taught_with_another_model_is_said(client, service):
    from test_assays import taught

    other = msgspec.structs.replace(taught(), model_sha256="1" * 64)
    service.store.assays.save(Assay(name="other", taught=other), "ann")
    assert "taught with another model" in look(client, NUCLEI.png, assay="other").json["error"]
