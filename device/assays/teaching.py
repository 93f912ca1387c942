"""Teaching: what decides about cells is refitted to frames that a person corrected, and judged on frames left out.

Three things may change: the threshold with the least peak, the calibration with its least probability, and the ranges
of usual light. Every number that is shown as "after" comes from a fit that had not seen the frame it is about.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec
import numpy as np

from device.assays.evidence import Evidence, Known, candidate_threshold, gather_known
from device.assays.fitting import choose_least, fit_part, interval_of, worth
from device.assays.regression import fit_logistic
from device.counting.assay import Assay, Taught
from device.counting.card import ModelCard
from device.counting.confidence.flags import LEAST_COVERAGE

LEAST_FRAMES = 5
LEAST_CELLS = 20
"""Six weights and a limit are fitted: fewer cells are no evidence."""
THRESHOLDS = (0.15, 0.3, 0.45, 0.6)
"""Tried beside the model's own; between them the outlines change, hardly the cells."""
LEASTS = tuple(round(0.05 * step, 2) for step in range(2, 19))
_BETTER = 0.005
"""A gain of F1 below half a percent is noise with so few frames."""


@dataclass(frozen=True, slots=True, eq=False)
class Pupil:
    """What teaching sees of one corrected frame; small, so that images need not stay in memory.

    Attributes:
        count_id, name: which one.
        before: (count, found cells, low, high) under the assay as it is.
        options: its evidence under each option, see `options_of`.
    """

    count_id: str
    name: str
    before: tuple[int, int, int, int]
    options: tuple[Evidence, ...]

    @property
    def cells(self) -> int:
        """True cells."""
        return self.options[0].targets


class LessonFrame(msgspec.Struct, frozen=True, kw_only=True):
    """One corrected frame: true cells, and the counts before and after, the latter by a fit without it."""

    count_id: str
    image: str
    cells: int
    before: int
    after: int
    interval: tuple[int, int]


class LessonScores(msgspec.Struct, frozen=True, kw_only=True):
    """Over the corrected frames: F1, mean absolute error per frame, part of the intervals that hold the truth."""

    f1: float
    mean_error: float
    coverage: float


class Lesson(msgspec.Struct, frozen=True, kw_only=True):
    """What teaching would change; nothing is saved before a person accepts it.

    Attributes:
        frames: every corrected frame.
        before, after: scores; after with each frame left out of its own fit.
        better: whether the assay would count frames better that it was not taught on.
        text: the outcome in words.
        worse: images that would be counted worse although they were taught on.
        proposed: the assay to save, None where it is not better.
    """

    frames: tuple[LessonFrame, ...]
    before: LessonScores
    after: LessonScores
    better: bool
    text: str
    worse: tuple[str, ...]
    proposed: Assay | None


def options_of(card: ModelCard) -> tuple[ModelCard, ...]:
    """What is tried: the model's own threshold and least peak, and thresholds where the calibration alone decides."""
    own = (card.threshold, card.postprocessing.min_peak)
    pairs = [own, *((threshold, 0.0) for threshold in THRESHOLDS)]
    return tuple(
        msgspec.structs.replace(
            card,
            threshold=threshold,
            postprocessing=msgspec.structs.replace(card.postprocessing, min_peak=min_peak),
        )
        for threshold, min_peak in pairs
    )


def see(count_id: str, known: Known, card: ModelCard, before: tuple[int, int, int, int]) -> Pupil:
    """Gather a frame's evidence under every option.

    Args:
        count_id: of the stored count.
        known: the frame; its settings must leave the threshold open.
        card: of the model, as it is shipped.
        before: see Pupil.
    """
    evidence = tuple(gather_known(known, option) for option in options_of(card))
    return Pupil(count_id, known.name, before, evidence)


def teach(pupils: Sequence[Pupil], card: ModelCard, assay: Assay) -> Lesson:
    """Fit to some corrected frames; they are at least LEAST_FRAMES with LEAST_CELLS in them.

    Args:
        pupils: the frames, those of one image in one fold.
        card: of the model that made their maps, as it is shipped.
        assay: as it is now.
    """
    left_out = [_left_out(pupil, pupils, card) for pupil in pupils]
    taught = _fit(pupils, card)
    cells = [pupil.cells for pupil in pupils]
    before = scores_of([pupil.before for pupil in pupils], cells)
    after = scores_of(left_out, cells)
    own = [outcome_of(pupil, taught, card) for pupil in pupils]
    worse = tuple(
        pupil.name
        for pupil, now in zip(pupils, own, strict=True)
        if abs(now[0] - pupil.cells) > abs(pupil.before[0] - pupil.cells)
    )
    better = _is_better(before, after)
    return Lesson(
        frames=tuple(_frame(pupil, now) for pupil, now in zip(pupils, left_out, strict=True)),
        before=before,
        after=after,
        better=better,
        text=_in_words(before, after, better, worse),
        worse=worse,
        proposed=_with_taught(assay, taught, after) if better else None,
    )


