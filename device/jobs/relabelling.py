"""Another threshold or size for a stored count, without running the network again."""

import threading
from collections import OrderedDict
from dataclasses import dataclass

from device.counting.card import ModelCard
from device.counting.pipeline import relabel
from device.counting.records import Counted, CountResult, CountSettings, Frame, ProbabilityMap
from device.errors import ConflictError, InputError
from device.imageio import read_frame
from device.jobs import Segmenters
from device.jobs.products import decode_probability, encode_products
from device.machine import clock
from device.machine.clock import Stopwatch
from device.store import CountRow, Store
from device.store.records import Relabel

_HELD = 2
"""Decoded counts kept for the sliders; a full frame and its map take about 10 MB."""


@dataclass(frozen=True, slots=True, eq=False)
class _Held:
    row: CountRow
    result: CountResult
    frame: Frame
    probability: ProbabilityMap
    card: ModelCard


class Relabeller:
    """Labels stored probability maps anew, for previews and for good."""

    def __init__(self, store: Store, segmenters: Segmenters) -> None:
        self._store = store
        self._segmenters = segmenters
        self._held: OrderedDict[tuple[str, int], _Held] = OrderedDict()
        self._lock = threading.Lock()

    def preview(
        self,
        count_id: str,
        *,
        threshold: float | None = None,
        min_area_px: float | None = None,
        exclude_border: bool | None = None,
    ) -> Counted:
        """What the count would be; None keeps the stored value.

        Raises:
            NotFoundError, ConflictError: no such count, not done, or counted by another model.
            InputError: a value outside its range.
        """
        with self._lock:
            held = self._get(count_id)
            return self._relabel(held, threshold, min_area_px, exclude_border)

    def store(
        self,
        count_id: str,
        *,
        threshold: float | None = None,
        min_area_px: float | None = None,
        exclude_border: bool | None = None,
    ) -> CountRow:
        """Make it the automatic result: a new revision, written whole before the row points to it.

        Raises:
            ConflictError: besides those of `preview`, when corrections by hand hold.
        """
        with self._lock:
            held = self._get(count_id)
            if any(known.undone_s is None for known in self._store.corrections.of(count_id)):
                raise ConflictError(
                    f"The count of {held.row.image} has corrections by hand, which belong to the present "
                    "cells; undo them before you save another threshold or size."
                )
            counted = self._relabel(held, threshold, min_area_px, exclude_border)
            result, products = encode_products(held.frame, counted, Stopwatch())
            revision = held.row.revision + 1
            self._store.folders.keep_products(count_id, revision, products)
            self._store.queue.relabelled(count_id, revision, result, _change(result))
            self._store.folders.drop_revisions(count_id, revision)
        return self._store.counts.get(count_id)

    def _relabel(
        self,
        held: _Held,
        threshold: float | None,
        min_area_px: float | None,
        exclude_border: bool | None,
    ) -> Counted:
        settings = CountSettings(
            threshold=held.result.threshold if threshold is None else threshold,
            cell_diameter_px=held.result.cell_diameter_px,
            min_area_px=held.result.min_area_px if min_area_px is None else min_area_px,
            exclude_border=held.result.exclude_border if exclude_border is None else exclude_border,
        )
        return relabel(held.frame, held.probability, held.card, settings)

    def _get(self, count_id: str) -> _Held:
        row = self._store.counts.get(count_id)
        key = (row.id, row.revision)
        if key not in self._held:
            self._held[key] = self._load(row)
        self._held.move_to_end(key)
        while len(self._held) > _HELD:
            self._held.popitem(last=False)
        return self._held[key]

    def _load(self, row: CountRow) -> _Held:
        result = self._store.result(row.id)
        path = self._store.product(row.id, "probability.png")
        card = self._segmenters.card(row.model)
        if card.sha256 != result.model.sha256:
            raise ConflictError(
                f"{row.image} was counted with the model {result.model.name} {result.model.version}, "
                "which is no longer installed; count the image again to change its threshold."
            )
        try:
            frame = read_frame(self._store.counts.original_path(row))
        except InputError as error:
            raise ConflictError(f"The stored image {row.image} cannot be used: {error}") from None
        frame = Frame(
            image=frame.image,
            source=row.image,
            sha256=frame.sha256,
            bits=frame.bits,
            channels=frame.channels,
            pixel_size_um=frame.pixel_size_um,
        )
        probability = decode_probability(path.read_bytes(), str(path))
        return _Held(row, result, frame, probability, card)


def _change(result: CountResult) -> Relabel:
    return Relabel(
        threshold=result.threshold,
        min_area_px=result.min_area_px,
        exclude_border=result.exclude_border,
        when_s=clock.now_s(),
    )
