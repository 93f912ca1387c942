"""The answers of the calls about studies; see `device.web.records`."""

from typing import Any

import msgspec

from device.counting.records import CountInterval
from device.store.studies import Place, Study
from device.studies.analysis import GroupSummary, SubjectValue
from device.studies.comparing import Comparison
from device.studies.consensus import Shared
from device.studies.naming import Split
from device.studies.reviewing import ReviewResult


class StudyEntry(msgspec.Struct, frozen=True, kw_only=True):
    """A study and its number of images."""

    name: str
    question: str
    images: int


class StudyList(msgspec.Struct, frozen=True, kw_only=True):
    """All studies by name."""

    studies: tuple[StudyEntry, ...]


class SplitList(msgspec.Struct, frozen=True, kw_only=True):
    """How names are split; `problem` is a sentence where a name is not understood."""

    splits: tuple[Split, ...]


class StudyImageView(msgspec.Struct, frozen=True, kw_only=True):
    """An image of a study in its newest count; `problem` says why it has none, `waiting` that it will have one."""

    id: str
    image: str
    place: Place
    count: int | None
    interval: CountInterval | None
    cells_per_mm2: float | None
    flags: tuple[str, ...]
    reviewed_by: str | None
    problem: str
    waiting: bool


class StudyView(msgspec.Struct, frozen=True, kw_only=True):
    """A study with its images in the order in which they came."""

    study: Study
    images: tuple[StudyImageView, ...]


class StudyRegionView(msgspec.Struct, frozen=True, kw_only=True):
    """What the study says about a region; `notes` are what a reader must know, by heading.

    `sentences` are about pairs of groups, `overall` about all of them, or why there is no test.
    """

    region: str
    unit: str
    groups: tuple[GroupSummary, ...]
    subjects: tuple[SubjectValue, ...]
    comparison: Comparison
    sentences: tuple[str, ...]
    overall: str
    notes: dict[str, tuple[str, ...]]


class CapturingView(msgspec.Struct, frozen=True, kw_only=True):
    """Where the next capture goes; `study` is null where captures belong to none."""

    study: str | None = None
    place: Place = Place()


class ReviewEntry(msgspec.Struct, frozen=True, kw_only=True):
    """A review of a study."""

    id: str
    images: int
    finished: bool
    observers: tuple[str, ...]


class ReviewList(msgspec.Struct, frozen=True, kw_only=True):
    """The reviews of a study, oldest first."""

    reviews: tuple[ReviewEntry, ...]


class ObserverState(msgspec.Struct, frozen=True, kw_only=True):
    """How many images an observer has done."""

    name: str
    done: int
    total: int


class ReviewState(msgspec.Struct, frozen=True, kw_only=True):
    """A review as its observers may know it."""

    id: str
    finished: bool
    observers: tuple[ObserverState, ...]


class BlindImage(msgspec.Struct, frozen=True, kw_only=True):
    """The next image of an observer with the observer's own marks; `key` is empty when all are done."""

    key: str
    number: int
    total: int
    width: int
    height: int
    points: tuple[tuple[float, float], ...]


class LogView(msgspec.Struct, frozen=True, kw_only=True):
    """The log of a review; `faults` are sentences about what somebody changed."""

    lines: tuple[dict[str, Any], ...]
    faults: tuple[str, ...]


class SampleSizeView(msgspec.Struct, frozen=True, kw_only=True):
    """How many of how many images a review needs; `sd` is the expected scatter of the error, in cells."""

    images: int
    of: int
    sd: float


class SharedMarks(msgspec.Struct, frozen=True, kw_only=True):
    """What each observer marked on an image."""

    image: str
    width: int
    height: int
    marks: tuple[Shared, ...]


class AgreedView(msgspec.Struct, frozen=True, kw_only=True):
    """The corrected count after the consensus."""

    corrected_count: int


STUDY_RECORDS: tuple[type[msgspec.Struct], ...] = (
    Study,
    StudyEntry,
    StudyList,
    SplitList,
    StudyView,
    StudyRegionView,
    CapturingView,
    ReviewList,
    ReviewState,
    BlindImage,
    LogView,
    SampleSizeView,
    SharedMarks,
    AgreedView,
    ReviewResult,
)
