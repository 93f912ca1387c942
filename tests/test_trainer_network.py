"""The networks, their reach and cost, losses and schedules."""

import json
import os
import subprocess
import sys

import keras
import msgspec
import numpy as np
import pytest
from conftest import make_frame

from device.counting.pipeline import count_frame
from device.counting.records import CountSettings
from device.errors import SettingsError
from trainer.fitting.averaging import EVERY_STEPS, WeightAverage
from trainer.fitting.checkpoint import State, read_log
from trainer.fitting.fit import Task, after_epoch, fit, learning_rate_at
from trainer.fitting.losses import Loss, PixelLoss
from trainer.fitting.runs import Phase, Run, Schedule, load_run, recipe_names, to_toml
from trainer.fitting.sampling import Pool
from trainer.fitting.segmenter import KerasSegmenter, make_card, to_codes
from trainer.frames.augment import Layers
from trainer.network.baselines import REGISTRY, build_network
from trainer.network.receptive import gmac, reach, total_stride
from trainer.network.resunet import PAPER_PARAMETERS, Network, build_resunet, logit_model

SMALL = Network(widths=(4, 8), bottleneck_filters=8, bottleneck_kernel=3, bottleneck_dilations=(1,))


def test_c_resunet_has_the_parameters_of_the_paper():
    assert build_resunet(Network()).count_params() == PAPER_PARAMETERS == 1_709_177


def test_c_resunet_looks_92_to_99_px_far():
    assert msgspec.structs.astuple(reach(build_resunet(Network()))) == (8, 92, 99)


@pytest.mark.parametrize("kind", REGISTRY)
def test_the_computed_reach_bounds_what_changes_the_output(kind):
    network = msgspec.structs.replace(SMALL, kind=kind, colour_filters=0, activation="elu")
    model = logit_model(build_network(network))
    seen = reach(model)
    size, middle = 40 * seen.stride_px, 20 * seen.stride_px
    rng = np.random.default_rng(0)
    image = rng.random((1, size, size, 3), np.float32)
    changed = image.copy()
    changed[:, middle] = rng.random((1, size, 3))
    rows = np.abs(np.asarray(model(image) - model(changed))).max(axis=(0, 2, 3)) > 0
    touched = np.flatnonzero(rows)
    assert middle - touched.min() <= seen.most_px
    assert touched.max() - middle <= seen.most_px
    assert seen.least_px <= max(middle - touched.min(), touched.max() - middle)


@pytest.mark.parametrize("kind", REGISTRY)
def test_every_network_keeps_the_size_and_ends_in_a_probability(kind):
    model = build_network(msgspec.structs.replace(SMALL, kind=kind))
    image = np.random.default_rng(1).random((2, 32, 40, 3), np.float32)
    probability = np.asarray(model(image))
    assert probability.shape == (2, 32, 40, 1)
    assert 0 <= probability.min() <= probability.max() <= 1


def test_a_strided_stem_and_separable_blocks_cost_less():
    plain = build_resunet(SMALL)
    folded = build_resunet(msgspec.structs.replace(SMALL, stem_stride=2))
    cheap = build_resunet(msgspec.structs.replace(SMALL, separable=True))
    assert total_stride(folded) == 2 * total_stride(plain)
    assert folded(np.zeros((1, 32, 32, 3), np.float32)).shape == (1, 32, 32, 1)
    assert gmac(folded, 320, 320) < 0.5 * gmac(plain, 320, 320)
    assert gmac(cheap, 320, 320) < 0.6 * gmac(plain, 320, 320)


def test_multiply_accumulates_of_known_layers():
    network = msgspec.structs.replace(SMALL, kind="unet", colour_filters=0, widths=(4,))
    model = build_network(network)
    pixels = 16 * 16
    expected = pixels * 9 * (3 * 4 + 4 * 4)  # two convolutions at full size
    expected += pixels // 4 * 9 * (4 * 8 + 8 * 8)  # bottleneck
    expected += pixels // 4 * 4 * 8 * 4  # transposed 2x2
    expected += pixels * 9 * (8 * 4 + 4 * 4) + pixels * 4  # decoder and logit
    assert gmac(model, 16, 16) * 1e9 == expected


def test_an_unknown_network_is_refused():
    with pytest.raises(SettingsError, match="no network 'resnet'"):
        build_network(Network(kind="resnet"))


def literal_loss(target, weight, logit):
    p = 1 / (1 + np.exp(-logit))
    entropy = -(target * np.log(p) + (1 - target) * np.log(1 - p))
    return (weight * entropy).sum() / weight.sum()


