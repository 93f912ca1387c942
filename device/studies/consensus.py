"""The consensus round after a blinded review: the marks of all observers, and what they agree on as corrections."""

import msgspec

from device.errors import ConflictError, NotFoundError
from device.export.stored import stored_labels
from device.jobs.marking import marks_of_points
from device.jobs.recounting import picture_of
from device.store import Edit, Store
from device.store.reviews import Points
from device.studies.agreement import match_points
from device.studies.reviewing import seen_images

_MAX_AUTHOR_CHARS = 100


class Shared(msgspec.Struct, frozen=True, kw_only=True):
    """A place that observers marked on an image; `observers` are those who did."""

    x: float
    y: float
    observers: tuple[str, ...]


def shared_marks(store: Store, review_id: str, key: str) -> list[Shared]:
    """What the observers marked on an image: places that several marked are one, in their middle.

    Raises:
        ConflictError: the review is still blinded.
        NotFoundError: there is no such review or image.
    """
    review = store.reviews.require_finished(review_id)
    seen = next((one for one in seen_images(store, review) if one.key == key), None)
    if seen is None:
        raise NotFoundError("There is no such image in this review.")
    marks = store.reviews.marks(review_id)
    groups: list[tuple[list[tuple[float, float]], list[str]]] = []
    for observer in review.observers:
        points = marks[key, observer].points
        centres = [_middle(own) for own, _ in groups]
        pairs = {second: first for first, second in match_points(centres, points, seen.reach_px)}
        for number, point in enumerate(points):
            if number in pairs:
                groups[pairs[number]][0].append(point)
                groups[pairs[number]][1].append(observer)
            else:
                groups.append(([point], [observer]))
    return [
        Shared(x=_middle(own)[0], y=_middle(own)[1], observers=tuple(who)) for own, who in groups
    ]


def agree(store: Store, review_id: str, key: str, points: Points, who: str) -> int:
    """Store the marks that the observers agreed on as corrections of the count; returns the corrected count.

    Where the image was counted again since, they correct its newest count, which is the one that the study reads.

    Raises:
        ConflictError: the review is still blinded, or the newest count is of another channel or plane.
        NotFoundError: there is no such review or image.
        InputError: a point lies outside the image.
    """
    review = store.reviews.require_finished(review_id)
    if key not in review.keys:
        raise NotFoundError("There is no such image in this review.")
    count_id = _newest_of_picture(store, review.keys[key])
    result = store.result(count_id)
    by = f"agreed by {', '.join(review.observers)}"[:_MAX_AUTHOR_CHARS]
    found = marks_of_points(points, result, stored_labels(store, count_id), by, sure=True)
    store.corrections.replace(count_id, result, found.marks, by)
    row = store.counts.edit(count_id, Edit(reviewed_by=by))
    store.reviews.note(review_id, who, "agreed", image=key)
    return row.corrected_count or 0


def _newest_of_picture(store: Store, count_id: str) -> str:
    row = store.counts.get(count_id)
    family = store.counts.versions(row.version_of or row.id)
    newest = [one for one in family if one.status == "done"][-1]
    if picture_of(store.result(newest.id)) != picture_of(store.result(count_id)):
        raise ConflictError(
            f"{row.image} was counted again since the review, in another channel or plane: the marks do not fit the "
            "count that the study reads. Count it again as it was reviewed, then agree."
        )
    return newest.id


def _middle(points: list[tuple[float, float]]) -> tuple[float, float]:
    return (
        sum(x for x, _ in points) / len(points),
        sum(y for _, y in points) / len(points),
    )
