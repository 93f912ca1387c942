"""Blinded reviews. Until a review is finished its calls tell neither names nor groups nor counts of the images."""

from typing import Any

import msgspec
from apiflask import APIBlueprint
from flask import Response, g

from device.errors import InputError, NotFoundError
from device.store import Store
from device.store.reviews import Marked, Review
from device.studies.comparing import require_statistics
from device.studies.consensus import agree, shared_marks
from device.studies.plots import agreement_figure, encode_figure
from device.studies.reviewing import begin_review, error_sd, review_result
from device.studies.sampling import sample_size
from device.studies.values import image_lines
from device.web.access import own_name, who
from device.web.api.answers import BINARY, answers, json, ref
from device.web.current import service
from device.web.study_inputs import (
    AgreedForm,
    MarksForm,
    NextQuery,
    PairQuery,
    PrecisionQuery,
    ReviewForm,
    StepForm,
    WhoForm,
)
from device.web.study_records import (
    AgreedView,
    BlindImage,
    LogView,
    ObserverState,
    ReviewEntry,
    ReviewList,
    ReviewState,
    SampleSizeView,
    SharedMarks,
)
from device.web.views import iso

reviews = APIBlueprint("reviews", __name__, url_prefix="/api/v1")

_NOTHING = Marked(points=(), done=False)


@reviews.get("/studies/<name>/reviews")
@answers(reviews, ref("ReviewList"), 404)
def of_study(name: str) -> Response:
    """The reviews of a study; of those that are blinded only how far they are."""
    store = service().require_store()
    store.studies.get(name)
    found = tuple(
        ReviewEntry(
            id=one.id,
            images=len(one.keys),
            finished=store.reviews.is_finished(one.id),
            observers=one.observers,
        )
        for one in store.reviews.of_study(name)
    )
    return json(ReviewList(reviews=found))


@reviews.post("/studies/<name>/reviews")
@reviews.input(ReviewForm, location="json", arg_name="form")
@answers(reviews, ref("ReviewState"), 404, 409)
def begin(name: str, form: dict[str, Any]) -> Response:
    """Draw images at random and begin a blinded review of them."""
    store = service().require_store()
    review = begin_review(
        store,
        name,
        tuple(form["observers"]),
        number=form.get("number"),
        precision=form.get("precision"),
        seed=form.get("seed"),
    )
    return json(_state(store, review))


@reviews.get("/studies/<name>/sample-size")
@reviews.input(PrecisionQuery, location="query", arg_name="query", unknown="raise")
@answers(reviews, ref("SampleSizeView"), 404, 409)
def size(name: str, query: dict[str, Any]) -> Response:
    """How many images a review needs for a wanted precision of the mean error."""
    store = service().require_store()
    store.studies.get(name)
    images = sum(line.count is not None for line in image_lines(store, name))
    sd = error_sd(store, name)
    number = sample_size(sd, query["precision"], images)
    return json(SampleSizeView(images=number, of=images, sd=sd))


@reviews.get("/reviews/<review_id>")
@answers(reviews, ref("ReviewState"), 404)
def state(review_id: str) -> Response:
    """How far the observers are."""
    store = service().require_store()
    return json(_state(store, store.reviews.get(review_id)))


@reviews.post("/reviews/<review_id>/steps")
@reviews.input(StepForm, location="json", arg_name="form")
@answers(reviews, ref("ReviewState"), 404, 409)
def step(review_id: str, form: dict[str, Any]) -> Response:
    """An observer starts, goes on or pauses."""
    store = service().require_store()
    review = store.reviews.get(review_id)
    observer = form["observer"]
    review.require_observer(observer)
    store.reviews.note(review_id, observer, form["what"], **_account(observer))
    return json(_state(store, review))


@reviews.get("/reviews/<review_id>/next")
@reviews.input(NextQuery, location="query", arg_name="query", unknown="raise")
@answers(reviews, ref("BlindImage"), 404, 409)
def following(review_id: str, query: dict[str, Any]) -> Response:
    """The next image of an observer, in the observer's own random order; an empty key when all are done."""
    store = service().require_store()
    review, observer = store.reviews.get(review_id), query["observer"]
    review.require_observer(observer)
    marks = store.reviews.marks(review_id)
    order = review.order(observer)
    for number, key in enumerate(order, start=1):
        known = marks.get((key, observer), _NOTHING)
        if not known.done:
            row = store.counts.get(review.keys[key])
            return json(
                BlindImage(
                    key=key, number=number, total=len(order), width=row.width or 0, height=row.height or 0,
                    points=known.points,
                )
            )  # fmt: skip
    return json(
        BlindImage(key="", number=len(order), total=len(order), width=0, height=0, points=())
    )


