"""Counts a stored image again, with another assay or cell diameter, beside the old result and never over it."""

import logging
from collections.abc import Iterable, Sequence

import msgspec
import numpy as np

from device.counting.reading import merge
from device.counting.records import Cell, CountResult, CountSettings
from device.errors import FluocountError, InputError, NotFoundError, QueueFullError
from device.jobs.intake import CountOptions, Intake
from device.store import CountRow, Filter, Store
from device.store.records import WAITING, Carried, Correction, Mark

_log = logging.getLogger(__name__)
_REACH = 0.5
"""A correction is about a cell whose centre lies within this part of the cell diameter, or of the cell's own."""


class Again(msgspec.Struct, frozen=True, kw_only=True):
    """What the new count does otherwise; None keeps what the old one had.

    Attributes:
        assay: name of a stored assay, in its newest version.
        objective: name of one in the list of objectives.
        cell_diameter_px: how large a cell is, in original pixels.
    """

    assay: str | None = None
    objective: str | None = None
    cell_diameter_px: float | None = None


class Recounted(msgspec.Struct, frozen=True, kw_only=True):
    """The new counts in the queue, and a sentence for each image that could not be accepted."""

    accepted: tuple[CountRow, ...]
    problems: tuple[str, ...]


class Recounter:
    """Puts stored images on the queue again."""

    def __init__(self, store: Store, intake: Intake) -> None:
        self._store = store
        self._intake = intake

    def recount(self, rows: Sequence[CountRow], again: Again, owner: str = "") -> Recounted:
        """Count images again; each becomes a new count that knows which one it is a version of.

        Args:
            rows: of the images.
            again: what is otherwise.
            owner: who asks, see NewCount.

        Raises:
            InputError: nothing to count.
            QueueFullError: there is no room for all of them; none was accepted.
        """
        if not rows:
            raise InputError(
                "There is nothing to count again; choose finished counts, or a sample that has some."
            )
        state = self._store.queue.state()
        free = state.limit - state.queued - state.running
        if len(rows) > free:
            raise QueueFullError(
                f"{len(rows)} images are to be counted again, but only {max(0, free)} fit into the queue; choose "
                "fewer, or wait."
            )
        accepted, problems = [], []
        for row in rows:
            try:
                accepted.append(self._one(row, again, owner))
            except FluocountError as error:
                problems.append(f"{row.image}: {error}")
        return Recounted(accepted=tuple(accepted), problems=tuple(problems))

    def of_sample(self, sample: str) -> list[CountRow]:
        """The newest finished count of every image of a sample, oldest first."""
        found = self._store.counts.search(Filter(sample=sample, status="done", newest=True))
        return found[::-1]

    def _one(self, row: CountRow, again: Again, owner: str) -> CountRow:
        if row.status in WAITING:
            raise InputError("it is still being counted; wait until that is done.")
        path = self._store.counts.original_path(row)
        try:
            data = path.read_bytes()
        except OSError as error:
            raise NotFoundError(
                f"the stored image cannot be read ({error.strerror}); restore a backup."
            ) from None
        return self._intake.accept(
            data, row.image, row.origin, self._options(row, again, owner), row.capture
        )

    def _options(self, row: CountRow, again: Again, owner: str) -> CountOptions:
        """Another assay brings its own numbers; the picture and its objective stay where it names none."""
        held = row.settings.assay
        settings = msgspec.structs.replace(row.settings, assay=None)
        if again.assay is not None:
            assay = self._store.assays.get(again.assay)
            reading = merge(row.settings.reading, assay.reading)
            settings = CountSettings(reading=reading, objective=row.settings.objective)
        if again.cell_diameter_px is not None:
            settings = msgspec.structs.replace(settings, cell_diameter_px=again.cell_diameter_px)
        kept = None if held is None else held.name
        return CountOptions(
            sample=row.sample,
            notes=row.notes,
            model=row.model if again.assay is None else None,
            settings=settings,
            assay=again.assay or kept,
            objective=again.objective,
            version_of=row.version_of or row.id,
            owner=owner,
        )


def carry_over(store: Store, row: CountRow, result: CountResult) -> Carried:
    """The corrections of the version before, as they apply to the new cells, and its regions.

    A cell that was added by hand stays added unless the new count has found it; one that was removed is removed again
    if the new count has found it too. Nothing is carried to another picture of the file.
    """
    before = _version_before(store, row)
    if before is None:
        return Carried()
    try:
        earlier = store.result(before.id)
        log = [known for known in store.corrections.of(before.id) if known.undone_s is None]
    except FluocountError as error:
        _log.warning("corrections and regions of %s are not carried over: %s", before.id, error)
        return Carried()
    if picture_of(earlier) != picture_of(result):
        return Carried()
    return Carried(marks=carry_marks(log, result), regions=before.regions)


def carry_marks(log: Iterable[Correction], result: CountResult) -> tuple[Mark, ...]:
    """See `carry_over`; `log` are the corrections in force."""
    free = list(result.cells)
    marks = []
    following = 1 + max((cell.id for cell in (*result.cells, *result.doubtful)), default=0)
    for known in log:
        cell = _nearest(free, known.x, known.y, result.cell_diameter_px)
        if known.action == "remove" and cell is not None:
            marks.append(Mark(action="remove", x=cell.x, y=cell.y, cell_id=cell.id, who=known.who))
        elif known.action == "add" and cell is None:
            marks.append(Mark(action="add", x=known.x, y=known.y, cell_id=following, who=known.who))
            following += 1
        if cell is not None:
            free.remove(cell)
    return tuple(marks)


def _nearest(cells: Sequence[Cell], x: float, y: float, diameter_px: float) -> Cell | None:
    """The cell whose centre is nearest, if it is near enough to be meant."""
    if not cells:
        return None
    centres = np.array([(cell.x, cell.y) for cell in cells])
    distances = np.hypot(*(centres - (x, y)).T)
    nearest = int(distances.argmin())
    reach = _REACH * max(diameter_px, cells[nearest].equivalent_diameter_px)
    return cells[nearest] if distances[nearest] <= reach else None


def _version_before(store: Store, row: CountRow) -> CountRow | None:
    if row.version_of is None:
        return None
    family = store.counts.versions(row.version_of)
    done = [one for one in family if one.status == "done" and one.sequence < row.sequence]
    return done[-1] if done else None


def picture_of(result: CountResult) -> tuple[object, ...]:
    """Which picture of the file was counted: equal where places in one are places in the other."""
    taken, asked = result.taken, result.taken.asked
    return taken.channel, taken.plane, asked.scene, result.width, result.height