def test_the_loss_is_the_weighted_mean_cross_entropy():
    rng = np.random.default_rng(0)
    target = (rng.random((2, 5, 5, 1)) > 0.5).astype(np.float32)
    weight = rng.uniform(1, 3, target.shape).astype(np.float32)
    logit = rng.normal(0, 3, target.shape).astype(np.float32)
    truth = np.concatenate([target, weight], axis=-1)
    value = float(PixelLoss.of(Loss())(truth, logit))
    assert value == pytest.approx(literal_loss(target, weight, logit), rel=1e-5)
    with_dice = float(PixelLoss.of(Loss(dice=1.0))(truth, logit))
    assert 0 < with_dice - value < 1
    assert float(PixelLoss.of(Loss(focal_gamma=2.0))(truth, logit)) < value


def test_the_loss_survives_extreme_logits():
    truth = np.ones((1, 2, 2, 2), np.float32)
    assert np.isfinite(float(PixelLoss()(truth, np.full((1, 2, 2, 1), -200.0, np.float32))))


def test_plateau_multiplies_by_0_7_after_4_epochs_and_stops():
    schedule = Schedule(stop_patience=9)
    state = State(learning_rate=0.006)
    assert after_epoch(schedule, state, 1.0)
    for _ in range(4):
        assert not after_epoch(schedule, state, 1.0)
    assert state.learning_rate == pytest.approx(0.0042)
    assert not state.done
    for _ in range(5):
        after_epoch(schedule, state, 1.0)
    assert state.done


def test_cosine_warms_up_and_falls_to_almost_nothing():
    schedule = Schedule(kind="cosine", learning_rate=0.01, warmup_steps=10)
    rates = [learning_rate_at(schedule, State(learning_rate=1), step, 100) for step in range(100)]
    assert rates[0] < 0.002
    assert max(rates) == pytest.approx(0.01, rel=0.05)
    assert rates[-1] < 0.0001


