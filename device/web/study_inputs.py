"""The inputs of the calls about studies; see `device.web.inputs`."""

from typing import Any

from apiflask.fields import Boolean, Float, Integer, List, Nested, String
from apiflask.validators import Length, OneOf, Range

from device.store.studies import MAX_PLACE_CHARS
from device.web.fields import text_field
from device.web.inputs import MAX_EXPORTED, Strict

MAX_TABLE_CHARS = 150_000


class StudyForm(Strict):
    """A study: name, question, groups with the control first, assay, pattern, value of a subject, kind of tests.

    `pairing` says what a subject's name in several groups means: the same subject, or another one.
    """

    name = text_field(80, required=True)
    question = text_field(1000)
    groups = List(text_field(MAX_PLACE_CHARS), validate=Length(max=50))
    assay = text_field(100)
    pattern = text_field(200)
    per_subject = String(validate=OneOf(["mean", "sum"]))
    tests = String(validate=OneOf(["means", "ranks"]))
    pairing = String(validate=OneOf(["unsaid", "independent", "paired"]))
    new = Boolean(metadata={"description": "refuse to change a study that exists"})


class SplitForm(Strict):
    """Names (paths with / between folders) to be split by a pattern."""

    pattern = text_field(200, required=True)
    names = List(text_field(500), required=True, validate=Length(1, MAX_EXPORTED))


class PlaceForm(Strict):
    """A count's id and its place in the study."""

    id = text_field(64, required=True)
    group = text_field(MAX_PLACE_CHARS, required=True)
    subject = text_field(MAX_PLACE_CHARS, required=True)
    slice = text_field(MAX_PLACE_CHARS)
    region = text_field(MAX_PLACE_CHARS)


class AssignForm(Strict):
    """Either places, or the text of a CSV with the columns image (id or file name), group, subject, slice, region."""

    places = List(Nested(PlaceForm), validate=Length(1, 1000))
    table = text_field(MAX_TABLE_CHARS)


class TakeOutForm(Strict):
    """Counts that leave the study."""

    ids = List(text_field(64), required=True, validate=Length(1, 1000))


class CapturingForm(Strict):
    """The place of the next capture; an empty study ends it."""

    study = text_field(80)
    group = text_field(MAX_PLACE_CHARS)
    subject = text_field(MAX_PLACE_CHARS)
    slice = text_field(MAX_PLACE_CHARS)
    region = text_field(MAX_PLACE_CHARS)


class FindingsQuery(Strict):
    """`density`: cells per mm2 instead of cells; `region`: number of the region, from 1."""

    density = Boolean()
    region = Integer(validate=Range(1, 1000))


class BundleQuery(Strict):
    """`licence` of the data, its name or address, for the crate; `density` for the report."""

    licence = text_field(200)
    density = Boolean()


_NAMES = List(text_field(60), required=True, validate=Length(1, 20))


def _points() -> Any:
    """[x, y] pairs in pixels of the image."""
    pair = List(Float(validate=Range(-1, 2**31)), validate=Length(equal=2))
    return List(pair, required=True, validate=Length(max=5000))


class ReviewForm(Strict):
    """Observers, and how many images: a number, or as many as a precision of the mean error (in cells) needs."""

    observers = _NAMES
    number = Integer(validate=Range(1, 100_000))
    precision = Float(validate=Range(0, 1e6, min_inclusive=False))
    seed = Integer(validate=Range(0, 2**31 - 1))


class PrecisionQuery(Strict):
    """Half of the interval of the mean error, in cells."""

    precision = Float(required=True, validate=Range(0, 1e6, min_inclusive=False))


class StepForm(Strict):
    """An observer starts, or pauses."""

    observer = text_field(60, required=True)
    what = String(required=True, validate=OneOf(["started", "paused"]))


class NextQuery(Strict):
    """Whose next image."""

    observer = text_field(60, required=True)


class MarksForm(Strict):
    """What an observer marked on an image; `done` ends the image."""

    observer = text_field(60, required=True)
    image = text_field(64, required=True)
    points = _points()
    done = Boolean()


class WhoForm(Strict):
    """Who does it."""

    who = text_field(100)


class PairQuery(Strict):
    """Which pair, from 1."""

    pair = Integer(validate=Range(1, 1000), load_default=1)


class AgreedForm(Strict):
    """The marks that the observers agreed on."""

    points = _points()
    who = text_field(100)
