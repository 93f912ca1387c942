"""A network cut into stages is the network: every number of every tile stays the same."""

from pathlib import Path

import keras
import msgspec
import numpy as np
import pytest
from conftest import make_card

from convert.graph import deployable
from convert.quantize import open_interpreter, operators, quantize
from convert.stages import cut
from convert.wide import widen_kernel
from device.machine.processor import multiplies_int8_fast
from device.models import staging
from device.models.card import load_card
from device.models.interpreter import interpreter_class
from device.models.stages import StagedNetwork, WholeNetwork
from trainer.fitting.segmenter import KerasSegmenter
from trainer.network.baselines import build_network
from trainer.network.resunet import Network

MODELS = Path(staging.__file__).parent
NETWORK = Network(
    widths=(4, 8, 8), bottleneck_filters=12, bottleneck_kernel=5, bottleneck_dilations=(1, 2)
)


WIDE_COLUMNS = [8, 1, 1, 1, 4]
"""Of the stages: the first and the last are the finest."""


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
@pytest.mark.parametrize("wide", [False, True])
def test_stages_give_bit_for_bit_what_one_graph_gives(tflite, shape, tile_px, wide, monkeypatch):
    monkeypatch.setattr(staging, "stage_tile_px", lambda stage: tile_px)
    parts, tilings = cut(tflite)
    assert len(tilings) == 5
    image = np.random.default_rng(4).integers(-128, 128, (*shape, 3), dtype=np.int8)
    whole = WholeNetwork(open_interpreter(tflite))(image)
    assert [tiling.wide_columns for tiling in tilings] == WIDE_COLUMNS
    staged = StagedNetwork(open_interpreter(parts), tilings, wide)
    assert whole.std() > 5
    np.testing.assert_array_equal(staged(image), whole)


def test_a_wide_kernel_is_the_plain_one_between_packed_pixels():
    rng = np.random.default_rng(6)
    kernel = rng.integers(-9, 9, (5, 3, 7, 3))
    columns = 2
    reads, writes = (np.indices((columns, n)).reshape(2, -1).T for n in (3, 5))
    wide = widen_kernel(kernel, reads, writes, columns)
    assert wide.shape == (10, 3, 5, 6)
    for tap, source, target in np.ndindex(5, columns, columns):
        offset = (tap - 2) * columns + source - target
        part = wide[5 * target : 5 * target + 5, :, tap, 3 * source : 3 * source + 3]
        expected = kernel[:, :, offset + 3] if abs(offset) <= 3 else 0
        np.testing.assert_array_equal(part, np.broadcast_to(expected, part.shape))


@pytest.mark.parametrize("name", ["any", "c-resunet", "fast"])
def test_the_shipped_models_give_the_same_in_both_forms(name):
    path = MODELS / f"{name}.tflite"
    tilings = load_card(path).tiling.stages
    assert [tiling.wide_columns for tiling in tilings] == [4, 1, 1, 1, 4]
    image = np.random.default_rng(4).integers(-128, 128, (160, 208, 3), dtype=np.int8)
    plain, wide = (
        StagedNetwork(interpreter_class()(model_path=str(path)), tilings, form)(image)
        for form in (False, True)
    )
    np.testing.assert_array_equal(plain, wide)


def test_a_stage_with_another_operator_has_no_wide_form(tflite):
    parts, tilings = cut(tflite)
    names = open_interpreter(parts).get_signature_list()
    assert sorted(names) == ["0", "0w", "1", "2", "3", "4", "4w"]
    assert tilings[1].wide_columns == 1  # it begins with a pooling


def test_a_processor_without_fast_products_runs_the_plain_form(tmp_path):
    told = {
        "server": ("flags\t\t: fpu avx512f avx512_vnni fma", True),
        "old server": ("flags\t\t: fpu avx512f fma", False),
        "Pi 4": ("Features\t: fp asimd evtstrm crc32 cpuid", False),
        "name": ("model name\t: avx512_vnni", False),
    }
    for name, (text, expected) in told.items():
        (tmp_path / name).write_text(f"processor\t: 0\n{text}\n")
        assert multiplies_int8_fast(tmp_path / name) is expected
    assert multiplies_int8_fast(tmp_path / "absent") is False


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
