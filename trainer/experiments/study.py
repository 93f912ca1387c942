"""Ablations and comparators at the working scale of `fast`: one step budget, 3 folds, resumable.

Every experiment is a variant of one base run. Those with the same network, scale and pre-training
share the pre-trained weights; what one changes in loss or augmentation it changes in the
fine-tuning. A finished experiment is one small JSON file.
"""

import hashlib
import shutil
from collections.abc import Callable
from pathlib import Path

import msgspec
from tabulate import tabulate

from device.errors import SettingsError
from trainer.experiments.crossvalidation import crossvalidate, score_maps
from trainer.fitting.fit import Log
from trainer.fitting.runs import Phase, Run, load_run
from trainer.fitting.segmenter import git_commit
from trainer.fitting.workflow import Maps, Training
from trainer.network.receptive import gmac_per_frame
from trainer.scores.classical import fiji_way
from trainer.scores.evaluate import FrameScore, Scores, load_scores, pool_scores, score

FOLDS = 3
PRETRAIN_EPOCHS, FINETUNE_EPOCHS, EPOCH_STEPS = 4, 2, 60
THRESHOLDS = (0.1, 0.2, 0.3, 0.4, 0.5)
MIN_PEAKS = (0.0, 0.3, 0.5, 0.7, 0.8)
BASE = "base"

replace = msgspec.structs.replace


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """One finished experiment; `steps` are pre-training and fine-tuning steps, 0 if nothing is trained."""

    experiment: str
    what: str
    scores: Scores
    gmac_per_frame: float
    parameters: int
    steps: tuple[int, int]
    folds: int
    commit: str


def base_run() -> Run:
    """The `fast` recipe with the study's step budget; the network alone decides, as low as its peaks may be."""
    run = load_run("fast")
    pretrain = run.pretrain and replace(
        run.pretrain, epochs=PRETRAIN_EPOCHS, epoch_steps=EPOCH_STEPS
    )
    finetune = replace(run.finetune, epochs=FINETUNE_EPOCHS, epoch_steps=EPOCH_STEPS)
    return replace(
        run,
        folds=FOLDS,
        pretrain=pretrain,
        finetune=finetune,
        thresholds=THRESHOLDS,
        min_peaks=MIN_PEAKS,
        peak_distances=(),
        least_probabilities=(),
    )


def _loss(run: Run, **changes: float) -> Run:
    finetune = replace(run.finetune, loss=replace(run.finetune.loss, **changes))
    return replace(run, finetune=finetune)


def _augment(run: Run, **changes: float) -> Run:
    finetune = replace(run.finetune, augment=replace(run.finetune.augment, **changes))
    return replace(run, finetune=finetune)


def _network(run: Run, **changes: object) -> Run:
    return replace(run, network=replace(run.network, **changes))


def _scale(run: Run, factor: float) -> Run:
    """Another working scale; crops show the same tissue."""

    def phase(value: Phase) -> Phase:
        return replace(value, crop_px=round(value.crop_px * factor / 8) * 8)

    return replace(
        run,
        cell_diameter_px=run.cell_diameter_px * factor,
        pretrain=run.pretrain and phase(run.pretrain),
        finetune=phase(run.finetune),
    )


def _postprocessing(run: Run, **changes: float) -> Run:
    return replace(run, postprocessing=replace(run.postprocessing, **changes))


NEVER_SPLIT = 1e3
"""As the distance between watershed seeds, in cell diameters: every object has one seed."""

Variant = tuple[str, Callable[[Run], Run]]
EXPERIMENTS: dict[str, Variant] = {
    BASE: ("the fast model with the study's steps", lambda run: run),
    "no-weight-maps": ("map amplitude 0", lambda run: _loss(run, map_amplitude=0.0)),
    "swapped-class-weights": (
        "cells 1.5, background 1 (as in the authors' code)",
        lambda run: _loss(run, cell_weight=1.5, background_weight=1.0),
    ),
    "dice": ("soft Dice added to the cross-entropy", lambda run: _loss(run, dice=1.0)),
    "no-pretraining": ("random initialisation", lambda run: replace(run, pretrain=None)),
    "no-elastic": ("no elastic deformation", lambda run: _augment(run, elastic=0.0)),
    "plain-components": (
        "connected components instead of watershed",
        lambda run: _postprocessing(run, peak_distance_ratio=NEVER_SPLIT),
    ),
    "scale-0.67": ("cells of 6.2 px", lambda run: _scale(run, 2 / 3)),
    "scale-1.5": ("cells of 13.9 px", lambda run: _scale(run, 1.5)),
    "elu": ("ELU instead of ReLU", lambda run: _network(run, activation="elu")),
    "paper-widths": (
        "16-32-64 and two 5x5 blocks of 128: c-ResUNet at this scale",
        lambda run: _network(
            run,
            widths=(16, 32, 64),
            bottleneck_filters=128,
            bottleneck_kernel=5,
            bottleneck_dilations=(1, 1),
        ),
    ),
    "resunet": ("no wide bottleneck", lambda run: _network(run, kind="resunet")),
    "dilated": ("bottleneck dilated 2, 2", lambda run: _network(run, kind="dilated")),
    "unet": ("U-Net", lambda run: _network(run, kind="unet")),
    "vgg": ("VGG-type encoder", lambda run: _network(run, kind="vgg")),
    "inception": ("Inception-type encoder", lambda run: _network(run, kind="inception")),
}
FIJI = "fiji"
FIJI_WHAT = "Gaussian blur, IsoData threshold, watershed (no training)"
NAMES = (*EXPERIMENTS, FIJI)
HEAD = (
    "experiment", "what", "F1", "precision", "recall", "F1, merged", "MAE", "MedAE", "mean IoU", "cell IoU", "GMAC",
    "parameters",
)  # fmt: skip