def test_the_average_follows_constant_weights_and_smooths_others():
    average = WeightAverage(0.9)
    for step in range(1, 200, EVERY_STEPS):
        average.update([np.array([3.0]), np.array([float(step // EVERY_STEPS % 2)])], step)
    assert average.values[0][0] == pytest.approx(3.0)
    assert 0.2 < average.values[1][0] < 0.8


def test_codes_are_rounded_and_saturate():
    assert to_codes(np.array([0.0, 0.5, 0.998, 1.0])).tolist() == [0, 128, 255, 255]


def run_of(network=SMALL):
    return msgspec.structs.replace(
        load_run("fast"), network=network, cell_diameter_px=10.0, max_tile_px=96 * 96
    )


def test_a_float_network_counts_tiled_like_whole_through_the_device_pipeline():
    run = run_of()
    model = build_network(run.network)
    card = make_card(run, model, 0.5)
    image = np.random.default_rng(3).integers(0, 255, (150, 170, 3)).astype(np.uint8)
    frame = make_frame(image)
    settings = CountSettings(cell_diameter_px=10.0)
    tiled = count_frame(frame, KerasSegmenter(model, card), settings)
    whole_tiling = msgspec.structs.replace(card.tiling, max_tile_px=10**9)
    whole_card = msgspec.structs.replace(card, tiling=whole_tiling)
    whole = count_frame(frame, KerasSegmenter(model, whole_card), settings)
    difference = tiled.probability.astype(int) - whole.probability.astype(int)
    assert np.abs(difference).max() <= 1


@pytest.mark.parametrize("name", recipe_names())
def test_recipes_survive_a_round_trip(name, tmp_path):
    run = load_run(name)
    path = tmp_path / "run.toml"
    path.write_text(to_toml(run))
    assert load_run(str(path)) == run
    assert run.name == name


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("name = 3", "Expected `str`"),
        ("nam = 'x'", "nam"),
        ("[", "cannot be used"),
        ("", "finetune|name"),
    ],
)
def test_a_wrong_recipe_gives_one_sentence(text, reason, tmp_path):
    path = tmp_path / "run.toml"
    path.write_text(text)
    with pytest.raises(SettingsError, match=reason) as raised:
        load_run(str(path))
    assert "\n" not in str(raised.value)


def test_a_missing_recipe_names_the_shipped_ones():
    with pytest.raises(SettingsError, match="fast"):
        load_run("nothing")


def test_unknown_keys_are_refused():
    with pytest.raises(msgspec.ValidationError, match="epoch"):
        msgspec.convert({"name": "x", "finetune": {"sources": [], "epoch": 3}}, type=Run)


TINY = msgspec.structs.replace(SMALL, widths=(4,), bottleneck_filters=4)
"""Every layer kind once: what is trained is soon compiled."""


def tiny_training(folder, log=lambda line: None, precision="float32"):
    keras.utils.set_random_seed(1)
    stack = np.zeros((48, 48, 5), np.float32)
    stack[10:24, 10:24, :4] = (200, 160, 20, 1)
    pool = Pool([Layers(stack, 1.0, np.array([[17.0, 17.0]]))], np.ones(1))
    schedule = Schedule(kind="cosine", learning_rate=0.01, ema=0.9, weight_decay=0.01)
    phase = Phase(sources=(), epochs=3, epoch_steps=6, batch=2, crop_px=32, schedule=schedule)
    task = Task(pool=pool, watched=None, phase=phase, seed=1, precision=precision)
    return fit(build_network(TINY), task, folder, log)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """A training from start to end, and its folder."""
    folder = tmp_path_factory.mktemp("whole")
    return tiny_training(folder), folder


def test_a_training_stopped_twice_ends_with_the_weights_of_an_undisturbed_one(
    undisturbed, tmp_path
):
    whole, _ = undisturbed

    def stop(line):
        if line.startswith("epoch"):
            raise KeyboardInterrupt

    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            tiny_training(tmp_path / "stopped", stop)
    resumed = tiny_training(tmp_path / "stopped")
    rows = [row["epoch"] for row in read_log(tmp_path / "stopped" / "log.csv")]
    assert rows == ["1", "2", "3"]
    for one, other in zip(whole.get_weights(), resumed.get_weights(), strict=True):
        assert np.allclose(one, other, atol=1e-4)
    assert (tmp_path / "stopped" / "curve.png").exists()
    assert not list((tmp_path / "stopped").glob("checkpoint-*"))


def test_a_training_in_bfloat16_leaves_a_float32_network(undisturbed, tmp_path):
    whole, folder = undisturbed
    half = tiny_training(tmp_path / "half", precision="mixed_bfloat16")
    losses = [
        float(read_log(place / "log.csv")[-1]["loss"]) for place in (folder, tmp_path / "half")
    ]
    assert losses[1] == pytest.approx(losses[0], rel=0.1)
    assert {weight.dtype for weight in half.weights} == {"float32"}
    saved = keras.models.load_model(tmp_path / "half" / "model.keras", compile=False)
    image = np.random.default_rng(1).random((1, 32, 32, 3), np.float32)
    assert {layer.compute_dtype for layer in saved.layers} == {"float32"}
    assert np.array_equal(saved(image), half(image))
    assert whole.count_params() == half.count_params()


JAX_SCRIPT = """
import json, sys
import numpy as np
from pathlib import Path
from trainer.network.baselines import build_network
from trainer.fitting.fit import Task, fit
from trainer.fitting.runs import Phase, Schedule
from trainer.network.resunet import Network
from trainer.frames.augment import Layers
from trainer.fitting.sampling import Pool
import keras
keras.utils.set_random_seed(1)
stack = np.zeros((48, 48, 5), np.float32)
stack[10:24, 10:24, :4] = (200, 160, 20, 1)
pool = Pool([Layers(stack, 1.0, np.array([[17.0, 17.0]]))], np.ones(1))
phase = Phase(sources=(), epochs=2, epoch_steps=8, batch=2, crop_px=32,
              schedule=Schedule(kind="cosine", learning_rate=0.01, ema=0.9))
network = Network(widths=(4, 8), bottleneck_filters=8, bottleneck_kernel=3, bottleneck_dilations=(1,))
task = Task(pool=pool, watched=None, phase=phase, seed=1)
model = fit(build_network(network), task, Path(sys.argv[1]))
probability = np.asarray(model(stack[None, :, :, :3] / np.float32(255)))
np.save(sys.argv[2], probability)
print(json.dumps({"backend": keras.backend.backend()}))
"""


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_what_jax_trained_tensorflow_loads_and_computes_alike(tmp_path):
    pytest.importorskip("jax")
    output = tmp_path / "jax.npy"
    done = subprocess.run(
        [sys.executable, "-c", JAX_SCRIPT, tmp_path / "run", output],
        env={**os.environ, "KERAS_BACKEND": "jax"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(done.stdout.splitlines()[-1]) == {"backend": "jax"}
    model = build_network(SMALL)
    model.load_weights(tmp_path / "run" / "model.keras")
    image = np.zeros((1, 48, 48, 3), np.float32)
    image[0, 10:24, 10:24] = np.array([200, 160, 20]) / 255
    assert np.allclose(np.asarray(model(image)), np.load(output), atol=1e-4)
