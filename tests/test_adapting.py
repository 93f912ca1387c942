"""Adapting a network: what corrections become to learn from, what is refused, and the documented way once through."""

import hashlib
import re
from pathlib import Path

import msgspec
import numpy as np
import pytest
from annotated import write_pair
from appliance import make_settings, wait_for
from click.testing import CliRunner
from conftest import make_frame
from dapi import NUCLEUS_PX, dapi_frame

from convert.adapt import Options, adapt, in_words, name_after
from convert.training import cli as train_cli
from device.cli import cli
from device.counting.assay import Assay
from device.errors import InputError
from device.export.trainingfile import CorrectedFrame, TrainingFrame, pack_training
from device.jobs.intake import CountOptions
from device.models.card import find_model, load_card
from device.service import Service
from trainer.fitting.adapting import adapting_run
from trainer.fitting.runs import load_run
from trainer.frames.corrected import read_corrected, target_labels
from trainer.scores.evaluate import FrameScore

DIAMETER_PX = 12.0


def corrected(labels, dots=(), name="a.png", diameter_px=DIAMETER_PX):
    labels = np.asarray(labels, np.int32)
    image = np.where(labels > 0, 200, 10).astype(np.uint8)
    about = TrainingFrame(
        image=name,
        sha256=hashlib.sha256(name.encode()).hexdigest(),
        width=labels.shape[1],
        height=labels.shape[0],
        channels=1,
        sample_bits=8,
        full_scale=255,
        pixel_size_um=None,
        cell_diameter_px=diameter_px,
        counted=0,
        outlines=int(labels.max(initial=0)),
        dots=tuple(dots),
    )
    return CorrectedFrame(about, make_frame(image), labels)


def written(path, frames):
    with path.open("wb") as target:
        target.writelines(pack_training(Assay(name="DAPI nuclei"), frames))
    return path


def centre(mask):
    rows, columns = np.nonzero(mask)
    return columns.mean(), rows.mean()


def test_a_dot_becomes_a_disc_of_the_cell_diameter():
    labels = target_labels(corrected(np.zeros((60, 60)), [(20.0, 30.0)]))
    assert labels.max() == 1
    assert centre(labels == 1) == pytest.approx((20, 30))
    assert (labels == 1).sum() == pytest.approx(np.pi * DIAMETER_PX**2 / 4, rel=0.1)


def test_where_discs_overlap_each_pixel_belongs_to_the_nearer_dot():
    labels = target_labels(corrected(np.zeros((60, 60)), [(20.0, 30.0), (28.0, 30.0)]))
    assert labels.max() == 2
    left, right = labels[30, 20], labels[30, 28]
    assert left != right
    assert (labels[:, :24] != right).all()
    assert (labels[:, 25:] != left).all()


def test_outlines_stay_and_a_disc_does_not_paint_over_them():
    outlines = np.zeros((60, 60), np.int32)
    outlines[10:20, 10:20] = 1
    labels = target_labels(corrected(outlines, [(24.0, 15.0)]))
    assert (labels[10:20, 10:20] == labels[15, 15]).all()
    assert labels[15, 24] not in (0, labels[15, 15])
    assert labels.max() == 2


def test_a_dot_within_an_outline_splits_it():
    outlines = np.zeros((60, 60), np.int32)
    outlines[20:30, 10:40] = 1  # its middle is at x = 24.5
    labels = target_labels(corrected(outlines, [(36.0, 25.0)]))
    assert ((labels > 0) == (outlines > 0)).all()
    assert labels.max() == 2
    assert labels[25, 12] == labels[25, 27] != labels[25, 34]


def test_a_frame_without_cells_stays_empty():
    assert not target_labels(corrected(np.zeros((30, 30)))).any()


