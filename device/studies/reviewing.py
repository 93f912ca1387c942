"""A finished blinded review: who agrees with whom, where they differ most, and what they agree on."""

from itertools import combinations

import msgspec
import numpy as np

from device.errors import FluocountError, InputError
from device.jobs.marking import REACH
from device.machine.clock import local_time
from device.store import Store
from device.store.reviewlog import LogLine
from device.store.reviews import Points, Review
from device.studies.agreement import (
    BlandAltman,
    Icc,
    Matched,
    bland_altman,
    intraclass_correlation,
    match,
)
from device.studies.sampling import draw_images, expected_sd, sample_size
from device.studies.statement import Marks, SeenImage, review_sentence, sampling_sentence
from device.studies.values import image_lines

AUTOMATIC = "automatic count"


class Pair(msgspec.Struct, frozen=True, kw_only=True):
    """Two who counted the same images; differences are second minus first.

    Attributes:
        f1: of all cells together.
        means, differences: one an image, for the picture.
    """

    first: str
    second: str
    bland_altman: BlandAltman
    icc: Icc
    f1: float
    means: tuple[float, ...]
    differences: tuple[float, ...]


class Disagreement(msgspec.Struct, frozen=True, kw_only=True):
    """An image, with what everybody counted; `range` is from the least to the most."""

    key: str
    count_id: str
    image: str
    counts: dict[str, int]
    range: int
    agreed: bool


class ReviewResult(msgspec.Struct, frozen=True, kw_only=True):
    """What a review found.

    Attributes:
        observers: their names.
        sentence: the statement for the report.
        sampling: how the images were drawn, and how precise that makes the mean error.
        pairs: observers with each other, then each with the automatic count.
        images: the largest disagreement first.
        opened: lines about counts that were opened while the review was blinded.
        faults: what is wrong with the log; empty where it holds.
    """

    review: str
    observers: tuple[str, ...]
    sentence: str
    sampling: str
    pairs: tuple[Pair, ...]
    images: tuple[Disagreement, ...]
    opened: tuple[str, ...]
    faults: tuple[str, ...]


def begin_review(
    store: Store,
    study: str,
    observers: tuple[str, ...],
    *,
    number: int | None = None,
    precision: float | None = None,
    seed: int | None = None,
) -> Review:
    """Draw images of a study at random and begin a blinded review of them.

    Args:
        store: with the study.
        study: its name.
        observers: who will mark.
        number: how many images; None: all, or as many as the precision needs.
        precision: wanted precision of the mean error, in cells.
        seed: of the draw; None: a new one.

    Raises:
        NotFoundError: there is no such study.
        InputError: nothing to review, no observer or one called as the automatic count, or a precision not above 0.
    """
    store.studies.get(study)
    if AUTOMATIC in (name.strip().lower() for name in observers):
        raise InputError(f"No observer can be called {AUTOMATIC!r}; give the name of a person.")
    lines = [line for line in image_lines(store, study) if line.count is not None]
    if number is None:
        number = len(lines)
        if precision is not None:
            number = sample_size(error_sd(store, study), precision, len(lines))
    if seed is None:
        seed = int(np.random.default_rng().integers(2**31))
    drawn = draw_images(lines, number, seed)
    return store.reviews.create(study, observers, drawn.strata, drawn.of, drawn.seed)


def error_sd(store: Store, study: str) -> float:
    """Standard deviation of the error of an image: from finished reviews of the study, else from the intervals."""
    errors = []
    for review in store.reviews.of_study(study):
        if store.reviews.is_finished(review.id):
            marks = store.reviews.marks(review.id)
            for seen in seen_images(store, review):
                observed = [len(marks[seen.key, who].points) for who in review.observers]
                errors.append(len(seen.automatic) - float(np.mean(observed)))
    if len(errors) > 1:
        return float(np.std(errors, ddof=1))
    return expected_sd(image_lines(store, study))


