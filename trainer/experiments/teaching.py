"""What teaching an assay is worth: corrections simulated from ground truth, other frames of the set scored."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from device.assays.evidence import Known
from device.assays.matching import centroids
from device.assays.teaching import (
    LEAST_FRAMES,
    LessonScores,
    Pupil,
    outcome_of,
    scores_of,
    see,
    teach,
)
from device.counting.assay import Assay
from device.counting.pipeline import count_frame
from device.counting.segmenter import Segmenter
from device.errors import InputError
from device.jobs.teaching import RADIUS, judge_before
from trainer.frames.datasets import load_source
from trainer.frames.example import Example
from trainer.frames.sources import Kind, Source
from trainer.scores.evaluate import settings_for

UNTAUGHT = Assay(name="untaught")
HEADER = (
    "| set | taught on | other frames | F1 before | F1 after | mean error before | mean error after | coverage before "
    "| coverage after | offered |\n|---|---|---|---|---|---|---|---|---|---|"
)


@dataclass(frozen=True, slots=True)
class Trial:
    """One draw: taught on some frames, the others before and after; `offered`: leaving one out promised a gain."""

    taught_on: int
    others: int
    before: LessonScores
    after: LessonScores
    offered: bool


def parse_set(text: str) -> list[tuple[Path, Kind]]:
    """FOLDER:LAYOUT of a command line; several joined by + are one set.

    Raises:
        InputError: no such layout.
    """
    kinds: dict[str, Kind] = {"pairs": "pairs", "labels": "labels", "reduced": "reduced"}
    folders = []
    for part in text.split("+"):
        place, _, layout = part.rpartition(":")
        if not place or layout not in kinds:
            raise InputError(f"{part!r} must be FOLDER:LAYOUT with the layout {', '.join(kinds)}.")
        folders.append((Path(place), kinds[layout]))
    return folders


def see_folder(
    segmenter: Segmenter, folder: Path, kind: Kind, most: int, first_fold: int = 0
) -> list[Pupil]:
    """Count the frames of a folder as a person would who knows how large a cell is; copies of frames are left out.

    Args:
        segmenter: the model.
        folder: annotated frames; those whose names end in "_aug" are turned or zoomed copies.
        kind: its layout.
        most: so many frames at most, drawn with a fixed seed.
        first_fold: number of the first frame's fold.
    """
    source = Source(kind=kind, name=folder.name, licence="", scale="diameter")
    examples = load_source(source, folder, segmenter.card.frame_cell_diameter_px, seed=1)
    examples = [one for one in examples if not one.name.endswith("_aug") and one.count > 0]
    order = np.random.default_rng(1).permutation(len(examples))[:most]
    return [
        _see(segmenter, examples[index], fold)
        for fold, index in enumerate(sorted(order), first_fold)
    ]


def _see(segmenter: Segmenter, example: Example, fold: int) -> Pupil:
    card = segmenter.card
    settings = settings_for(example, card)
    counted = count_frame(example.frame, segmenter, settings)
    known = Known(
        name=example.name,
        fold=fold,
        frame=example.frame,
        probability=counted.probability,
        settings=settings,
        targets=centroids(example.labels),
        radius_px=RADIUS * counted.result.cell_diameter_px,
    )
    return see(example.name, known, card, judge_before(known, card, UNTAUGHT))


def trials(segmenter: Segmenter, pupils: list[Pupil], frames: int, draws: int) -> Iterator[Trial]:
    """Teach on `frames` frames drawn at random, `draws` times, and score the others."""
    for seed in range(draws):
        order = np.random.default_rng(seed).permutation(len(pupils))
        pupil_of = [pupils[index] for index in order]
        taught_on, others = pupil_of[:frames], pupil_of[frames:]
        lesson = teach(taught_on, segmenter.card, UNTAUGHT)
        cells = [pupil.cells for pupil in others]
        before = [pupil.before for pupil in others]
        after = before
        if lesson.proposed is not None and lesson.proposed.taught is not None:
            after = [outcome_of(pupil, lesson.proposed.taught, segmenter.card) for pupil in others]
        yield Trial(
            taught_on=frames,
            others=len(others),
            before=scores_of(before, cells),
            after=scores_of(after, cells),
            offered=lesson.better,
        )


def measure_teaching(
    segmenter: Segmenter, sets: list[list[tuple[Path, Kind]]], most: int, draws: int
) -> Iterator[str]:
    """Lines of a table: the mean over the draws, for 5 and 10 taught frames.

    A set of five frames has none to judge the teaching by; each is left out in turn.

    Raises:
        InputError: a set has too few frames.
    """
    yield HEADER
    for folders in sets:
        name = " and ".join(folder.name for folder, _ in folders)
        pupils: list[Pupil] = []
        for folder, kind in folders:
            pupils += see_folder(segmenter, folder, kind, most, len(pupils))
        if len(pupils) < LEAST_FRAMES:
            raise InputError(
                f"{name}: {len(pupils)} frames have cells; teaching takes at least {LEAST_FRAMES}."
            )
        if len(pupils) == LEAST_FRAMES:
            yield _line(name, [_in_turn(segmenter, pupils)])
        for frames in (LEAST_FRAMES, 2 * LEAST_FRAMES):
            if frames < len(pupils):
                yield _line(name, list(trials(segmenter, pupils, frames, draws)))


def _in_turn(segmenter: Segmenter, pupils: list[Pupil]) -> Trial:
    lesson = teach(pupils, segmenter.card, UNTAUGHT)
    after = lesson.after if lesson.better else lesson.before
    return Trial(len(pupils) - 1, 1, lesson.before, after, lesson.better)


def _line(name: str, found: list[Trial]) -> str:
    def mean(side: str, score: str) -> float:
        return float(np.mean([getattr(getattr(trial, side), score) for trial in found]))

    cells = [f"{mean(side, 'f1'):.3f}" for side in ("before", "after")]
    cells += [f"{mean(side, 'mean_error'):.1f}" for side in ("before", "after")]
    cells += [f"{mean(side, 'coverage'):.0%}" for side in ("before", "after")]
    offered = sum(trial.offered for trial in found)
    cells.append(f"{offered} of {len(found)}")
    return f"| {name} | {found[0].taught_on} | {found[0].others} | {' | '.join(cells)} |"
