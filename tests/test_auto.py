"""The model for any stain sees no colour; `auto` takes the specialist for its own stain, and says why."""

from dataclasses import replace

import numpy as np
import pytest
from appliance import make_service

from device.config import CountingSettings
from device.counting.pipeline import count_frame
from device.counting.records import CountSettings
from device.models.auto import AUTO, GENERAL, SPECIALIST, model_names, open_model
from device.synthetic import SyntheticSettings, make_frame
from device.web import create_app

COLOURS = {
    "red": (1, 0, 0),
    "green": (0, 1, 0),
    "blue": (0, 0, 1),
    "yellow": (1, 0.74, 0.06),
}
DIAMETER = CountSettings(cell_diameter_px=19.0)


@pytest.fixture(scope="module")
def scene():
    """Half a full-size frame of synthetic cells."""
    settings = SyntheticSettings(width_px=800, height_px=600, cell_diameter_px=19.0, cells=24)
    return make_frame(3, settings).frame


def drawn(scene, colour):
    """The same light in another colour."""
    light = scene.image.max(axis=2, keepdims=True)
    image = np.rint(light * np.array(colour, float)).astype(np.uint8)
    return replace(scene, image=image)


def test_auto_is_offered():
    assert model_names()[0] == AUTO


@pytest.mark.parametrize("colour", COLOURS.values(), ids=COLOURS)
def test_the_same_cells_in_any_colour_give_the_same_count(scene, colour):
    segmenter = open_model(GENERAL, 1)
    grey = count_frame(drawn(scene, (1, 1, 1)), segmenter, DIAMETER).result
    found = count_frame(drawn(scene, colour), segmenter, DIAMETER).result
    assert grey.count > 5
    assert abs(found.count - grey.count) <= 1


def test_auto_takes_the_specialist_for_its_stain_and_the_other_for_the_rest(scene):
    segmenter = open_model(AUTO, 1)
    yellow = count_frame(scene, segmenter, DIAMETER).result
    green = count_frame(drawn(scene, (0, 1, 0)), segmenter, DIAMETER).result
    grey = replace(drawn(scene, (1, 1, 1)), channels=1)
    plain = count_frame(grey, segmenter, DIAMETER).result
    assert [own.model.name for own in (yellow, green, plain)] == [SPECIALIST, GENERAL, GENERAL]
    assert "its own images" in yellow.model_reason
    assert "differ" in green.model_reason
    assert "grey" in plain.model_reason


def test_a_named_model_gives_no_reason(scene):
    assert count_frame(scene, open_model(SPECIALIST, 1), DIAMETER).result.model_reason == ""


def test_the_status_tells_the_set_model_from_the_one_it_would_describe(tmp_path):
    """With `auto` the card is that of one of its models, which is not what every image is counted with."""
    client = create_app(make_service(tmp_path)).test_client()
    assert client.get("/api/v1/status").json["counts_with"] == CountingSettings().model == AUTO