def run_study(names: list[str], runs: Path, results: Path, data: Path, log: Log) -> None:
    """Run the named experiments (all by default) that have no result yet.

    Raises:
        SettingsError: an unknown name.
    """
    unknown = [name for name in names if name not in NAMES]
    if unknown:
        raise SettingsError(
            f"The study has no experiment {', '.join(unknown)}; it has {', '.join(NAMES)}."
        )
    results.mkdir(parents=True, exist_ok=True)
    for name in names or NAMES:
        path = results / f"{name}.json"
        if path.exists():
            continue
        log(f"study: {name}")
        result = _fiji(runs, data, log) if name == FIJI else _train(name, runs, data, log)
        path.write_bytes(msgspec.json.format(msgspec.json.encode(result), indent=1) + b"\n")


def _train(name: str, runs: Path, data: Path, log: Log) -> Result:
    what, variant = EXPERIMENTS[name]
    training = Training(variant(base_run()), runs / name, data, log)
    if _same_maps(training.run):
        scores = _rescore(training, runs, data, log)
    else:
        share_pretraining(training, runs)
        crossvalidate(training)
        scores = load_scores(training.out / "crossvalidation" / "scores.json")
    return _result(name, what, training, scores)


def _same_maps(run: Run) -> bool:
    """Only the post-processing differs from the base: its maps serve."""
    base = base_run()
    return run != base and replace(run, postprocessing=base.postprocessing) == base


def _rescore(training: Training, runs: Path, data: Path, log: Log) -> list[FrameScore]:
    """Another post-processing of the base experiment's maps."""
    base = Training(base_run(), runs / BASE, data, log)
    share_pretraining(base, runs)
    maps: Maps = {}
    for fold in range(FOLDS):
        maps |= base.fold_maps(fold)
    return score_maps(training, maps, training.out / "crossvalidation").scores


def pretraining_key(run: Run) -> str:
    """Equal for runs that can share pre-trained weights."""
    parts = (run.network, run.pretrain, run.cell_diameter_px, run.seed)
    return hashlib.sha256(msgspec.json.encode(parts)).hexdigest()[:16]


def share_pretraining(training: Training, runs: Path) -> None:
    """Pre-train once per key: copy finished weights here, or leave ours for the others."""
    if training.run.pretrain is None:
        return
    shared = runs / "pretrained" / f"{pretraining_key(training.run)}.keras"
    mine = training.out / "pretrain" / "model.keras"
    if shared.exists() and not mine.exists():
        mine.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(shared, mine)
    training.pretrain()
    if not shared.exists():
        shared.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(mine, shared)


def _result(name: str, what: str, training: Training, scores: list[FrameScore]) -> Result:
    model = training.new_model()
    run = training.run
    pretraining = run.pretrain.epochs * run.pretrain.epoch_steps if run.pretrain else 0
    return Result(
        experiment=name,
        what=what,
        scores=pool_scores(scores),
        gmac_per_frame=round(gmac_per_frame(model, run.working_scale), 2),
        parameters=model.count_params(),
        steps=(pretraining, run.finetune.epochs * run.finetune.epoch_steps),
        folds=run.folds,
        commit=git_commit(),
    )


def _fiji(runs: Path, data: Path, log: Log) -> Result:
    """The classical way on the same frames; it has nothing to learn, so there are no folds."""
    training = Training(base_run(), runs / FIJI, data, log)
    scores = [
        score(example, fiji_way(example.frame, training.run.frame_cell_diameter_px / example.scale))
        for example in training.held_out_frames()
    ]
    return Result(
        experiment=FIJI,
        what=FIJI_WHAT,
        scores=pool_scores(scores),
        gmac_per_frame=0.0,
        parameters=0,
        steps=(0, 0),
        folds=0,
        commit=git_commit(),
    )


def study_table(results: Path) -> str:
    """Markdown of all experiments; those without a result are "not run"."""
    rows = []
    for name in NAMES:
        path = results / f"{name}.json"
        what = FIJI_WHAT if name == FIJI else EXPERIMENTS[name][0]
        if not path.exists():
            rows.append([name, what, "not run", *[""] * (len(HEAD) - 3)])
            continue
        result = msgspec.json.decode(path.read_bytes(), type=Result)
        rows.append([name, result.what, *_numbers(result)])
    return tabulate(rows, HEAD, tablefmt="github", disable_numparse=True)


def _numbers(result: Result) -> list[str]:
    scores = result.scores
    ratios = (scores.f1, scores.precision, scores.recall, scores.f1_merged)
    return [
        *(f"{value:.3f}" for value in ratios),
        f"{scores.mae:.2f}",
        f"{scores.medae:.1f}",
        f"{scores.mean_iou:.3f}",
        f"{scores.cell_iou:.3f}",
        f"{result.gmac_per_frame:.2f}",
        str(result.parameters),
    ]
