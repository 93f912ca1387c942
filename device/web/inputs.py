"""The inputs of the API as marshmallow schemas: checked before a view gets them, and shown in the document."""

from typing import Any, get_args

from apiflask import Schema
from apiflask.fields import Boolean, File, Float, Integer, List, String
from apiflask.validators import Length, OneOf, Range
from marshmallow import pre_load

from device.counting.assay import MAX_OBJECTIVE_CHARS
from device.counting.settings import DIAMETER_RANGE_PX, THRESHOLD_RANGE
from device.jobs.intake import MAX_NOTES_CHARS, MAX_SAMPLE_CHARS
from device.store.forwarded import ORIGINAL
from device.store.records import Order
from device.store.region import MAX_CORNERS, MAX_NAME_CHARS, MIN_CORNERS
from device.store.results import PRODUCTS
from device.web.fields import record_field, text_field

_LARGEST = 2**53
_THRESHOLDS = Range(*THRESHOLD_RANGE, min_inclusive=False, max_inclusive=False)
_AREAS_PX = Range(0, 1e8)
MAX_PAGE = 1000
MAX_EXPORTED = 5000
SEPARATORS = {"comma": ",", "semicolon": ";", "tab": "\t"}
"""Excel opens a table by double-click only with the separator of the country it is set to."""


class Strict(Schema):
    """Unknown fields are errors, so that a misspelt threshold is never silently the default."""

    class Meta:
        """marshmallow's settings."""

        unknown = "raise"


def _from_one() -> Integer:
    return Integer(validate=Range(1, _LARGEST))


class CountForm(Strict):
    """An image and its settings; see CountSettings for the numbers and Reading for the channel, plane and range."""

    image = File(  # type: ignore[no-untyped-call]
        required=True, metadata={"description": "PNG, JPEG or TIFF, 8 or 16 bit"}
    )
    sample = text_field(MAX_SAMPLE_CHARS)
    notes = text_field(MAX_NOTES_CHARS)
    threshold = Float(validate=_THRESHOLDS)
    cell_diameter_px = Float(validate=Range(*DIAMETER_RANGE_PX))
    min_area_px = Float(validate=_AREAS_PX)
    exclude_border = Boolean()
    model = text_field(100)
    assay = text_field(100)
    objective = text_field(MAX_OBJECTIVE_CHARS)
    channel = text_field(100)
    scene = _from_one()
    z = _from_one()
    t = _from_one()
    page = _from_one()
    project = String(validate=OneOf(["max", "mean", "focus"]))
    full_scale = Integer(validate=Range(1, 65535))
    offset = Integer(validate=Range(0, 65534))

    @pre_load
    def _drop_empty(self, data: Any, **_: Any) -> dict[str, Any]:
        """An HTML form sends empty fields for blank inputs; ignore them."""
        return {name: value for name, value in data.items() if value != ""}


class KeyHeader(Schema):
    """Makes a second try safe: the same key returns the id of the first."""

    idempotency_key = text_field(200, data_key="Idempotency-Key")


class CountFilter(Strict):
    """Which counts; times are ISO 8601, without a zone UTC; `until` itself is not included; `mine` is who asks."""

    sample = text_field(MAX_SAMPLE_CHARS)
    since = text_field(40)
    until = text_field(40)
    status = String(validate=OneOf(["queued", "running", "done", "failed", "cancelled"]))
    kept = Boolean()
    versions = String(validate=OneOf(["newest", "all"]))
    origin = String(validate=OneOf(["upload", "capture", "watch", "batch"]))
    search = text_field(MAX_SAMPLE_CHARS)
    instrument = text_field(60)
    owner = text_field(60)
    mine = Boolean()
    reviewed = Boolean()
    flagged = Boolean()
    doubtful = Boolean()
    corrected = Boolean()


class TableQuery(CountFilter):
    """Which counts, and how the table is written; `bom` marks it as UTF-8, which Excel needs."""

    separator = String(validate=OneOf(list(SEPARATORS)), load_default="comma")
    bom = Boolean(load_default=False)


class ChangesQuery(Strict):
    """`since` is the `latest` of the answer before; without it only the present one is told."""

    since = Integer(validate=Range(0, _LARGEST))


class CountOrder(CountFilter):
    """Which counts in which order: `name` of sample and file; `count_down` and `doubtful` begin with the most."""

    order = String(validate=OneOf(list(get_args(Order))), load_default="newest")


class CountPage(CountOrder):
    """A page of counts."""

    limit = Integer(validate=Range(1, MAX_PAGE), load_default=100)
    before = Integer(validate=Range(0, _LARGEST))


class CountEdit(Strict):
    """Changes of a count; with the `version` that the person saw, other people's edits are not overwritten."""

    sample = text_field(MAX_SAMPLE_CHARS)
    notes = text_field(MAX_NOTES_CHARS)
    keep = Boolean()
    reviewed = Boolean()
    who = text_field(100)
    version = Integer(validate=Range(0, _LARGEST))


class RelabelQuery(Strict):
    """Settings to label with; absent means as stored."""

    threshold = Float(validate=_THRESHOLDS)
    min_area_px = Float(validate=_AREAS_PX)
    exclude_border = Boolean()


