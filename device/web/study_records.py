"""The answers of the calls about studies; see `device.web.records`."""

import msgspec

from device.store.studies import Place, Study
from device.studies.analysis import GroupSummary, SubjectValue
from device.studies.comparing import Comparison
from device.studies.naming import Split


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
    """An image of a study in its newest count; `problem` says why it has none."""

    id: str
    image: str
    place: Place
    count: int | None
    interval: tuple[int, int] | None
    cells_per_mm2: float | None
    flags: tuple[str, ...]
    reviewed_by: str | None
    problem: str


class StudyView(msgspec.Struct, frozen=True, kw_only=True):
    """A study with its images in the order in which they came."""

    study: Study
    images: tuple[StudyImageView, ...]


class RegionView(msgspec.Struct, frozen=True, kw_only=True):
    """What the study says about a region; `notes` are what a reader must know, by heading."""

    region: str
    unit: str
    groups: tuple[GroupSummary, ...]
    subjects: tuple[SubjectValue, ...]
    comparison: Comparison
    sentences: tuple[str, ...]
    notes: dict[str, tuple[str, ...]]


class CapturingView(msgspec.Struct, frozen=True, kw_only=True):
    """Where the next capture goes; `study` is null where captures belong to none."""

    study: str | None = None
    place: Place = Place()


STUDY_RECORDS: tuple[type[msgspec.Struct], ...] = (
    Study,
    StudyEntry,
    StudyList,
    SplitList,
    StudyView,
    RegionView,
    CapturingView,
)
