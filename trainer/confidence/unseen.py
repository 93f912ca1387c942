"""From a run's out-of-fold maps to the confidence section of its card, with the evidence."""

from pathlib import Path

import msgspec

from device.assays.fitting import fit_evidence, left_out
from device.counting.card import ModelCard
from device.errors import InputError
from device.machine.files import write_atomic
from trainer.confidence.evidence import UnseenFrame, gather
from trainer.confidence.flagrates import corrupted_rates, normal_rates
from trainer.confidence.report import write_confidence_report
from trainer.fitting.segmenter import save_card
from trainer.fitting.workflow import Maps, Training, load_maps
from trainer.frames.example import Example
from trainer.frames.splits import fold_numbers

SYNTHETIC_FRAMES = 60
_MAPS = ("maps-int8.npz", "maps.npz")
"""Of the folds; where as many are int8, these: they are what counts on the device."""

_LEAST_PARTS, _PARTS = 3, 5


def has_unseen_frames(training: Training) -> bool:
    """Whether any fold has maps."""
    return any(True for name in _MAPS for _ in training.out.glob(f"fold-*/{name}"))


def unseen_frames(training: Training) -> tuple[list[UnseenFrame], str]:
    """Every frame with a map of a network that had not seen it, and which kind of network.

    Raises:
        InputError: no fold has maps yet.
    """
    folder, folds = training.out, range(training.run.folds)
    found = {
        name: [path for fold in folds if (path := folder / f"fold-{fold}" / name).is_file()]
        for name in _MAPS
    }
    name = max(_MAPS, key=lambda name: len(found[name]))
    if not found[name]:
        raise InputError(
            f"{folder} lacks out-of-fold maps; run fluocount-train crossvalidate first."
        )
    maps: Maps = {}
    for path in found[name]:
        maps |= load_maps(path)
    return _with_maps(training, maps), "int8" if "int8" in name else "float"


def _with_maps(training: Training, maps: Maps) -> list[UnseenFrame]:
    """Frames with the parts of which each is left out in turn."""
    examples = [example for example in training.held_out_frames() if example.name in maps]
    part_of = judging_parts(training, examples)
    return [UnseenFrame(example, maps[example.name], part_of[example.name]) for example in examples]


def judging_parts(training: Training, examples: list[Example]) -> dict[str, int]:
    """By frame name the part that a calibration leaves out with it: the folds.

    Frames of fewer than three folds are dealt out anew, those of a group together.
    """
    part_of = training.folds()
    if len({part_of[example.name] for example in examples}) < _LEAST_PARTS:
        part_of = fold_numbers(examples, _PARTS, training.run.seed)
    return part_of


def calibrate_run(training: Training, card_path: Path) -> str:
    """Fit, write the section into the card, keep report and picture in crossvalidation/; returns the report.

    Raises:
        InputError: no card, or no maps.
    """
    if not card_path.is_file():
        raise InputError(
            f"There is no card {card_path}; run fluocount-train fit first, or give --card."
        )
    card = msgspec.json.decode(card_path.read_bytes(), type=ModelCard)
    frames, kind = unseen_frames(training)
    evidence = [gather(frame, card) for frame in frames]
    leasts = training.run.least_probabilities
    confidence = fit_evidence(evidence, card, leasts)
    folder = training.out / "crossvalidation"
    folder.mkdir(exist_ok=True)
    write_atomic(folder / "confidence.json", msgspec.json.encode(confidence))
    save_card(msgspec.structs.replace(card, confidence=confidence), card_path)
    return write_confidence_report(
        f"{card.name}: how honest is the count ({kind} networks)",
        left_out(evidence, card, leasts),
        confidence,
        normal_rates(evidence, card, SYNTHETIC_FRAMES),
        corrupted_rates(frames, evidence, card),
        folder,
    )