@reviews.get("/reviews/<review_id>/images/<key>.jpg")
@answers(reviews, BINARY, 404, 409, media="image/jpeg")
def picture(review_id: str, key: str) -> Response:
    """An image of a review; its bytes say nothing of where it comes from."""
    store = service().require_store()
    count_id = store.reviews.get(review_id).keys.get(key)
    if count_id is None:
        raise NotFoundError("There is no such image in this review.")
    return Response(store.product(count_id, "image.jpg").read_bytes(), mimetype="image/jpeg")


@reviews.post("/reviews/<review_id>/marks")
@reviews.input(MarksForm, location="json", arg_name="form")
@answers(reviews, ref("ReviewState"), 404, 409)
def mark(review_id: str, form: dict[str, Any]) -> Response:
    """Keep an observer's marks; an image that is done does not change any more."""
    store = service().require_store()
    review = store.reviews.get(review_id)
    key = form["image"]
    _require_inside(store, review, key, points := _points(form["points"]))
    observer, done = form["observer"], form.get("done", False)
    store.reviews.save_marks(review_id, key, observer, points, done=done, **_account(observer))
    return json(_state(store, review))


@reviews.post("/reviews/<review_id>/finish")
@reviews.input(WhoForm, location="json", arg_name="form")
@answers(reviews, ref("ReviewState"), 404, 409)
def finish(review_id: str, form: dict[str, Any]) -> Response:
    """Unblind a review that every observer has finished."""
    store = service().require_store()
    store.reviews.finish(review_id, who(form.get("who")))
    return json(_state(store, store.reviews.get(review_id)))


@reviews.get("/reviews/<review_id>/results")
@answers(reviews, ref("ReviewResult"), 404, 409)
def results(review_id: str) -> Response:
    """Agreement of all who counted; only of a finished review."""
    return json(review_result(service().require_store(), review_id))


@reviews.get("/reviews/<review_id>/agreement.svg")
@reviews.input(PairQuery, location="query", arg_name="query", unknown="raise")
@answers(reviews, BINARY, 404, 409, media="image/svg+xml")
def agreement(review_id: str, query: dict[str, Any]) -> Response:
    """The picture of Bland and Altman of a pair, numbered from 1; only of a finished review."""
    found = review_result(service().require_store(), review_id)
    require_statistics()
    if query["pair"] > len(found.pairs):
        raise InputError(f"This review has {len(found.pairs)} pairs.")
    figure = agreement_figure(found.pairs[query["pair"] - 1])
    return Response(encode_figure(figure, "svg"), mimetype="image/svg+xml")


@reviews.get("/reviews/<review_id>/log")
@answers(reviews, ref("LogView"), 404)
def log(review_id: str) -> Response:
    """Who did what when, and whether the log holds."""
    store = service().require_store()
    review = store.reviews.get(review_id)
    lines = tuple(
        msgspec.to_builtins(line) | {"when": iso(line.when_s)}
        for line in store.reviews.log(review_id)
    )
    return json(LogView(lines=lines, faults=tuple(store.reviews.faults(review.id))))


@reviews.get("/reviews/<review_id>/agreed/<key>")
@answers(reviews, ref("SharedMarks"), 404, 409)
def list_marks(review_id: str, key: str) -> Response:
    """What each observer marked on an image; only of a finished review."""
    store = service().require_store()
    marks = tuple(shared_marks(store, review_id, key))
    row = store.counts.get(store.reviews.get(review_id).keys[key])
    return json(
        SharedMarks(image=row.image, width=row.width or 0, height=row.height or 0, marks=marks)
    )


@reviews.post("/reviews/<review_id>/agreed/<key>")
@reviews.input(AgreedForm, location="json", arg_name="form")
@answers(reviews, ref("AgreedView"), 404, 409)
def settle(review_id: str, key: str, form: dict[str, Any]) -> Response:
    """Store the marks that the observers agreed on as corrections."""
    points = _points(form["points"])
    count = agree(service().require_store(), review_id, key, points, who(form.get("who")))
    return json(AgreedView(corrected_count=count))


def _account(observer: str) -> dict[str, str]:
    """Whoever marks under the name of somebody else stands in the log with the own one, too."""
    account = own_name() or g.get("token_name")
    return {"account": account} if account and account != observer else {}


def _points(sent: list[list[float]]) -> tuple[tuple[float, float], ...]:
    return tuple((float(x), float(y)) for x, y in sent)


def _require_inside(
    store: Store, review: Review, key: str, points: tuple[tuple[float, float], ...]
) -> None:
    review.require_image(key)
    row = store.counts.get(review.keys[key])
    if any(not (-0.5 <= x < (row.width or 0) and -0.5 <= y < (row.height or 0)) for x, y in points):
        raise InputError("A mark lies outside the image; reload the page.")


def _state(store: Store, review: Review) -> ReviewState:
    marks = store.reviews.marks(review.id)
    observers = tuple(
        ObserverState(
            name=name,
            done=sum(known.done for (_, observer), known in marks.items() if observer == name),
            total=len(review.keys),
        )
        for name in review.observers
    )
    return ReviewState(
        id=review.id, finished=store.reviews.is_finished(review.id), observers=observers
    )
