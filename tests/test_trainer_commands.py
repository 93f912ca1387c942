"""Evaluation, proposals, synthetic sets, the published split and the study, without TensorFlow where it can be."""

import json

import msgspec
import numpy as np
import pytest
from annotated import discs, example_of, frame_score
from click.testing import CliRunner
from conftest import FakeSegmenter, make_frame
from PIL import Image

from device.synthetic import SyntheticSettings
from device.synthetic import make_frame as synthetic_frame
from trainer.cli import cli
from trainer.experiments.study import (
    EXPERIMENTS,
    FIJI,
    NAMES,
    base_run,
    pretraining_key,
    run_study,
    study_table,
)
from trainer.scores.classical import fiji_way, propose_mask
from trainer.scores.evaluate import (
    bootstrap,
    classes,
    count_example,
    pool_scores,
    score,
)
from trainer.scores.report import best_median_worst, picture, table


def test_a_perfect_segmenter_scores_one_through_the_device_pipeline():
    labels = discs((220, 260), (60, 60, 18), (60, 150, 18), (150, 120, 18))
    example = example_of(labels)
    outcome = score(example, count_example(example, FakeSegmenter()))
    pooled = pool_scores([outcome])
    assert (pooled.f1, pooled.precision, pooled.recall, pooled.mae) == (1, 1, 1, 0)
    assert pooled.mean_iou >= pooled.cell_iou > 0.95


def test_an_empty_frame_counted_empty_is_right_and_an_invented_cell_is_wrong():
    empty = np.zeros((100, 100), np.int32)
    right = example_of(empty)
    assert pool_scores([score(right, count_example(right, FakeSegmenter()))]).f1 == 1
    invented = example_of(
        empty, image=((discs((100, 100), (50, 50, 18)) > 0) * 200).astype(np.uint8)
    )
    pooled = pool_scores([score(invented, count_example(invented, FakeSegmenter()))])
    assert (pooled.f1, pooled.mae, pooled.bias, pooled.cell_iou) == (0, 1, 1, 0)
    assert pooled.mean_iou == pytest.approx((1 - 0.09) / 2, abs=0.03)


def test_the_radius_is_strict_and_scales_with_the_frame():
    target, shifted = discs((60, 120), (30, 30, 6)), discs((60, 120), (30, 55, 6))
    for scale, found in ((1.9, 1), (2.0, 0)):
        example = example_of(target, scale=scale)
        assert score(example, example_of(shifted)).found == found
        assert score(example, example_of(shifted), at_full_size=60.0).found == 1


def test_detections_inside_one_merged_target_count_once_in_the_lenient_score():
    target = np.zeros((60, 100), np.int32)
    target[20:40, 20:80] = 1
    split = np.zeros_like(target)
    split[20:40, 20:50], split[20:40, 50:80] = 1, 2
    pooled = pool_scores([score(example_of(target), example_of(split))])
    assert pooled.f1 == pytest.approx(2 / 3)
    assert pooled.f1_merged == 1


def test_pooling_is_over_objects_and_errors_over_frames():
    pooled = pool_scores(
        [frame_score(), frame_score(targets=0, detections=3, found=0, cell_iou=1.0)]
    )
    assert pooled.precision == pytest.approx(8 / 13)
    assert pooled.recall == pytest.approx(0.8)
    assert pooled.mae == pytest.approx(1.5)
    assert pooled.bias == pytest.approx(1.5)


def test_the_bootstrap_interval_holds_the_value_and_narrows_to_it_for_equal_frames():
    frames = [frame_score(found=found) for found in range(1, 11)]
    low, high = bootstrap(frames, lambda scores: scores.f1, draws=200)
    assert low < pool_scores(frames).f1 < high
    same = bootstrap([frame_score()] * 5, lambda scores: scores.f1, draws=50)
    assert same == pytest.approx((0.8, 0.8))


def test_frames_are_classed_by_their_cells():
    assert classes(frame_score(targets=0), frozenset()) == ["empty"]
    assert classes(frame_score(targets=3, width=1600), frozenset()) == ["sparse", "full size"]
    assert classes(frame_score(targets=30), frozenset({"a"})) == ["crowded", "artefacts"]


def test_the_table_has_a_row_for_each_class_that_occurs():
    text = table([frame_score(), frame_score("b", targets=0, detections=0, found=0)])
    assert "| all" in text
    assert "| empty" in text
    assert "crowded" not in text


def test_the_picture_paints_true_missed_and_wrong_in_their_colours():
    target = discs((100, 300), (50, 40, 12), (50, 150, 12))
    found = discs((100, 300), (50, 42, 12), (50, 260, 12))
    painted = np.asarray(picture(example_of(target), example_of(found)))
    assert tuple(painted[38, 42]) == (0, 220, 90)
    assert tuple(painted[38, 150]) == (255, 60, 60)
    assert tuple(painted[38, 260]) == (70, 140, 255)


def test_best_median_and_worst_are_by_f1():
    frames = [frame_score(str(found), found=found) for found in (3, 9, 6)]
    ranked = {rank: frame.name for rank, frame in best_median_worst(frames).items()}
    assert ranked == {"best": "9", "median": "6", "worst": "3"}


