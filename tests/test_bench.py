import json
from pathlib import Path

import msgspec
import numpy as np
import pytest
from click.testing import CliRunner
from conftest import draw_discs, make_card
from PIL import Image

from device.bench.children import BenchError
from device.bench.folder import as_table as as_folder_table
from device.bench.folder import measure_folder
from device.bench.frames import given_frames, synthetic_frames
from device.bench.limit import int8_limit_gmac_s
from device.bench.measure import measure
from device.bench.report import REFERENCE, as_table, draw, summarise
from device.bench.startup import seconds_to_first_tile
from device.bench.worker import plan_of
from device.commands.bench import command
from device.counting.card import Tiling
from device.imageio import read_frame
from device.models.card import DEFAULT_MODEL, find_model
from device.models.staging import gmac_of

CHILD = str(Path(__file__).parent / "bench_child.py")


@pytest.fixture
def frames(tmp_path) -> list[Path]:
    paths = []
    for cells in (1, 3):
        discs = [(60 + 100 * cell, 60, 37) for cell in range(cells)]
        path = tmp_path / f"{cells}.png"
        Image.fromarray(draw_discs((128, 400), discs)).save(path)
        paths.append(path)
    return paths


def test_workers_alternate_and_ratios_are_those_of_the_medians(frames):
    workers = {"quick": [CHILD, "quick"], REFERENCE: [CHILD, "reference", "0.3"]}
    progress = []
    measured = measure(workers, frames, 2, lambda *now: progress.append(now))
    assert progress[-1] == (10, 10)
    assert [len(one.timings) for one in measured] == [4, 4]
    assert [timing.count for timing in measured[0].timings] == [1, 3, 1, 3]
    summary = summarise(measured)
    assert list(summary.models) == ["quick"]
    quick = summary.models["quick"]
    assert quick.speedup == pytest.approx(summary.reference.seconds / quick.seconds, rel=0.05)
    assert quick.speedup > 1
    assert 0.5 < quick.memory_ratio < 2
    assert summary.reference.peak_mb > 20
    assert quick.gmac == 2.0
    table = as_table(measured)
    assert "50%" in table  # computed twice, and 200 of 400 GMAC/s
    assert f"{quick.speedup:.1f} x" in table
    assert "| + diameter s" in table
    assert measured[0].diameter_s is None


def test_the_json_line_has_the_agreed_fields(frames):
    measured = measure({"quick": [CHILD, "quick"]}, frames[:1], 1, lambda *_: None)
    line = json.loads(msgspec.json.encode(summarise(measured)))
    assert line["reference"] is None
    assert set(line["models"]["quick"]) == {"speedup", "memory_ratio", "seconds", "gmac"}
    assert line["models"]["quick"]["speedup"] is None


def test_a_worker_that_dies_is_named_with_its_last_words(frames, tmp_path):
    deadly = frames[0].rename(tmp_path / "deadly.png")
    with pytest.raises(BenchError, match="quick stopped: killed by the deadly image"):
        measure({"quick": [CHILD, "quick"]}, [deadly], 1, lambda *_: None)


def test_the_picture_is_drawn(frames, tmp_path):
    pytest.importorskip("matplotlib")
    measured = measure({"quick": [CHILD, "quick"]}, frames[:1], 1, lambda *_: None)
    assert draw(measured, tmp_path / "sub" / "bench.png")
    assert Image.open(tmp_path / "sub" / "bench.png").width > 600


def test_synthetic_frames_hold_what_was_asked_for(tmp_path):
    paths = synthetic_frames(tmp_path, cells=(0, 5), width_px=400)
    assert given_frames([tmp_path]) == sorted(paths)
    assert all(read_frame(path).image.shape == (300, 400, 3) for path in paths)
    assert read_frame(paths[1]).image.max() > read_frame(paths[0]).image.max() // 2


def test_gmac_grow_with_the_pixels_that_are_computed():
    tiling = Tiling(stride_px=8, receptive_field_px=96, margin_px=96, max_tile_px=370_000)
    card = make_card(gmac_per_frame=100.0, tiling=tiling)
    plan = plan_of(1200, 1600, card)
    overlap = plan.computed_px / (1200 * 1600)
    assert overlap > 1.2
    assert gmac_of(plan, plan, card) == pytest.approx(100 * overlap)


def test_the_interpreter_multiplies_matrices():
    pytest.importorskip("ai_edge_litert")
    assert np.isfinite(int8_limit_gmac_s(1))
    assert int8_limit_gmac_s(1) > 0.01


def test_the_reference_says_what_it_lacks(tmp_path):
    missing = str(tmp_path / "none.keras")
    result = CliRunner().invoke(command, ["--reference", "--reference-weights", missing])
    assert result.exception is not None
    said = str(result.exception)
    assert any(part in said for part in ("none.keras", "No model is shipped", "needs Keras"))


def test_a_folder_is_measured_both_ways(tmp_path):
    pytest.importorskip("ai_edge_litert")
    frames = tmp_path / "frames"
    frames.mkdir()
    synthetic_frames(frames, (3, 5, 2, 4), width_px=256)
    one_by_one, side_by_side = measure_folder(
        find_model(DEFAULT_MODEL), frames, tmp_path / "out", cores=2
    )
    assert (one_by_one.workers, one_by_one.threads) == (1, 2)
    assert side_by_side.workers * side_by_side.threads <= 2
    assert one_by_one.frames == side_by_side.frames == 4
    assert 0 < one_by_one.early_mb <= one_by_one.peak_mb
    assert len(list((tmp_path / "out" / "1").glob("*.result.json"))) == 4
    assert "frames/min" in as_folder_table(one_by_one, side_by_side)


def test_the_start_to_the_first_tile_is_measured(tmp_path):
    pytest.importorskip("ai_edge_litert")
    (frame,) = synthetic_frames(tmp_path, (3,), width_px=256)
    assert 0.05 < seconds_to_first_tile(find_model(DEFAULT_MODEL), frame, runs=1) < 60
