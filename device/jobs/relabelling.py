"""Labels a stored count with another threshold or size, without running the network again."""

import dataclasses
import threading
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager

import msgspec
from msgspec.structs import asdict, replace

from device.counting.card import ModelCard
from device.counting.confidence.promise import hold_both, limit_promise
from device.counting.pipeline import relabel
from device.counting.readings import SCALE_FLAG, SETTLING_FLAGS
from device.counting.records import (
    Counted,
    CountResult,
    CountSettings,
    Frame,
    ProbabilityMap,
    settings_of,
)
from device.counting.reread import reading_differences
from device.counting.scale import working_shape
from device.counting.settings import resolve
from device.errors import ConflictError, DamagedError, InputError, NotFoundError
from device.jobs import Segmenters
from device.jobs.products import decode_probability, encode_products
from device.machine import clock
from device.machine.clock import Stopwatch
from device.models.auto import counted_by
from device.models.estimate import labelling_mb, reading_mb
from device.sandbox import open_image
from device.sandbox.room import PATIENCE_S, memory_mb
from device.store import CountRow, Store
from device.store.records import Relabel

_HELD_BYTES = 30_000_000
"""Decoded counts kept for the sliders: some full frames of about 10 MB with their maps; larger ones are read again."""


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """Settings to label with; None keeps the stored value. Another cell diameter needs the network."""

    threshold: float | None = None
    min_area_px: float | None = None
    exclude_border: bool | None = None


KEEP = Change()


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Held:
    """A decoded count: its row, result and image, the network's map with the model's card, what labelling it takes."""

    row: CountRow
    result: CountResult
    frame: Frame
    probability: ProbabilityMap
    card: ModelCard
    labelling_mb: float

    @property
    def kept_bytes(self) -> int:
        """What stays in memory between two looks at it."""
        return self.frame.image.nbytes + self.probability.nbytes


class Relabeller:
    """Labels stored probability maps again, for previews and to save."""

    def __init__(self, store: Store, segmenters: Segmenters) -> None:
        self._store = store
        self._segmenters = segmenters
        self._held: OrderedDict[tuple[str, int], Held] = OrderedDict()
        self._lock = threading.Lock()

    def preview(self, count_id: str, change: Change = KEEP) -> Counted:
        """The count with other settings; saves nothing.

        Raises:
            NotFoundError, ConflictError: no such count, not done, counted by another model, or from an image that
                is read differently now.
            InputError: a value outside its range.
        """
        with self._lock, self._hold(count_id) as held:
            return _relabel(held, change)

    def store(self, count_id: str, change: Change = KEEP) -> CountRow:
        """Save it as the automatic result: a new revision, written completely before the row points to it.

        Raises:
            ConflictError: as `preview`, or the count has corrections by hand.
        """
        with self._lock, self._hold(count_id) as held:
            if any(known.undone_s is None for known in self._store.corrections.of(count_id)):
                raise ConflictError(
                    f"The count of {held.row.image} has corrections by hand, which belong to the present "
                    "cells; undo them before you save another threshold or size."
                )
            counted = _relabel(held, change)
            result, products = encode_products(held.frame, counted, Stopwatch())
            revision = self._store.queue.next_revision(held.row)
            self._store.folders.keep_products(count_id, revision, products)
            # Where this fails the products stay for the sweep: the commit may have been made nevertheless.
            self._store.queue.finish_relabelling(held.row, revision, result, _record_of(result))
            self._store.folders.drop_revisions(count_id, below=revision)
        return self._store.counts.get(count_id)

    @contextmanager
    def look(self, count_id: str) -> Iterator[Held]:
        """A decoded count, for those who label its map in their own way.

        Raises:
            NotFoundError, ConflictError, DamagedError: as `preview`.
        """
        with self._lock, self._hold(count_id) as held:
            yield held

    @contextmanager
    def _hold(self, count_id: str) -> Iterator[Held]:
        """A decoded count, with the memory that labelling it anew takes."""
        row = self._store.counts.get(count_id)
        key = (row.id, row.revision)
        held = self._held[key] if key in self._held else self._load(row)
        self._held[key] = held
        self._held.move_to_end(key)
        while sum(one.kept_bytes for one in self._held.values()) > _HELD_BYTES:
            self._held.popitem(last=False)
        with memory_mb.take(held.labelling_mb, PATIENCE_S):
            yield held

    def _load(self, row: CountRow) -> Held:
        result = self._store.result(row.id)
        path = self._store.product(row.id, "probability.png")
        card = self._segmenters.card(counted_by(row.model, result))
        if card.sha256 != result.model.sha256:
            raise ConflictError(
                f"{row.image} was counted with the model {result.model.name} {result.model.version}, "
                "which is no longer installed; count the image again to change its threshold."
            )
        frame, needed_mb = self._read(row)
        if frame.sha256 != row.image_sha256:
            raise DamagedError(
                f"The stored image {row.image} is not the one that was counted; restore a backup."
            )
        if changes := reading_differences(result, frame):
            raise ConflictError(
                f"{row.image} is read differently now than when it was counted ({'; '.join(changes)}); count the "
                "image again to change its threshold."
            )
        try:
            probability = decode_probability(path.read_bytes(), str(path))
        except FileNotFoundError:
            raise NotFoundError("This count was changed or deleted meanwhile.") from None
        scale = resolve(CountSettings(cell_diameter_px=result.cell_diameter_px), card).scale
        if probability.shape != working_shape(frame.height, frame.width, scale):
            raise DamagedError(f"{path} is not of this image; restore a backup or count it again.")
        return Held(row, result, frame, probability, card, needed_mb)

    def _read(self, row: CountRow) -> tuple[Frame, float]:
        """The frame, and the memory that labelling it takes."""
        path = self._store.counts.original_path(row)
        try:
            with open_image(path, row.image, row.settings.reading, request=True) as image:
                header = image.header()
                with image.reserve(reading_mb(header)):
                    return image.frame(), labelling_mb(header)
        except InputError as error:
            raise ConflictError(f"The stored image {row.image} cannot be used: {error}") from None


def _relabel(held: Held, change: Change) -> Counted:
    wanted = {name: value for name, value in asdict(change).items() if value is not None}
    settings = replace(settings_of(held.result), **wanted)
    counted = relabel(held.frame, held.probability, held.card, settings)
    return dataclasses.replace(counted, result=keep_known(counted.result, held.result))


def keep_known(result: CountResult, before: CountResult) -> CountResult:
    """The result with what only the network's run could tell: model, diameter, and doubts about the diameter.

    Args:
        result: of the map, labelled again.
        before: of the count that made the map.
    """
    doubts = tuple(flag for flag in before.flags if flag.code in SETTLING_FLAGS)
    interval = result.interval
    if SCALE_FLAG in {flag.code for flag in doubts}:
        interval = hold_both(interval, before.interval)
    flags = (*result.flags, *doubts)
    return msgspec.structs.replace(
        result,
        model_reason=before.model_reason,
        cell_diameter_from=before.cell_diameter_from,
        cell_diameter_range_px=before.cell_diameter_range_px,
        interval=limit_promise(interval, flags),
        flags=flags,
    )


def _record_of(result: CountResult) -> Relabel:
    return Relabel(
        threshold=result.threshold,
        min_area_px=result.min_area_px,
        exclude_border=result.exclude_border,
        when_s=clock.now_s(),
    )
