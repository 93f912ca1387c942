"""From stored counts with corrections to a lesson for their assay."""

from collections.abc import Sequence

import msgspec
import numpy as np

from device.assays.evidence import Known, match_objects
from device.assays.matching import Points, match
from device.assays.selection import list_looked_through
from device.assays.teaching import LEAST_CELLS, LEAST_FRAMES, Lesson, Pupil, see, teach
from device.counting.assay import Assay
from device.counting.card import ModelCard
from device.counting.confidence.probabilities import frame_interval
from device.counting.judge import judge
from device.counting.labelling.objects import find_objects
from device.counting.pipeline import measure_for_calibration, see_again
from device.counting.records import settings_of
from device.errors import ConflictError, InputError
from device.jobs import Segmenters
from device.jobs.relabelling import Held, Relabeller
from device.models.auto import counted_by
from device.store import CountRow, Store
from device.store.records import Correction

RADIUS = 0.75
"""A cell is found where an object's centre is nearer than this part of the cell diameter."""
_SAME_PLACE = 0.3
"""A cell added so near to a removed one, in cell diameters, is the same cell."""
_LEAST_AGREEMENT = 0.8
"""Two people who count one image agree about more of its cells than this."""


class Teacher:
    """Makes lessons; saves nothing."""

    def __init__(self, store: Store, segmenters: Segmenters, relabeller: Relabeller) -> None:
        self._store = store
        self._segmenters = segmenters
        self._relabeller = relabeller

    def lesson(self, name: str, ids: Sequence[str] = ()) -> Lesson:
        """What an assay would learn from corrected counts.

        Args:
            name: of the assay.
            ids: counts that a person has looked through, also where there was nothing to correct; none: every newest
                count of the assay that has corrections or is marked as reviewed.

        Raises:
            NotFoundError: there is no such assay or count.
            InputError, ConflictError: too few or contradictory corrections, or counts of another assay or model.
        """
        assay = self._store.assays.get(name)
        rows = list_looked_through(self._store, name, ids)
        if len(rows) < LEAST_FRAMES:
            raise InputError(
                f"Teaching needs at least {LEAST_FRAMES} corrected counts of the assay {name}; there are {len(rows)}. "
                "Correct more images, then teach again."
            )
        model = counted_by(assay.model, self._store.result(rows[0].id))
        assay = msgspec.structs.replace(assay, model=model)  # what is taught fits one model only
        card = self._segmenters.card(model)
        folds: dict[str, int] = {}
        truths: dict[str, tuple[CountRow, Points]] = {}
        pupils = []
        for row in rows:
            fold = folds.setdefault(row.image_sha256, len(folds))
            pupils.append(self._pupil(row, fold, (assay, card), truths))
        if len(folds) < LEAST_FRAMES:
            raise InputError(
                f"The {len(rows)} corrected counts are of only {len(folds)} images; correct at least {LEAST_FRAMES} "
                "different ones."
            )
        cells = sum(pupil.cells for pupil in pupils)
        if cells < LEAST_CELLS:
            raise InputError(
                f"The corrected images hold {cells} cells together; teaching needs at least {LEAST_CELLS}. Correct "
                "images with more cells."
            )
        return teach(pupils, card, assay)

    def _pupil(
        self,
        row: CountRow,
        fold: int,
        taught_with: tuple[Assay, ModelCard],
        truths: dict[str, tuple[CountRow, Points]],
    ) -> Pupil:
        assay, card = taught_with
        with self._relabeller.look(row.id) as held:
            if held.result.model.sha256 != card.sha256:
                raise ConflictError(
                    f"{row.image} was counted with the model {held.result.model.name}, the assay {assay.name} uses "
                    f"{card.name}: count it again with the assay, then teach."
                )
            targets = _truth(held, self._store.corrections.in_force(row.id))
            _require_agreement(row, held, targets, truths)
            known = _describe_known(held, fold, targets)
            return see(row.id, known, card, judge_before(known, card, assay))


def _truth(held: Held, log: Sequence[Correction]) -> Points:
    """(n, 2) centroids (y, x): the counted cells without the removed ones, and the added ones.

    Raises:
        InputError: corrections that contradict each other.
    """
    removed = {known.cell_id: known for known in log if known.action == "remove"}
    added = [known for known in log if known.action == "add"]
    near_px = _SAME_PLACE * held.result.cell_diameter_px
    for gone in removed.values():
        for back in added:
            if np.hypot(gone.x - back.x, gone.y - back.y) < near_px:
                raise InputError(
                    f"In {held.row.image} a cell was removed and one was added at the same place "
                    f"({back.x:.0f}, {back.y:.0f}): undo one of the two corrections, then teach again."
                )
    places = [(cell.y, cell.x) for cell in held.result.cells if cell.id not in removed]
    places += [(known.y, known.x) for known in added]
    return np.array(places, dtype=np.float64).reshape(-1, 2)


def _require_agreement(
    row: CountRow, held: Held, targets: Points, truths: dict[str, tuple[CountRow, Points]]
) -> None:
    """Two counts of one image must have been corrected alike."""
    other = truths.setdefault(row.image_sha256, (row, targets))
    if other[0].id == row.id or other[0].settings.reading != row.settings.reading:
        return
    pairs = len(match(targets, other[1], RADIUS * held.result.cell_diameter_px).pairs)
    if pairs < _LEAST_AGREEMENT * max(len(targets), len(other[1])):
        raise InputError(
            f"Two counts of the image {row.image} were corrected differently ({len(targets)} and {len(other[1])} "
            f"cells, {pairs} in common): delete or correct one of them, then teach again."
        )


def _describe_known(held: Held, fold: int, targets: Points) -> Known:
    settings = msgspec.structs.replace(settings_of(held.result), threshold=None, assay=None)
    return Known(
        name=held.row.image,
        fold=fold,
        frame=held.frame,
        probability=held.probability,
        settings=settings,
        targets=targets,
        radius_px=RADIUS * held.result.cell_diameter_px,
    )


def judge_before(known: Known, card: ModelCard, assay: Assay) -> tuple[int, int, int, int]:
    """(count, found cells, low, high) under the assay as it is now."""
    settings = msgspec.structs.replace(known.settings, assay=assay)
    seen = see_again(known.frame, known.probability, card, settings)
    objects = find_objects(seen)
    judged = judge(
        measure_for_calibration(seen, objects),
        objects.plausible,
        seen.card.confidence,
        seen.least_probability,
    )
    found = int((judged.counted & match_objects(known, objects)).sum())
    low, high = frame_interval(judged.probabilities, judged.count, seen.doubt, seen.card.confidence)
    return judged.count, found, low, high