def discs(count):
    """A frame with so many dots, far apart."""
    places = [(12.0 + 20 * (n % 5), 12.0 + 20 * (n // 5)) for n in range(count)]
    return np.zeros((110, 110)), places


def frames(number, cells=6):
    return [corrected(*discs(cells), name=f"{n}/slice.png") for n in range(number)]


def test_frames_of_the_same_file_name_stay_apart(tmp_path):
    path = written(tmp_path / "file.zip", frames(5))
    examples = read_corrected(path, 30.0, "set")
    assert len({example.name for example in examples}) == 5
    assert {example.count for example in examples} == {6}
    assert {example.scale for example in examples} == {30.0 / DIAMETER_PX}
    assert len({example.group for example in examples}) == 5
    assert all(example.held_out for example in examples)


def test_the_recipe_is_that_of_the_base_at_the_scale_of_the_frames(tmp_path):
    path = written(tmp_path / "file.zip", frames(5))
    run, base = adapting_run(path, "any", "mine"), load_run("any")
    assert run.network == base.network
    assert run.start == "any"
    assert run.postprocessing.joining == load_card(find_model("any")).postprocessing.joining
    assert run.postprocessing.joining is not None
    assert not run.joins
    assert run.cell_diameter_px == base.cell_diameter_px
    assert run.frame_cell_diameter_px == DIAMETER_PX
    in_cells = [one.finetune.loss.sigma_px / one.frame_cell_diameter_px for one in (run, base)]
    assert in_cells[0] == pytest.approx(in_cells[1], rel=1e-3)
    assert run.finetune.loss.map_amplitude == base.finetune.loss.map_amplitude > 0
    other = written(tmp_path / "other.zip", frames(5, cells=7))
    assert adapting_run(other, "any", "mine").finetune.sources != run.finetune.sources


def test_annotated_images_become_a_training_file(tmp_path):
    for name in "abc":
        write_pair(tmp_path / "yellow", name, circles=((30, 40, 9), (60, 20, 9)))
    write_pair(tmp_path / "yellow", "empty", circles=())
    place, out = f"{tmp_path / 'yellow'}:pairs", tmp_path / "file.zip"
    done = CliRunner().invoke(train_cli, ["pack", place, "--most", "2", "--out", str(out)])
    assert done.output == f"2 frames with 4 cells in {out}\n"
    first, second = read_corrected(out, 30.0, "set")
    assert first.name != second.name
    assert first.count == second.count == 2
    assert first.scale == pytest.approx(30 / 18, rel=0.05)
    wrong = CliRunner().invoke(train_cli, ["pack", str(tmp_path), "--out", str(out)])
    assert "FOLDER:LAYOUT" in str(wrong.exception)


@pytest.mark.parametrize(
    ("number", "cells", "sentence"), [(4, 9, "4 different frames"), (6, 3, "with 18 cells")]
)
def test_too_little_to_learn_from_is_said(tmp_path, number, cells, sentence):
    path = written(tmp_path / "file.zip", frames(number, cells))
    with pytest.raises(InputError, match=sentence):
        adapting_run(path, "any", "mine")


def test_a_wrong_name_or_base_is_refused_before_anything_is_trained(tmp_path):
    path = written(tmp_path / "file.zip", frames(5))
    with pytest.raises(InputError, match="never replaced"):
        adapt(path, "any", "fast", tmp_path / "run", Options())
    for base in ("no such", "paper"):  # a recipe without released weights
        done = CliRunner().invoke(train_cli, ["adapt", str(path), "--from", base, "--name", "x"])
        assert done.exception is not None
        assert base in str(done.exception)
    assert not (tmp_path / "run").exists()


def score(name, targets, detections, found):
    return FrameScore(
        name=name, source="", kind="", width=1, targets=targets, detections=detections, found=found,
        merged_detections=0, merged_found=0, cell_iou=1, background_iou=1,
    )  # fmt: skip


def test_a_loss_is_said_as_clearly_as_a_gain():
    before = [score("a", 10, 5, 5), score("b", 10, 10, 10)]
    gained = in_words(before, [score("a", 10, 10, 10), score("b", 10, 11, 10)], "any", "mine")
    assert "better than any" in gained
    assert "do not install" not in gained
    assert "Counted worse than before: b." in gained
    lost = in_words(before, [score("a", 10, 2, 2), score("b", 10, 10, 10)], "any", "mine")
    assert "do not install it" in lost


def test_a_model_is_named_after_the_assay():
    assert name_after("DAPI nuclei, 20x/0.75", "any") == "dapi-nuclei-20x-0-75-any"
    assert name_after("+", "any") == "own-any"


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_export_adapt_install_count(tmp_path, monkeypatch):
    """docs/adapting.md with a small budget: two parts, a few steps."""
    monkeypatch.setattr("trainer.fitting.adapting.MOST_FOLDS", 2)
    monkeypatch.setattr("device.models.card._installed", [])
    monkeypatch.chdir(tmp_path)
    service = Service(make_settings(tmp_path / "data"))
    service.counter.worker.start()
    assay = Assay(name="DAPI mouse", model="any", cell_diameter_px=NUCLEUS_PX)
    service.store.assays.save(assay, "ann")
    for seed in range(5):
        _hand_in_and_correct(service, seed)
    service.stop()
    _run(cli, "export", "--data-dir", "data", "--training", "dapi.zip", "--assay", "DAPI mouse")
    said = _run(train_cli, "adapt", "dapi.zip", "--from", "any", "--name", "mouse", "--steps", "6")
    assert re.search(r"2 trainings that each leave images out, .* of 6 steps: about \d+ min", said)
    assert re.search(r"Done in [\d.]+ min, with [\d.]+ min of processor time", said)
    assert "F1" in said
    assert "mean error" in said
    made, base = load_card(Path("runs/mouse/final/mouse.tflite")), load_card(find_model("any"))
    assert made.training_data[:-1] == base.training_data
    assert made.training_data[-1].frames == 5
    assert made.diameter_reader == base.diameter_reader
    model = ("model", "--data-dir", "data")
    assert "mouse 1 is installed" in _run(cli, *model, "install", "runs/mouse/mouse.zip")
    assert "mouse 1 (installed" in _run(cli, *model, "list")
    Path("next.png").write_bytes(dapi_frame(77).png)
    Path("settings.toml").write_text('[storage]\ndata_dir = "data"\n')
    wish = ("--model", "mouse", "--config", "settings.toml", "--cell-diameter", NUCLEUS_PX)
    counted = msgspec.json.decode(_run(cli, "count", "--json", *wish, "next.png"))
    assert counted["model"]["name"] == "mouse"
    assert 6 <= counted["count"] <= 24


def _hand_in_and_correct(service, seed):
    made = dapi_frame(seed)
    intake = service.counter.intake
    row = intake.accept(made.png, f"{seed}.png", "upload", CountOptions(assay="DAPI mouse"))
    wait_for(lambda: service.store.counts.get(row.id).status == "done", 300)
    result = service.store.result(row.id)
    for cell in result.cells:
        nearest = min(np.hypot(cell.x - x, cell.y - y) for x, y in made.nuclei)
        if nearest > NUCLEUS_PX / 2:
            service.store.corrections.remove(row.id, result, cell.id, "ann")


def _run(command, *words):
    done = CliRunner().invoke(command, [str(word) for word in words])
    assert done.exit_code == 0, f"{done.output}\n{done.exception}"
    return done.stdout
