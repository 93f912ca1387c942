"""From a run's out-of-fold maps to the confidence section of its card, with the evidence."""

from pathlib import Path

import msgspec

from device.counting.card import ModelCard
from device.errors import InputError
from device.files import write_atomic
from trainer.calibrate import UnseenFrame, fit_evidence, gather, left_out
from trainer.confidence_report import write_confidence_report
from trainer.flagrates import corrupted_rates, normal_rates
from trainer.segmenter import save_card
from trainer.workflow import Maps, Training, load_maps

SYNTHETIC_FRAMES = 60
_MAPS = ("maps-int8.npz", "maps.npz")
"""Of the folds; the int8 ones are nearer to what counts, where they were made."""


def unseen_frames(training: Training) -> tuple[list[UnseenFrame], str]:
    """Every held-out frame with a map of a network that had not seen it, and which kind of network.

    Raises:
        InputError: a fold has no maps yet.
    """
    folder, folds = training.out, range(training.run.folds)
    for name in _MAPS:
        paths = [folder / f"fold-{fold}" / name for fold in folds]
        if all(path.is_file() for path in paths):
            maps: Maps = {}
            for path in paths:
                maps |= load_maps(path)
            kind = "int8" if "int8" in name else "float"
            return _with_maps(training, maps), kind
    raise InputError(
        f"{folder} lacks out-of-fold maps; run fluocount-train crossvalidate to the end first."
    )


def _with_maps(training: Training, maps: Maps) -> list[UnseenFrame]:
    fold_of = training.folds()
    return [
        UnseenFrame(example, maps[example.name], fold_of[example.name])
        for example in training.held_out_frames()
    ]


def calibrate_run(training: Training, card_path: Path) -> str:
    """Fit, write the section into the card, keep report and picture in crossvalidation/; returns the report.

    Raises:
        InputError: no card, or a fold without maps.
    """
    if not card_path.is_file():
        raise InputError(
            f"There is no card {card_path}; run fluocount-train fit first, or give --card."
        )
    card = msgspec.json.decode(card_path.read_bytes(), type=ModelCard)
    frames, kind = unseen_frames(training)
    evidence = [gather(frame, card) for frame in frames]
    confidence = fit_evidence(evidence, card)
    folder = training.out / "crossvalidation"
    folder.mkdir(exist_ok=True)
    write_atomic(folder / "confidence.json", msgspec.json.encode(confidence))
    save_card(msgspec.structs.replace(card, confidence=confidence), card_path)
    return write_confidence_report(
        f"{card.name}: how honest is the count ({kind} networks)",
        left_out(evidence, card),
        confidence,
        normal_rates(evidence, card, SYNTHETIC_FRAMES),
        corrupted_rates(frames, evidence, card),
        folder,
    )
