"""What a person reads when a value is not possible: the name of the field, what is expected, what came."""

import io
import re

import msgspec
import pytest
from appliance import make_service, png
from conftest import USUAL
from marshmallow import Schema
from test_flags import NORMAL

import device.web.inputs as inputs
from device.counting.confidence.flags import frame_flags
from device.web import create_app
from device.web.words import complaint, label

FOR_PEOPLE = (
    inputs.CountForm,
    inputs.CaptureForm,
    inputs.CameraForm,
    inputs.CountEdit,
    inputs.RelabelQuery,
    inputs.RecountForm,
    inputs.PointsForm,
)


@pytest.fixture
def client(tmp_path):
    return create_app(make_service(tmp_path)).test_client()


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"exposure_s": 0}, "Exposure must be above 0 s, not '0'."),
        ({"gain": -3}, "Gain must be above 0, not '-3'."),
        ({"average_frames": "ten"}, "Frames averaged must be a whole number, not 'ten'."),
        ({"average_frames": 0}, "Frames averaged must be from 1 to 10000, not '0'."),
        ({"red_gain": "red"}, "Red gain must be a number, not 'red'."),
        ({"red_gain": None}, "Red gain must be a value."),
        ({"expozure": 1}, "'expozure' is not known here; check its spelling."),
    ],
)
def test_the_sentence_names_field_unit_and_what_came(client, changes, sentence):
    answer = client.patch("/api/v1/camera", json=changes)
    assert answer.status_code == 400
    assert answer.get_json() == {"error": sentence}


@pytest.mark.parametrize(
    ("field", "value", "sentence"),
    [
        ("threshold", "1.5", "Threshold must be above 0 and below 1, not '1.5'."),
        ("cell_diameter_px", "1", "Cell diameter must be from 2 px to 1000 px, not '1'."),
        ("project", "sum", "Projection must be one of max, mean, focus, not 'sum'."),
        ("sample", "a" * 201, "Sample name must be at most 200 characters long."),
        ("exclude_border", "perhaps", "Cells at the edge must be yes or no, not 'perhaps'."),
    ],
)
def test_a_form_is_answered_in_the_same_words(client, field, value, sentence):
    form = {"image": (io.BytesIO(png()), "a.png"), field: value}
    answer = client.post("/api/v1/counts", data=form)
    assert answer.status_code == 400
    assert answer.get_json() == {"error": sentence}


def test_an_upload_without_an_image_says_so(client):
    answer = client.post("/api/v1/counts", data={"sample": "a"})
    assert answer.get_json() == {"error": "Image is missing."}


@pytest.mark.parametrize("schema", FOR_PEOPLE, ids=lambda schema: schema.__name__)
def test_every_field_that_people_fill_in_has_a_name_for_people(schema: type[Schema]):
    for field in schema().fields:
        if field not in ("version", "correction_id"):
            assert not re.search(r"_|^\w$", label(field)), field


def test_what_nobody_foresaw_is_said_as_it_is():
    assert complaint("threshold", "Odd.") == "threshold: Odd"
    assert complaint("", "No body.") == "No body"


@pytest.mark.parametrize(
    ("name", "value"),
    [("sharpness", 0.22999), ("background", 80.3), ("noise", 0.60001), ("contrast", 1.4999)],
)
def test_a_warning_never_gives_the_same_number_for_what_is_seen_and_what_is_usual(name, value):
    seen = msgspec.structs.replace(USUAL, **{name: value})
    (flag,) = frame_flags(seen, NORMAL)
    numbers = re.findall(r"\d+\.?\d*", flag.text.split(")")[0])
    assert len(numbers) == len(set(numbers)), flag.text


def test_a_cell_size_next_to_the_limit_is_told_apart():
    seen = msgspec.structs.replace(USUAL, cell_size_ratio=0.599)
    (flag,) = frame_flags(seen, NORMAL)
    assert "are 0.599 times" in flag.text
    assert "0.600 to 1.800" in flag.text
