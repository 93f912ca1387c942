"""Adding a cell by hand: what lies at the place decides what that means."""

import math

from device.counting.records import CountResult
from device.errors import ConflictError
from device.export.stored import stored_labels
from device.store import CountRow, Store
from device.store.corrections import require_inside


def add_cell(
    store: Store, count_id: str, place: tuple[float, float], who: str, key: str | None = None
) -> CountRow:
    """Add a cell at a place that a person pointed to.

    On a doubtful object that was not counted, the object is accepted with its outline; on a cell that was removed, the
    removal is undone.

    Args:
        place: x, y in pixels of the original image.
        who: for the log.
        key: the sender's name for this correction; sent again, it is made once.

    Raises:
        ConflictError: a cell is counted there already, so it would count twice; or the count is not done.
        InputError: the place is outside the image.
    """
    if store.corrections.is_known(count_id, key):
        return store.counts.get(count_id)
    result, log = store.result(count_id), store.corrections
    require_inside(result, *place)
    held = log.in_force(count_id)
    here = _counted_at(store, count_id, result, place)
    if here:
        removed = [one.id for one in held if one.cell_id == here and one.action == "remove"]
        if removed:
            return log.take_back(count_id, removed[0], who)
        raise ConflictError(f"Cell {here} is counted here already. Click beside it to add another.")
    doubtful = _doubtful_at(result, place)
    added = [one for one in held if one.action == "add"]
    reach = result.cell_diameter_px / 2
    near = any(math.dist((one.x, one.y), place) < reach for one in added)
    if near or any(one.cell_id == doubtful for one in added):
        raise ConflictError(
            "A cell was added here already. Click further away, or remove that one first."
        )
    if doubtful:
        return log.accept(count_id, result, doubtful, who, key)
    return log.add(count_id, result, *place, who, key)


def _counted_at(
    store: Store, count_id: str, result: CountResult, place: tuple[float, float]
) -> int:
    """Id of the cell whose pixels hold the place; 0 for none."""
    column, row = min(round(place[0]), result.width - 1), min(round(place[1]), result.height - 1)
    boxes = (cell.bbox for cell in result.cells)
    if not any(x0 <= column < x1 and y0 <= row < y1 for x0, y0, x1, y1 in boxes):
        return 0  # spares opening the label image
    return int(stored_labels(store, count_id)[row, column])


def _doubtful_at(result: CountResult, place: tuple[float, float]) -> int:
    """Id of the doubtful object that was not counted and whose box holds the place; 0 for none."""
    x, y = place
    holding = [
        cell
        for cell in result.doubtful
        if cell.id > result.count
        and cell.bbox[0] - 0.5 <= x < cell.bbox[2] - 0.5
        and cell.bbox[1] - 0.5 <= y < cell.bbox[3] - 0.5
    ]
    nearest = sorted(holding, key=lambda cell: math.dist((cell.x, cell.y), place))
    return nearest[0].id if nearest else 0