class OutlinesQuery(RelabelQuery):
    """Outlines of a preview; without settings the stored ones, with the corrections by hand unless not wanted."""

    corrected = Boolean(load_default=True)


class CorrectionForm(Strict):
    """`add` needs x and y; `undo` may name a correction_id; others need a cell_id, best with its revision."""

    action = String(required=True, validate=OneOf(["add", "remove", "accept", "reject", "undo"]))
    x = Float(validate=Range(-_LARGEST, _LARGEST))
    y = Float(validate=Range(-_LARGEST, _LARGEST))
    cell_id = Integer(validate=Range(0, _LARGEST))
    correction_id = Integer(validate=Range(0, _LARGEST))
    revision = Integer(validate=Range(0, _LARGEST))
    who = text_field(100)


class RegionForm(Strict):
    """A polygon with a name; corners [x, y] in pixels of the image, the last one is joined to the first."""

    name = text_field(MAX_NAME_CHARS, required=True)
    points = List(
        List(Float(validate=Range(-_LARGEST, _LARGEST)), validate=Length(2, 2)),
        required=True,
        validate=Length(MIN_CORNERS, MAX_CORNERS),
    )
    who = text_field(100)


class RegionName(Strict):
    """Another name for a region."""

    name = text_field(MAX_NAME_CHARS, required=True)


class PointsForm(Strict):
    """Points that were set in another program."""

    points = File(  # type: ignore[no-untyped-call]
        required=True,
        metadata={
            "description": "ImageJ .roi or .zip, Cell Counter .xml, QuPath .geojson, .csv with x and y"
        },
    )
    who = text_field(100)


class CaptureForm(Strict):
    """Sample name, notes, assay and objective of a capture."""

    assay = text_field(100)
    objective = text_field(MAX_OBJECTIVE_CHARS)
    sample = text_field(MAX_SAMPLE_CHARS)
    notes = text_field(MAX_NOTES_CHARS)


class CameraForm(Strict):
    """Controls to change; the ranges are in the camera's state."""

    exposure_s = Float(validate=Range(0, 1e6, min_inclusive=False))
    gain = Float(validate=Range(0, 1e6, min_inclusive=False))
    red_gain = Float(validate=Range(0, 1e6, min_inclusive=False))
    blue_gain = Float(validate=Range(0, 1e6, min_inclusive=False))
    average_frames = Integer(validate=Range(1, 10_000))


class AssayForm(Strict):
    """An assay as it is exported; it becomes the newest version of its name."""

    assay = record_field()
    who = text_field(100)


class AssayQuery(Strict):
    """Which version; absent means the newest."""

    version = Integer(validate=Range(0, _LARGEST))


class TeachForm(Strict):
    """Counts that were looked through; absent means all of the assay with corrections."""

    ids = List(text_field(64), validate=Length(1, MAX_PAGE))


class RestoreForm(Strict):
    """The version that becomes the newest again."""

    version = Integer(required=True, validate=Range(0, _LARGEST))
    who = text_field(100)


class InstrumentForm(Strict):
    """An instrument that says that it is there; see Instrument."""

    id = text_field(16, required=True)
    name = text_field(60, required=True)
    version = text_field(60, required=True)
    waiting = Integer(validate=Range(0, _LARGEST), load_default=0)
    problems = List(text_field(1000), validate=Length(max=20), load_default=[])


def _file(**options: Any) -> File:
    return File(**options)  # type: ignore[no-untyped-call]


def field_of(name: str) -> str:
    """A file's name as the name of a field: marshmallow takes a dot for a nested record."""
    return name.replace(".", "_")


_FORWARDED: dict[str, Any] = {
    "about": _file(required=True, metadata={"description": "JSON of Message"})
} | {
    field_of(name): _file(data_key=name, metadata={"description": "asked for by `send files`"})
    for name in (*PRODUCTS, ORIGINAL)
}
ForwardForm: Any = Strict.from_dict(_FORWARDED, name="ForwardForm")
"""A finished count of another instrument, and its files if they were asked for."""


class RecountForm(Strict):
    """Which counts (their ids, or a sample's) are counted again, and what is done otherwise."""

    ids = List(text_field(64), validate=Length(1, MAX_PAGE))
    sample = text_field(MAX_SAMPLE_CHARS)
    assay = text_field(100)
    objective = text_field(MAX_OBJECTIVE_CHARS)
    cell_diameter_px = Float(validate=Range(*DIAMETER_RANGE_PX))


class ModelForm(Strict):
    """A model to be installed."""

    model = File(  # type: ignore[no-untyped-call]
        required=True, metadata={"description": "The .zip that fluocount-train adapt wrote"}
    )


class ExportForm(Strict):
    """Which counts, as one table (of them or of their regions) or as a ZIP with every file."""

    ids = List(text_field(64), required=True, validate=Length(1, MAX_EXPORTED))
    format = String(required=True, validate=OneOf(["csv", "regions", "zip"]))
    separator = String(validate=OneOf(list(SEPARATORS)), load_default="comma")
    bom = Boolean(load_default=False)
