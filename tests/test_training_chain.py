"""Training from scratch, converting and counting, in minutes and on synthetic frames only."""

import json
import os
import shutil
import signal
import subprocess
import sys

import msgspec
import numpy as np
import pytest
from appliance import wait_for
from click.testing import CliRunner
from conftest import tensor_types
from tensorflow.lite.tools import flatbuffer_utils

from convert.cli import cli as convert_cli
from convert.quantize import operator_name, operators
from device.models.card import load_card
from device.models.interpreter import load_segmenter
from device.synthetic import SyntheticSettings, make_frame
from trainer.cli import cli as train_cli
from trainer.fitting.checkpoint import read_log

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(1800),
    pytest.mark.xdist_group("training chain"),  # in one process, so that the run is trained once
]

RECIPE = """
name = "smoke"
cell_diameter_px = 9.5
frame_cell_diameter_px = 38.0
folds = 2
max_tile_px = 30000
thresholds = [0.3, 0.4, 0.5, 0.6, 0.7]
[network]
widths = [8, 16]
bottleneck_filters = 32
bottleneck_kernel = 3
bottleneck_dilations = [1]
[finetune]
epochs = 3
epoch_steps = 60
batch = 4
crop_px = 96
[[finetune.sources]]
kind = "synthetic"
name = "synthetic frames"
licence = "Apache-2.0"
frames = 10
width_px = 640
held_out = true
[finetune.schedule]
kind = "cosine"
learning_rate = 0.01
"""


def invoke(cli, *arguments):
    done = CliRunner().invoke(cli, [str(argument) for argument in arguments])
    assert done.exit_code == 0, done.output
    return done.output


@pytest.fixture(scope="module")
def recipe(tmp_path_factory):
    path = tmp_path_factory.mktemp("recipe") / "smoke.toml"
    path.write_text(RECIPE)
    return path


