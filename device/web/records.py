"""The answers of the API as msgspec types, from which the OpenAPI document is generated."""

from typing import Any, Literal

import msgspec

from device.assays.teaching import Lesson
from device.camera import CameraStatus
from device.counting.assay import Assay
from device.counting.card import ModelCard
from device.counting.records import CountInterval, CountResult, Flag
from device.forward import ForwardState
from device.jobs.looking import Look
from device.jobs.models import ModelList
from device.machine.system import Memory, Throttling
from device.service import Problem, Refusal
from device.store.disk import DiskState
from device.store.forwarded import Hello, Message, Receipt
from device.store.inbox import Heard
from device.store.records import CountRow, Needs, Origin, Status
from device.watch import WatchState
from device.web.region_records import RegionList, RegionView


class Error(msgspec.Struct, frozen=True, kw_only=True):
    """The answer for status 400 and above: one sentence with what was expected, what came and what to do."""

    error: str


class EarlierCount(msgspec.Struct, frozen=True, kw_only=True):
    """A count of the same file that was made before; `differs` says in words which settings are others now."""

    id: str
    image: str
    sample: str
    count: int | None
    created: str
    differs: tuple[str, ...]


class Accepted(msgspec.Struct, frozen=True, kw_only=True):
    """The image is saved and will be counted; `needs` is the estimated memory and time.

    `earlier` is the newest earlier count of the same file, null if there is none.
    """

    id: str
    status: Status
    needs: Needs | None
    earlier: EarlierCount | None

    @classmethod
    def of(cls, row: CountRow, earlier: EarlierCount | None = None) -> "Accepted":
        """The answer for a count that was accepted, cancelled or tried again."""
        return cls(id=row.id, status=row.status, needs=row.needs, earlier=earlier)


class CorrectionView(msgspec.Struct, frozen=True, kw_only=True):
    """A cell added or removed by hand, or a doubtful object confirmed.

    `x` and `y` are pixels of the original image, `when` is ISO 8601 in UTC; an undone correction
    stays in the list.
    """

    id: int
    action: Literal["add", "remove", "confirm"]
    x: float
    y: float
    cell_id: int
    who: str
    when: str
    undone: bool
    undone_by: str | None
    undone_when: str | None


class CorrectionsView(msgspec.Struct, frozen=True, kw_only=True):
    """The corrected count and the log behind it."""

    corrected_count: int
    corrections: tuple[CorrectionView, ...]


class CountEntry(msgspec.Struct, frozen=True, kw_only=True):
    """What every view of a count has.

    `progress` is 0 to 1; `created` is ISO 8601 in UTC; `clock_corrected` means that the clock was set
    later and `created` was corrected. `sequence` rises with every accepted image and does not depend
    on the clock. `version` rises with every edit; `reviewed_by` is who looked at the result, `reviewed` when.
    `instrument` is the name of the instrument that made the count and sent it here, null for this one; `owner` is the
    person or token that handed the image in, empty for camera and watched folders.
    """

    id: str
    sequence: int
    status: Status
    progress: float
    error: str | None
    origin: Origin
    image: str
    sample: str
    notes: str
    keep: bool
    created: str
    clock_corrected: bool
    version: int
    reviewed_by: str | None
    reviewed: str | None
    instrument: str | None
    owner: str


class CountSummary(CountEntry, frozen=True, kw_only=True):
    """One line of the history. Numbers of the result are null until the count is done."""

    count: int | None
    corrected_count: int | None
    interval: CountInterval | None
    flags: tuple[Flag, ...]
    doubtful_count: int | None
    width: int | None
    height: int | None
    assay: str | None


class CountList(msgspec.Struct, frozen=True, kw_only=True):
    """`next_before` is the `before` of the next page, null on the last; `total` is how many match."""

    counts: tuple[CountSummary, ...]
    next_before: int | None
    total: int


class ChangeList(msgspec.Struct, frozen=True, kw_only=True):
    """What changed since the `latest` that was asked with; `reset` means: look at everything again."""

    latest: int
    counts: tuple[CountSummary, ...]
    deleted: tuple[str, ...]
    reset: bool


class Neighbours(msgspec.Struct, frozen=True, kw_only=True):
    """The counts just before and just after one in the list of those that match a filter; `total` of them match."""

    previous: CountSummary | None
    next: CountSummary | None
    total: int


