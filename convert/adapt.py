"""A network of one's own: fine-tuned on corrected frames, judged on frames left out, converted and packed."""

import math
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec
from tabulate import tabulate

from convert.convert import INTEGER_FOLDER, convert_run, crossvalidate_integer
from device.counting.card import ModelCard
from device.counting.pipeline import count_frame
from device.counting.records import CountSettings, Frame
from device.counting.segmenter import Segmenter
from device.machine.files import write_atomic
from device.models.card import find_model, load_card
from device.models.installing import require_free_name
from device.models.interpreter import load_segmenter
from device.models.package import MAX_PROOF_PX, Package, Proof, pack_model
from trainer.experiments.crossvalidation import crossvalidate, finish
from trainer.fitting.adapting import adapting_run
from trainer.fitting.segmenter import save_card
from trainer.fitting.workflow import Training
from trainer.frames.example import Example
from trainer.scores.evaluate import FrameScore, count_example, load_scores, pool_scores, score

THREADS = 2
BESIDE_TRAINING = 1.25
"""Measured with 20 frames: counting the frames, converting five networks and fitting take a quarter of the training."""
BETTER = 0.005
"""A gain of F1 below half a percent is noise with so few frames."""


@dataclass(frozen=True, slots=True)
class Adapted:
    """The outcome: the ZIP to install, and what it gained in words."""

    package: Path
    report: str


def adapt(path: Path, base: str, name: str, out: Path, options: "Options") -> Adapted:
    """Fine-tune, cross-validate, convert and pack; goes on where an interrupted call ended.

    Args:
        path: training file of the device.
        base: released model to start from.
        name: of the new model.
        out: folder of the run.
        options: of this call.

    Raises:
        InputError: the training file cannot be used.
        ModelError: the name is taken.
        SettingsError: there is no such base, or `out` holds something else.
    """
    require_free_name(name)
    started = time.monotonic()
    training = Training(adapting_run(path, base, name, options.steps), out, Path(), options.log)
    examples = training.held_out_frames()
    options.log(_plan(training))
    before = scores_before(examples, training, load_segmenter(find_model(base), THREADS))
    crossvalidate(training)
    crossvalidate_integer(training)
    save_card(inherit(finish(training), load_card(find_model(base))), out / "final" / "card.json")
    tflite = convert_run(training, out / "final")
    after = load_scores(out / INTEGER_FOLDER / "scores.json")
    package = out / f"{name}.zip"
    write_atomic(package, pack_model(_package(tflite, examples, training)))
    report = in_words(before, after, base, name)
    write_atomic(out / "report.md", report.encode())
    passed, worked = time.monotonic() - started, time.process_time()
    options.log(f"Done in {passed / 60:.1f} min, with {worked / 60:.1f} min of processor time.")
    return Adapted(package, report)


def _plan(training: Training) -> str:
    """What is going to be done, and how long it takes on this computer."""
    seconds = training.seconds_to_finetune() * BESIDE_TRAINING
    steps = training.run.finetune.epochs * training.run.finetune.epoch_steps
    return (
        f"{training.run.folds} trainings that each leave images out, and one on all images, of {steps} steps: about "
        f"{math.ceil(seconds / 60)} min on this computer."
    )


@dataclass(frozen=True, slots=True)
class Options:
    """Steps of each training (None: the usual number), and what receives progress lines."""

    steps: int | None = None
    log: Callable[[str], None] = print


def inherit(card: ModelCard, base: ModelCard) -> ModelCard:
    """The new card with what it owes to the released one.

    What estimates the cell diameter reads the frame and not the network, so it stays; the weights began with the frames
    that the released model was trained on, whose licences go on.
    """
    return msgspec.structs.replace(
        card,
        diameter_reader=base.diameter_reader,
        training_data=(*base.training_data, *card.training_data),
    )


def scores_before(
    examples: list[Example], training: Training, segmenter: Segmenter
) -> list[FrameScore]:
    """Every frame counted by the released model at the frame's own scale."""
    ratio = segmenter.card.frame_cell_diameter_px / training.run.frame_cell_diameter_px
    return [
        score(example, count_example(replace(example, scale=example.scale * ratio), segmenter))
        for example in examples
    ]


def _package(tflite: Path, examples: list[Example], training: Training) -> Package:
    """The model with the frame that has the median number of cells, and its count."""
    chosen = sorted(examples, key=lambda example: example.count)[len(examples) // 2]
    frame = _crop(chosen.frame)
    diameter = training.run.frame_cell_diameter_px / chosen.scale
    segmenter = load_segmenter(tflite, THREADS)
    counted = count_frame(frame, segmenter, CountSettings(cell_diameter_px=diameter)).result
    proof = Proof(
        count=counted.count,
        cell_diameter_px=diameter,
        width=frame.width,
        height=frame.height,
        channels=frame.channels,
        full_scale=frame.full_scale,
    )
    return Package(load_card(tflite), tflite.read_bytes(), proof, frame)


def _crop(frame: Frame) -> Frame:
    """The middle of a frame that is too large to be sent along."""
    side = int(MAX_PROOF_PX**0.5)
    if frame.width * frame.height <= MAX_PROOF_PX:
        return frame
    top, left = max(0, (frame.height - side) // 2), max(0, (frame.width - side) // 2)
    return replace(frame, image=frame.image[top : top + side, left : left + side])


def in_words(before: list[FrameScore], after: list[FrameScore], base: str, name: str) -> str:
    """Table of the frames, scores before and after, and whether the new model is worth installing."""
    now = {one.name: one for one in after}
    rows = [
        (one.name, one.targets, one.detections, now[one.name].detections)
        for one in sorted(before, key=lambda one: one.name)
    ]
    old, new = pool_scores(before), pool_scores(after)
    worse = [frame for frame, cells, then, later in rows if abs(later - cells) > abs(then - cells)]
    better = (new.f1 > old.f1 + BETTER and new.mae <= old.mae) or (
        new.mae < old.mae and new.f1 > old.f1 - BETTER
    )
    verdict = (
        f"{name} counts frames that it had not seen better than {base}."
        if better
        else f"{name} does not count better than {base} on frames that it had not seen: do not install it."
    )
    named = f" Counted worse than before: {', '.join(worse)}." if worse else ""
    table = tabulate(rows, ("frame", "cells", base, name), tablefmt="github")
    return (
        f"{table}\n\nF1 {old.f1:.3f} before, {new.f1:.3f} after; mean error {old.mae:.2f} cells before, {new.mae:.2f} "
        f"after; {new.frames} frames with {new.cells} cells, each counted by an int8 network that had not seen it.\n"
        f"{verdict}{named}\n"
    )


def name_after(assay: str, base: str) -> str:
    """A model's name after an assay's: "DAPI nuclei" gives "dapi-nuclei-any"."""
    plain = re.sub(r"[^a-z0-9]+", "-", assay.lower()).strip("-")[:30].strip("-") or "own"
    return f"{plain}-{base}"