def _with_taught(assay: Assay, taught: Taught, after: LessonScores) -> Assay:
    """The assay with what it was taught in place of its own limits."""
    confidence = msgspec.structs.replace(
        taught.confidence,
        fitted_on=f"{taught.frames} frames that a person corrected; coverage with each frame left out in turn",
        coverage=round(after.coverage, 4),
    )
    return msgspec.structs.replace(
        assay,
        threshold=None,
        least_probability=None,
        usual=None,
        taught=msgspec.structs.replace(taught, confidence=confidence),
    )


def _fit(pupils: Sequence[Pupil], card: ModelCard) -> Taught:
    """The best option for these frames, with its calibration."""
    options = options_of(card)

    def score_of(number: int) -> float:
        evidence = [pupil.options[number] for pupil in pupils]
        terms = choose_least(evidence, fit_logistic(evidence, card.confidence), LEASTS)
        return worth(evidence, terms)

    number = max(range(len(options)), key=score_of)
    option = options[number]
    confidence = fit_part([pupil.options[number] for pupil in pupils], option, LEASTS)
    return Taught(
        model_sha256=card.sha256,
        threshold=option.threshold,
        min_peak=option.postprocessing.min_peak,
        confidence=msgspec.structs.replace(
            confidence, candidate_threshold=candidate_threshold(option)
        ),
        frames=len(pupils),
        cells=sum(pupil.cells for pupil in pupils),
    )


def _left_out(pupil: Pupil, pupils: Sequence[Pupil], card: ModelCard) -> tuple[int, int, int, int]:
    """The frame's outcome by a fit to the others."""
    fold = pupil.options[0].fold
    others = [other for other in pupils if other.options[0].fold != fold]
    return outcome_of(pupil, _fit(others, card), card)


def outcome_of(pupil: Pupil, taught: Taught, card: ModelCard) -> tuple[int, int, int, int]:
    """(count, found cells, low, high) of a frame under what was taught."""
    limits = [(option.threshold, option.postprocessing.min_peak) for option in options_of(card)]
    evidence = pupil.options[limits.index((taught.threshold, taught.min_peak))]
    counted = evidence.judge(taught.confidence).counted
    interval = interval_of(evidence, taught.confidence)
    return interval.count, int((counted & evidence.is_cell).sum()), interval.low, interval.high


def scores_of(outcomes: Sequence[tuple[int, int, int, int]], cells: Sequence[int]) -> LessonScores:
    """Pooled over frames: (count, found cells, low, high) of each, and its true cells."""
    counts, found, lows, highs = np.array(outcomes).T
    truth = np.array(cells)
    return LessonScores(
        f1=round(float(2 * found.sum() / max(1, counts.sum() + truth.sum())), 4),
        mean_error=round(float(np.abs(counts - truth).mean()), 3),
        coverage=round(float(((lows <= truth) & (truth <= highs)).mean()), 4),
    )


def _is_better(before: LessonScores, after: LessonScores) -> bool:
    """Better in one way and not worse in the other."""
    gain = after.f1 - before.f1
    closer = after.mean_error < before.mean_error
    return (gain > _BETTER and after.mean_error <= before.mean_error) or (
        closer and gain > -_BETTER
    )


def _frame(pupil: Pupil, now: tuple[int, int, int, int]) -> LessonFrame:
    count, _, low, high = now
    return LessonFrame(
        count_id=pupil.count_id,
        image=pupil.name,
        cells=pupil.cells,
        before=pupil.before[0],
        after=count,
        interval=(low, high),
    )


def _in_words(
    before: LessonScores, after: LessonScores, better: bool, worse: tuple[str, ...]
) -> str:
    figures = (
        f"F1 {before.f1:.2f} before, {after.f1:.2f} after (1 is perfect); mean error {before.mean_error:.1f} cells "
        f"before, {after.mean_error:.1f} after; {before.coverage:.0%} of the intervals hold the true count before, "
        f"{after.coverage:.0%} after (90 % are meant to)."
    )
    if not better:
        return f"Teaching does not help with these images, so nothing is offered: {figures}"
    doubt = (
        " Every count will carry a warning that its interval is not reliable."
        if after.coverage < LEAST_COVERAGE
        else ""
    )
    said = f" These images would be counted worse than now: {', '.join(worse)}." if worse else ""
    return f"Images that were left out are counted better: {figures}{doubt}{said}"