class CountVersion(msgspec.Struct, frozen=True, kw_only=True):
    """One of the counts of an image that was counted again; the numbers of settings are those asked for."""

    id: str
    status: Status
    corrected_count: int | None
    assay: str | None
    cell_diameter_px: float | None
    created: str


class CountState(CountEntry, frozen=True, kw_only=True):
    """One count. If `status` is `done`, it has every field of CountResult too.

    `remaining_s` is an estimate while running; `needs` is the estimate made when
    the image was accepted; `revision` rises when another threshold or size is saved; `capture` has
    the real settings of the camera, `conditions` the temperature of the device; `recounts` are all counts of the
    image, oldest first, empty where it was counted once; `regions` are those that a person drew on it.
    """

    remaining_s: float | None
    needs: Needs | None
    model_asked: str
    revision: int
    corrected_count: int | None
    corrections: tuple[CorrectionView, ...]
    capture: dict[str, Any] | None
    conditions: dict[str, Any] | None
    recounts: tuple[CountVersion, ...]
    regions: tuple[RegionView, ...]


class RecountView(msgspec.Struct, frozen=True, kw_only=True):
    """The new counts, and a sentence for each image that was not accepted."""

    accepted: tuple[Accepted, ...]
    problems: tuple[str, ...]


class SampleList(msgspec.Struct, frozen=True, kw_only=True):
    """Sample names in use, sorted."""

    samples: tuple[str, ...]


class QueueView(msgspec.Struct, frozen=True, kw_only=True):
    """Length of the queue; `worker` is the present state of the worker."""

    waiting: int
    running: int
    max: int
    worker: str


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """Limits of an upload."""

    max_upload_mb: int
    min_side_px: int
    max_side_px: int
    formats: tuple[str, ...]
    max_queue: int


class CameraState(msgspec.Struct, frozen=True, kw_only=True):
    """Short state of the camera; /api/v1/camera has everything."""

    state: str
    kind: str
    text: str


class StatusView(msgspec.Struct, frozen=True, kw_only=True):
    """State of the instrument; null if unknown. `counts_with`: the model that is set, `auto` for a choice per image.

    `instruments`: those that send their counts here; `forwarding`: how far this one's own sending is, null without.
    """

    version: str
    counts_with: str
    model: ModelCard | None
    models: tuple[str, ...]
    camera: CameraState
    queue: QueueView | None
    disk: DiskState | None
    limits: Limits
    temperature_c: float | None
    throttling: Throttling | None
    memory: Memory | None
    clock_synchronised: bool | None
    device_time: str
    last_refusal: Refusal | None
    watches: tuple[WatchState, ...]
    problems: tuple[Problem, ...]
    instruments: tuple[Heard, ...]
    forwarding: ForwardState | None


class InstrumentList(msgspec.Struct, frozen=True, kw_only=True):
    """Every instrument that sends its counts here, by name."""

    instruments: tuple[Heard, ...]


class Health(msgspec.Struct, frozen=True, kw_only=True):
    """`ok`, or `degraded` if some part has a problem (see /api/v1/status)."""

    status: Literal["ok", "degraded"]


class AssayEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One assay in its newest version; `taught_frames` is 0 where it was never taught."""

    name: str
    version: int
    about: str
    model: str
    taught_frames: int


class AssayList(msgspec.Struct, frozen=True, kw_only=True):
    """All assays by name; `default` is used where none is named."""

    assays: tuple[AssayEntry, ...]
    default: str


class AssayVersionView(msgspec.Struct, frozen=True, kw_only=True):
    """A version of an assay; `when` is ISO 8601 in UTC."""

    version: int
    who: str
    when: str
    taught_frames: int


class AssayVersions(msgspec.Struct, frozen=True, kw_only=True):
    """The versions of an assay, newest first."""

    name: str
    versions: tuple[AssayVersionView, ...]


DOCUMENTED: tuple[type[msgspec.Struct], ...] = (
    Error, Accepted, CorrectionsView, RegionList, CountList, ChangeList, Neighbours, CountSummary, CountState,
    CountResult, SampleList, Assay, AssayList, AssayVersions, RecountView, Lesson, StatusView, CameraStatus,
    Health, InstrumentList, Hello, Message, Receipt, ModelList, Look,
)  # fmt: skip
