"""The inputs of the calls about studies; see `device.web.inputs`."""

from apiflask.fields import Boolean, Integer, List, Nested, String
from apiflask.validators import Length, OneOf, Range

from device.store.studies import MAX_PLACE_CHARS
from device.web.inputs import MAX_EXPORTED, Strict, text_field

MAX_TABLE_CHARS = 150_000


class StudyForm(Strict):
    """A study: name, question, groups with the control first, assay, pattern, value of a subject, kind of tests."""

    name = text_field(80, required=True)
    question = text_field(1000)
    groups = List(text_field(MAX_PLACE_CHARS), validate=Length(max=50))
    assay = text_field(100)
    pattern = text_field(200)
    per_subject = String(validate=OneOf(["mean", "sum"]))
    tests = String(validate=OneOf(["means", "ranks"]))
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