@pytest.fixture(scope="module")
def run(recipe, tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "smoke"
    invoke(train_cli, "fit", recipe, "--out", out)
    invoke(convert_cli, "model", out)
    return out


def test_three_commands_give_a_model_that_counts(run):
    settings = SyntheticSettings(
        width_px=640, height_px=480, cell_diameter_px=15.2, cells=14, clumping=0.0, faint_cells=0,
        filaments=0, debris=0,
    )  # fmt: skip
    made = make_frame(2024, settings)
    segmenter = load_segmenter(run / "final" / "smoke.tflite", threads=1)
    from device.counting.pipeline import count_frame
    from device.counting.records import CountSettings

    counted = count_frame(made.frame, segmenter, CountSettings(cell_diameter_px=15.2))
    assert abs(counted.result.count - made.count) <= 4


def test_the_converted_network_is_integer_from_end_to_end(run):
    path = run / "final" / "smoke.tflite"
    assert tensor_types(path) <= {np.int8, np.int32}
    assert not [name for name in operators(path.read_bytes()) if "QUANTIZE" in name]
    card = load_card(path)
    assert card.normalisation.input_zero_point == card.normalisation.output_zero_point == -128
    assert card.training_data[0].frames == 10


def test_the_clipped_logit_comes_in_fine_steps(run):
    model = flatbuffer_utils.read_model(str(run / "final" / "smoke.tflite"))
    inputs = [
        graph.tensors[operator.inputs[0]]
        for graph in model.subgraphs
        for operator in graph.operators
        if operator_name(model, operator) == "LOGISTIC"
    ]
    assert inputs
    for tensor in inputs:
        (scale,) = tensor.quantization.scale
        assert 0.25 * scale <= 0.0121


def test_the_interpreter_takes_any_multiple_of_the_stride(run):
    segmenter = load_segmenter(run / "final" / "smoke.tflite", threads=1)
    rng = np.random.default_rng(0)
    for shape in ((64, 64), (96, 72), (64, 64)):
        tile = rng.integers(0, 255, (*shape, 3)).astype(np.uint8)
        assert segmenter(tile).shape == shape


def test_float_and_int8_agree(run):
    output = invoke(convert_cli, "check", run)
    assert "largest difference of a probability" in output
    from convert.convert import check_run
    from trainer.fitting.workflow import open_training

    compared = check_run(open_training(run, run, lambda line: None))
    assert compared.f1_apart <= 0.05
    # Three epochs leave many pixels near the cut-off; a tenth of the frames' 20 cells may tip over.
    assert np.abs(compared.count_differences).mean() <= 2


def test_the_same_weights_give_the_same_file(run, tmp_path):
    invoke(convert_cli, "model", run, "--to", tmp_path)
    again, first = (folder / "smoke.tflite" for folder in (tmp_path, run / "final"))
    assert again.read_bytes() == first.read_bytes()


def test_a_finished_training_is_not_repeated(run, recipe):
    before = (run / "final" / "model.keras").stat().st_mtime_ns
    invoke(train_cli, "fit", recipe, "--out", run)
    assert (run / "final" / "model.keras").stat().st_mtime_ns == before


def test_another_recipe_may_not_write_into_the_same_folder(run, recipe, tmp_path):
    other = tmp_path / "other.toml"
    other.write_text(RECIPE.replace("epochs = 3", "epochs = 4"))
    done = CliRunner().invoke(train_cli, ["fit", str(other), "--out", str(run)])
    assert done.exit_code != 0
    assert "another recipe" in str(done.exception)


def test_cross_validation_scores_every_frame_once(recipe, run, tmp_path):
    out = tmp_path / "smoke"
    quick = tmp_path / "quick.toml"
    quick.write_text(RECIPE.replace("epoch_steps = 60", "epoch_steps = 10"))
    report = invoke(train_cli, "crossvalidate", quick, "--out", out)
    assert "| all" in report
    scores = json.loads((out / "crossvalidation" / "scores.json").read_text())
    assert len(scores) == len({frame["name"] for frame in scores}) == 10
    assert (out / "crossvalidation" / "worst.png").exists()


def train(recipe, out):
    command = [sys.executable, "-m", "trainer.cli", "fit", str(recipe), "--out", str(out)]
    return subprocess.Popen(command, env=os.environ, stdout=subprocess.DEVNULL)


def test_a_killed_training_goes_on_and_ends_where_an_undisturbed_one_ends(recipe, run, tmp_path):
    out = tmp_path / "killed"
    process = train(recipe, out)
    log = out / "final" / "log.csv"
    wait_for((out / "final" / "state.json").exists, 900)
    process.send_signal(signal.SIGKILL)
    process.wait()
    finished = [row["epoch"] for row in read_log(log)]
    assert finished[0] == "1"
    assert not (out / "final" / "model.keras").exists()
    assert train(recipe, out).wait(timeout=900) == 0
    rows, reference = read_log(log), read_log(run / "final" / "log.csv")
    assert [row["epoch"] for row in rows] == ["1", "2", "3"]
    ends = [float(table[-1]["loss"]) for table in (rows, reference)]
    assert ends[0] == pytest.approx(ends[1], rel=0.1)
    shutil.rmtree(out)
    assert msgspec.json.decode((run / "final" / "state.json").read_bytes())["done"]


def quick_recipe(folder, sources):
    text = RECIPE.replace("epochs = 3", "epochs = 1").replace("epoch_steps = 60", "epoch_steps = 8")
    head, source, tail = text.partition("[[finetune.sources]]")
    source, schedule, tail = (source + tail).partition("[finetune.schedule]")
    for seed, name in enumerate(sources, start=1):
        own = source.replace("synthetic frames", name).replace("frames = 10", "frames = 5")
        head += f'{own}path = "{name}"\nseed = {seed}\n'
    path = folder / "quick.toml"
    path.write_text("joins = true\n" + head + schedule + tail)
    return path


def test_a_set_that_is_left_out_is_scored_by_a_network_that_never_saw_its_kind(tmp_path):
    recipe = quick_recipe(tmp_path, ("familiar", "strange"))
    table = invoke(train_cli, "leave-out", recipe, "strange", "--out", tmp_path / "run")
    assert [line.split("|")[1].strip() for line in table.splitlines()[-1:]] == ["strange"]
    assert "familiar" not in table.splitlines()[-1]
    done = CliRunner().invoke(
        train_cli, ["leave-out", str(recipe), "other", "--out", str(tmp_path / "run")]
    )
    assert "its sets are familiar, strange" in str(done.exception)


def test_a_release_judged_by_some_folds_says_so_and_is_calibrated(tmp_path):
    from convert.release import release
    from trainer.fitting.runs import load_run
    from trainer.fitting.workflow import Training

    run = load_run(str(quick_recipe(tmp_path, ("one", "two"))))
    training = Training(run, tmp_path / "run", tmp_path, lambda line: None)
    path = release(training, [1], tmp_path / "models", tmp_path / "weights")
    card = load_card(path)
    assert card.confidence.frames == 5
    assert not (tmp_path / "run" / "fold-0").exists()
    assert [own.on for own in card.metrics] == [
        "cross-validation by frame, 1 of 2 folds, int8 network"
    ]
    assert (tmp_path / "weights" / "smoke.keras").is_file()
