"""The models of this repository themselves: integer throughout, without seams, and right about the full-size frames."""

import msgspec
import numpy as np
import pytest
from conftest import tensor_types
from PIL import Image
from scipy import ndimage

from device.counting.confidence.promise import holds
from device.counting.pipeline import count_frame
from device.counting.records import CountSettings
from device.counting.tiles import plan_for, segment
from device.counting.view import network_view
from device.imageio import read_frame
from device.models.card import DEFAULT_MODEL, available_models, find_model, load_card
from device.models.interpreter import load_segmenter
from device.synthetic import SyntheticSettings, make_frame

WIDTHS = {"fast": 1600, "c-resunet": 640, "any": 960}
"""Of the synthetic frame that is cut into tiles: enough for several, little enough for a quick test."""

SERVED = {
    "fast": ("fnc_yellow_full", 7),
    "c-resunet": ("fnc_yellow_full", 15),
    "any": ("fnc_red_full", 25),
}
"""Full-size frames of a stain that `auto` gives to the model, and by how much it may be off (13 to 74 cells)."""


@pytest.fixture(scope="module", params=available_models())
def segmenter(request):
    return load_segmenter(find_model(request.param), threads=1)


def test_the_default_model_is_shipped():
    assert DEFAULT_MODEL in available_models()


def test_every_tensor_is_an_integer_and_nothing_is_converted_inside(segmenter):
    assert tensor_types(find_model(segmenter.card.name)) <= {np.int8, np.int32}
    convert = pytest.importorskip("convert.quantize", reason="needs TensorFlow")
    operators = convert.operators(find_model(segmenter.card.name).read_bytes())
    assert "CONV_2D" in operators
    assert not [name for name in operators if "QUANTIZE" in name]


def test_tiles_give_bit_for_bit_what_one_pass_gives(segmenter):
    card = segmenter.card
    width = WIDTHS[card.name]
    made = make_frame(5, SyntheticSettings(width_px=width, height_px=width * 3 // 4, cells=24))
    scale = card.cell_diameter_px / card.frame_cell_diameter_px
    image = network_view(made.frame, scale, card.view)
    height, width = image.shape[:2]
    whole = plan_for(height, width, _with_tiles(card, 10**9))
    least = (2 * card.tiling.margin_px + 8 * card.tiling.stride_px) ** 2
    cut = plan_for(height, width, _with_tiles(card, min(least, height * width // 2)))
    assert len(whole.tiles) == 1
    assert len(cut.tiles) > 1
    assert card.tiling.margin_px >= card.tiling.receptive_field_px
    tiled, at_once = segment(image, segmenter, cut), segment(image, segmenter, whole)
    assert at_once.max() > 128
    np.testing.assert_array_equal(tiled, at_once)


def _with_tiles(card, max_tile_px):
    return msgspec.structs.replace(
        card, tiling=msgspec.structs.replace(card.tiling, max_tile_px=max_tile_px)
    )


@pytest.mark.parametrize("name", available_models())
def test_a_card_says_what_the_model_saw_and_what_it_reached(name):
    card = load_card(find_model(name))
    assert card.name == name
    assert all(source.frames > 0 and source.licence for source in card.training_data)
    assert "CC BY-SA 4.0" in {source.licence for source in card.training_data}
    assert card.metrics


def _annotated_cells(path):
    labels, count = ndimage.label(np.asarray(Image.open(path)) > 127, np.ones((3, 3)))
    areas = np.bincount(labels.ravel())[1:]
    return int((areas >= 0.1 * np.median(areas)).sum()) if count else 0


def _full_size_counts(folder, segmenter):
    for path in sorted((folder / "images").iterdir()):
        true = _annotated_cells(folder / "masks" / path.name)
        yield true, count_frame(read_frame(path), segmenter, CountSettings()).result


@pytest.mark.data
def test_the_full_size_frames_are_counted_near_their_ground_truth(segmenter, data_dir):
    folder, slack = SERVED[segmenter.card.name]
    for true, result in _full_size_counts(data_dir / folder, segmenter):
        assert abs(result.count - true) <= slack, result.image


@pytest.mark.data
@pytest.mark.parametrize("folder", sorted({folder for folder, _ in SERVED.values()}))
def test_a_full_size_frame_of_any_stain_has_its_truth_in_the_interval_or_a_flag(
    segmenter, data_dir, folder
):
    for true, result in _full_size_counts(data_dir / folder, segmenter):
        assert holds(result.interval, true) or result.flags, (result.image, true, result.interval)
