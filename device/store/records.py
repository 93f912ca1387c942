"""What the store keeps about one count, and how to filter counts."""

from typing import Any, Literal

import msgspec

from device.counting.records import CountSettings, Flag
from device.store.region import Region

Status = Literal["queued", "running", "done", "failed", "cancelled"]
Origin = Literal["upload", "capture", "watch", "batch"]
Action = Literal["add", "remove", "confirm"]
Order = Literal["newest", "oldest", "name", "count", "count_down", "doubtful"]

WAITING: tuple[Status, ...] = ("queued", "running")


class Needs(msgspec.Struct, frozen=True, kw_only=True):
    """Estimated memory and time of an image, made when it was accepted.

    Attributes:
        memory_mb: largest resident memory of the process that counts, 1e6 bytes.
        seconds: from file to results if no other image waits; None if the speed of this machine is unknown.
    """

    memory_mb: float
    seconds: float | None


class NewCount(msgspec.Struct, frozen=True, kw_only=True):
    """An image from a person, a camera or a folder, to be counted.

    Attributes:
        data: the bytes of the image file, unchanged.
        image: file name or camera name, for people; never a name on disk.
        origin: source of the image; captures and uploads are counted before watched and batch files.
        model: name or path of the model.
        settings: requested for this count.
        sample, notes: free text.
        once_key: accepting the same key again returns the first row (a watched file's path, size
            and time; a client's Idempotency-Key), so that a crash between accepting and answering
            never counts an image twice.
        capture: real settings of the camera (exposure and so on), None for files.
        needs: estimated memory and time, None if not estimated.
        version_of: id of the first count of this image, where it is counted again.
        owner: who handed it in or counted it again, a person or a token; empty for camera and watched folders.
    """

    data: bytes
    image: str
    origin: Origin
    model: str
    settings: CountSettings = CountSettings()
    sample: str = ""
    notes: str = ""
    once_key: str | None = None
    capture: dict[str, Any] | None = None
    needs: Needs | None = None
    version_of: str | None = None
    owner: str = ""


class Edit(msgspec.Struct, frozen=True, kw_only=True):
    """What a person changes about a count; None stays as it is.

    Attributes:
        sample, notes, keep: the new values.
        reviewed_by: who looked at the result; an empty name takes the mark away.
    """

    sample: str | None = None
    notes: str | None = None
    keep: bool | None = None
    reviewed_by: str | None = None


class Relabel(msgspec.Struct, frozen=True, kw_only=True):
    """A stored change of the automatic result without running the network again."""

    threshold: float
    min_area_px: float
    exclude_border: bool
    when_s: float


class CountRow(msgspec.Struct, frozen=True, kw_only=True):
    """One count as the database knows it; the cells are in the result folder.

    Attributes:
        sequence: rises with every accepted image and does not depend on the clock.
        settings: as requested; the values really used are in the CountResult.
        created_s: seconds since 1970 UTC by the clock at that time.
        clock_correction_s: the clock was later found to be off by this many seconds; add it to
            created_s.
        attempts: how often a worker began it, except attempts that a power cut or the disk ended.
        attempt_boot_id: run of the machine in which the last attempt began.
        progress: 0 to 1. remaining_s: estimate while running.
        error: one sentence when failed.
        revision: number of the folder below the result folder with the present products; 0 before.
        count, corrected_count, interval_low, interval_high, width, height, threshold, model_sha256:
            of the CountResult, None until done.
        conditions: temperature and throttling when it was counted.
        needs: memory and time estimated when it was accepted.
        version_of: id of the first count of this image, where it was counted again.
        doubtful: number of doubtful objects, None until done (or counted before this was noted).
        reviewed_by, reviewed_s: who looked at the result and when, None before that.
        version: rises with every edit of sample name, notes and keep mark.
        instrument: name of the instrument that made it and sent it here; None for this one's own.
        regions: that a person drew on the image.
        owner: see NewCount.
    """

    sequence: int
    id: str
    status: Status
    origin: Origin
    once_key: str | None
    image: str
    image_sha256: str
    image_bytes: int
    suffix: str
    model: str
    settings: CountSettings
    capture: dict[str, Any] | None
    sample: str
    notes: str
    keep: bool
    created_s: float
    boot_id: str
    boot_s: float
    clock_correction_s: float | None
    started_s: float | None
    finished_s: float | None
    attempts: int
    attempt_boot_id: str | None
    progress: float
    remaining_s: float | None
    cancel_asked: bool
    error: str | None
    revision: int
    count: int | None
    corrected_count: int | None
    interval_low: int | None
    interval_high: int | None
    flags: tuple[Flag, ...]
    width: int | None
    height: int | None
    threshold: float | None
    model_sha256: str | None
    conditions: dict[str, Any] | None
    relabels: tuple[Relabel, ...]
    needs: Needs | None
    version_of: str | None
    doubtful: int | None
    reviewed_by: str | None
    reviewed_s: float | None
    version: int
    instrument: str | None = None
    regions: tuple[Region, ...] = ()
    owner: str = ""


class Correction(msgspec.Struct, frozen=True, kw_only=True):
    """A cell added or removed by hand, or a doubtful object confirmed; undone ones stay in the log.

    Attributes:
        x, y: where, in pixels of the original image.
        cell_id: the removed cell, or the id that the added one got.
        undone_by, undone_s: who undid it and when, None while it is in force.
    """

    id: int
    count_id: str
    action: Action
    x: float
    y: float
    cell_id: int
    who: str
    created_s: float
    undone_by: str | None
    undone_s: float | None


class Mark(msgspec.Struct, frozen=True, kw_only=True):
    """A correction to be written; the fields are those of Correction."""

    action: Action
    x: float
    y: float
    cell_id: int
    who: str


class Carried(msgspec.Struct, frozen=True, kw_only=True):
    """What people did to a version that applies to the next one too."""

    marks: tuple[Mark, ...] = ()
    regions: tuple[Region, ...] = ()


NOTHING_CARRIED = Carried()


class Filter(msgspec.Struct, frozen=True, kw_only=True):
    """Which counts to list; None means any.

    Attributes:
        sample: exact name.
        since_s, until_s: created in [since_s, until_s), seconds since 1970.
        status, kept, origin: as stored.
        order: of the list; "name" is that of sample and file, "count_down" and "doubtful" begin with the most.
        before: only what comes after the count of this sequence in that order (paging).
        newest: without the counts that were counted again since.
        ids: only these.
        search: part of the sample's or the file's name, in capitals or not.
        instrument: name of the instrument that made it; an empty one means this one.
        owner: who handed it in.
        reviewed, flagged, doubtful, corrected: done counts that are so, or (False) are not. Of counts made before
            doubtful objects were noted nobody knows, so they are listed as doubtful.
    """

    sample: str | None = None
    since_s: float | None = None
    until_s: float | None = None
    status: Status | None = None
    kept: bool | None = None
    origin: Origin | None = None
    before: int | None = None
    newest: bool | None = None
    ids: tuple[str, ...] | None = None
    search: str | None = None
    instrument: str | None = None
    owner: str | None = None
    reviewed: bool | None = None
    flagged: bool | None = None
    doubtful: bool | None = None
    corrected: bool | None = None
    order: Order = "newest"


class UserInfo(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody who may log in; never the password."""

    name: str
    administrator: bool
    created_s: float


class TokenInfo(msgspec.Struct, frozen=True, kw_only=True):
    """What may be shown of an API token; never the token itself."""

    name: str
    created_s: float
    last_used_s: float | None