@pytest.mark.parametrize("way", [lambda f, d: fiji_way(f, d).labels > 0, propose_mask])
def test_classical_ways_find_bright_discs_and_nothing_in_a_blank_frame(way):
    labels = discs((240, 320), (60, 60, 18), (120, 200, 18), (190, 90, 18))
    rng = np.random.default_rng(0)
    image = ((labels > 0) * 150 + 20 + rng.normal(0, 4, labels.shape)).clip(0, 255).astype(np.uint8)
    mask = way(make_frame(image), 36.0)
    assert (mask & (labels > 0)).sum() / (mask | (labels > 0)).sum() > 0.6
    assert not way(make_frame(np.full((100, 100), 7, np.uint8)), 36.0).any()


def test_the_fiji_way_splits_touching_discs():
    labels = discs((200, 240), (100, 80, 20), (100, 116, 20))
    assert fiji_way(make_frame(((labels > 0) * 200).astype(np.uint8)), 40.0).labels.max() == 2


def test_proposals_catch_the_cells_of_a_synthetic_frame():
    made = synthetic_frame(5, SyntheticSettings(width_px=640, height_px=480, cell_diameter_px=15.2))
    mask = propose_mask(made.frame, 15.2)
    touched = {int(value) for value in np.unique(made.labels[mask])} - {0}
    assert len(touched) >= 0.9 * made.count


def test_propose_and_synthesize_write_what_they_say(tmp_path):
    done = CliRunner().invoke(
        cli, ["synthesize", "--frames", "2", "--width", "320", "--out", str(tmp_path / "s")]
    )
    assert done.exit_code == 0, done.output
    assert len(list((tmp_path / "s" / "labels").iterdir())) == 2
    arguments = ["propose", str(tmp_path / "s" / "images"), "--out", str(tmp_path / "p")]
    done = CliRunner().invoke(cli, arguments)
    assert done.exit_code == 0, done.output
    masks = sorted((tmp_path / "p" / "masks").iterdir())
    assert len(masks) == 2
    assert set(np.unique(np.asarray(Image.open(masks[0])))) <= {0, 255}


def test_evaluate_writes_scores_and_pictures(tmp_path, monkeypatch):
    from trainer.experiments import scoring

    monkeypatch.setattr(scoring, "open_segmenter", lambda model: FakeSegmenter())
    folder = tmp_path / "frames"
    for sub in ("images", "masks"):
        (folder / sub).mkdir(parents=True)
        labels = discs((300, 400), (100, 100, 5), (200, 250, 5))
        Image.fromarray(((labels > 0) * 255).astype(np.uint8)).save(folder / sub / "a.png")
    out = tmp_path / "out"
    done = CliRunner().invoke(cli, ["evaluate", "fake", str(folder), "--out", str(out)])
    assert done.exit_code == 0, done.output
    assert json.loads((out / "scores.json").read_text())[0]["found"] == 2
    assert (out / "best.png").exists()


def test_the_study_names_what_was_not_run(tmp_path):
    lines = study_table(tmp_path).splitlines()
    assert len(lines) == 2 + len(NAMES)
    assert all("not run" in line for line in lines[2:])


def test_every_experiment_of_the_study_differs_from_the_base_and_shares_what_it_can():
    base = base_run()
    for name, (_, variant) in EXPERIMENTS.items():
        assert (variant(base) == base) == (name == "base")
    same = {
        n for n, (_, v) in EXPERIMENTS.items() if pretraining_key(v(base)) == pretraining_key(base)
    }
    assert same == {
        "base", "no-weight-maps", "swapped-class-weights", "dice", "no-elastic", "plain-components",
    }  # fmt: skip


def test_the_classical_experiment_of_the_study_runs_and_is_not_repeated(tmp_path, monkeypatch):
    from trainer.experiments import study

    run = base_run()
    source = msgspec.structs.replace(
        run.finetune.sources[0], kind="pairs", path="frames", name="tiny", share=None
    )
    finetune = msgspec.structs.replace(run.finetune, sources=(source,))
    tiny = msgspec.structs.replace(run, finetune=finetune, pretrain=None)
    monkeypatch.setattr(study, "base_run", lambda: tiny)
    labels = discs((300, 400), (100, 100, 5), (200, 250, 5))
    for sub in ("images", "masks"):
        (tmp_path / "frames" / sub).mkdir(parents=True)
        Image.fromarray(((labels > 0) * 255).astype(np.uint8)).save(
            tmp_path / "frames" / sub / "a.png"
        )
    results = tmp_path / "study"
    lines: list[str] = []
    for _ in range(2):
        run_study([FIJI], tmp_path / "runs", results, tmp_path, lines.append)
    assert lines == ["study: fiji"]
    assert "1.000" in study_table(results)


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("layout", ["version_1", "version_2"])
def test_one_command_reproduces_split_and_table_of_an_archive(layout, request, tmp_path):
    archive = request.getfixturevalue(layout)
    recipe = tmp_path / "tiny.toml"
    recipe.write_text(
        """
name = "tiny"
cell_diameter_px = 19.0
frame_cell_diameter_px = 38.0
[network]
widths = [4]
bottleneck_filters = 4
bottleneck_kernel = 3
bottleneck_dilations = [1]
[finetune]
epochs = 1
epoch_steps = 3
batch = 2
crop_px = 32
crops = "grid"
validation_share = 0.3
[[finetune.sources]]
kind = "fnc_v1"
name = "replaced"
licence = "x"
"""
    )
    out = tmp_path / "out"
    arguments = ["paper", str(archive), "--recipe", str(recipe), "--out", str(out)]
    done = CliRunner().invoke(cli, arguments)
    assert done.exit_code == 0, done.output
    assert "Scientific Reports" in done.output
    assert "2 images" in done.output
    assert len(json.loads((out / "test-scores.json").read_text())) == 2