def review_result(store: Store, review_id: str) -> ReviewResult:
    """Agreement of all who counted.

    Raises:
        ConflictError: the review is still blinded.
        NotFoundError: there is no such review.
    """
    review = store.reviews.require_finished(review_id)
    marks, images = store.reviews.marks(review_id), seen_images(store, review)
    log = store.reviews.log(review_id)
    agreed = {line.detail["image"] for line in log if line.what == "agreed"}
    raters = (*review.observers, AUTOMATIC)
    names = {seen.key: seen.image for seen in images}
    opened = [line for line in log if line.what == "opened"]
    return ReviewResult(
        review=review_id,
        observers=review.observers,
        sentence=review_sentence(review, marks, images),
        sampling=sampling_sentence(review, marks, images),
        pairs=tuple(_pair(pair, marks, images) for pair in review_pairs(review)) if images else (),
        images=tuple(
            sorted(
                (_disagreement(seen, raters, marks, agreed) for seen in images),
                key=lambda one: (-one.range, one.image),
            )
        ),
        opened=tuple(_opening(line, names) for line in opened),
        faults=tuple(store.reviews.faults(review_id)),
    )


def finished_reviews(store: Store, study: str) -> list[ReviewResult]:
    """What the finished reviews of a study found, oldest first."""
    reviews = store.reviews.of_study(study)
    return [review_result(store, one.id) for one in reviews if store.reviews.is_finished(one.id)]


def review_pairs(review: Review) -> list[tuple[str, str]]:
    """Who is compared with whom: observers with each other, then each with the automatic count."""
    return [*combinations(review.observers, 2), *((who, AUTOMATIC) for who in review.observers)]


def seen_images(store: Store, review: Review) -> list[SeenImage]:
    """The images of a review with the automatic cells; those whose files cannot be read are left out."""
    strata = store.reviews.strata(review.id)
    found = []
    for key, count_id in review.keys.items():
        try:
            row, result = store.counts.get(count_id), store.result(count_id)
        except FluocountError:
            continue
        found.append(
            SeenImage(
                key=key,
                count_id=count_id,
                image=row.image,
                automatic=tuple((cell.x, cell.y) for cell in result.cells),
                reach_px=REACH * result.cell_diameter_px,
                stratum=strata[key],
            )
        )
    return found


def _points(who: str, seen: SeenImage, marks: Marks) -> Points:
    return seen.automatic if who == AUTOMATIC else marks[seen.key, who].points


def _pair(names: tuple[str, str], marks: Marks, images: list[SeenImage]) -> Pair:
    first, second = ([_points(who, seen, marks) for seen in images] for who in names)
    one, two = ([float(len(points)) for points in own] for own in (first, second))
    matched = [
        match(left, right, seen.reach_px)
        for left, right, seen in zip(first, second, images, strict=True)
    ]
    together = Matched(
        both=sum(found.both for found in matched),
        first_only=sum(found.first_only for found in matched),
        second_only=sum(found.second_only for found in matched),
    )
    return Pair(
        first=names[0],
        second=names[1],
        bland_altman=bland_altman(one, two),
        icc=intraclass_correlation(np.column_stack([one, two])),
        f1=together.f1,
        means=tuple((a + b) / 2 for a, b in zip(one, two, strict=True)),
        differences=tuple(b - a for a, b in zip(one, two, strict=True)),
    )


def _disagreement(
    seen: SeenImage, raters: tuple[str, ...], marks: Marks, agreed: set[str]
) -> Disagreement:
    counts = {who: len(_points(who, seen, marks)) for who in raters}
    return Disagreement(
        key=seen.key,
        count_id=seen.count_id,
        image=seen.image,
        counts=counts,
        range=max(counts.values()) - min(counts.values()),
        agreed=seen.key in agreed,
    )


def _opening(line: LogLine, names: dict[str, str]) -> str:
    key = line.detail["image"]
    what = f"the count of {names.get(key, 'one of the images')}" if key else "a list of counts"
    when = local_time(line.when_s)[:16].replace("T", " ")
    return f"{when}: {line.who} opened {what} while the review was blinded."
