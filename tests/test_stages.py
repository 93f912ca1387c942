"""A network cut into stages is the network: every number of every tile stays the same."""

import keras
import msgspec
import numpy as np
import pytest
from conftest import make_card

from convert.graph import deployable
from convert.quantize import open_interpreter, operators, quantize
from convert.stages import cut
from device.models import staging
from device.models.stages import StagedNetwork, WholeNetwork
from trainer.fitting.segmenter import KerasSegmenter
from trainer.network.baselines import build_network
from trainer.network.resunet import Network

NETWORK = Network(
    widths=(4, 8, 8), bottleneck_filters=12, bottleneck_kernel=5, bottleneck_dilations=(1, 2)
)


def awake(network):
    """Random weights, those of batch normalisation included, whose outputs spread over 0 to 1."""
    keras.utils.set_random_seed(3)
    model = build_network(network)
    rng = np.random.default_rng(3)
    model.set_weights(
        [
            rng.uniform(0.5, 1.5, values.shape) if values.ndim == 1 else values
            for values in model.get_weights()
        ]
    )
    return model


@pytest.fixture(scope="module")
def model():
    return awake(NETWORK)


@pytest.fixture(scope="module")
def tflite(model):
    tiles = np.random.default_rng(1).integers(0, 256, (100, 64, 64, 3), dtype=np.uint8)
    return quantize(model, tiles)


def test_the_deployed_graph_computes_what_was_trained(model):
    image = np.random.default_rng(2).random((1, 64, 96, 3), dtype=np.float32)
    logit = np.log(np.asarray(model(image)).clip(1e-9) / (1 - np.asarray(model(image))).clip(1e-9))
    expected = 1 / (1 + np.exp(-logit.clip(-6, 6)))
    found = np.asarray(deployable(model, 64, 96)(image))
    assert expected.std() > 0.05
    np.testing.assert_allclose(found, expected, atol=2e-4)


def test_fast_kernels_exist_for_all_of_it(tflite):
    found = set(operators(tflite))
    assert found <= {
        "CONV_2D", "MAX_POOL_2D", "MUL", "ADD", "DEPTH_TO_SPACE", "CONCATENATION", "LOGISTIC",
    }  # fmt: skip


@pytest.mark.parametrize("shape", [(64, 64), (200, 136), (72, 320)])
@pytest.mark.parametrize("tile_px", [600, 5000])
def test_stages_give_bit_for_bit_what_one_graph_gives(tflite, shape, tile_px, monkeypatch):
    monkeypatch.setattr(staging, "stage_tile_px", lambda stage: tile_px)
    parts, tilings = cut(tflite)
    assert len(tilings) == 5
    image = np.random.default_rng(4).integers(-128, 128, (*shape, 3), dtype=np.int8)
    whole = WholeNetwork(open_interpreter(tflite))(image)
    staged = StagedNetwork(open_interpreter(parts), tilings)
    assert whole.std() > 5
    np.testing.assert_array_equal(staged(image), whole)


def test_a_margin_that_is_too_small_would_be_seen(tflite, monkeypatch):
    monkeypatch.setattr(staging, "stage_tile_px", lambda stage: 600)
    parts, tilings = cut(tflite)
    image = np.random.default_rng(4).integers(-128, 128, (200, 136, 3), dtype=np.int8)
    whole = WholeNetwork(open_interpreter(tflite))(image)
    none = tuple(msgspec.structs.replace(tiling, margin_px=0) for tiling in tilings)
    staged = StagedNetwork(open_interpreter(parts), none)
    assert not np.array_equal(staged(image), whole)


def test_int8_follows_float(model, tflite):
    tile = np.random.default_rng(5).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    codes = WholeNetwork(open_interpreter(tflite))((tile ^ 0x80).view(np.int8))
    expected = KerasSegmenter(model, make_card())(tile).astype(int)
    apart = np.abs(codes.view(np.uint8).astype(int) ^ 0x80 - expected)
    assert np.median(apart) <= 8


def test_a_network_of_one_level_stays_whole():
    shallow = awake(Network(widths=(4,), bottleneck_filters=8, bottleneck_dilations=(1,)))
    tiles = np.random.default_rng(1).integers(0, 256, (100, 32, 32, 3), dtype=np.uint8)
    whole = quantize(shallow, tiles)
    assert cut(whole) == (whole, ())
