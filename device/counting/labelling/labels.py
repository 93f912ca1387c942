"""From a probability map to separate cells (paper, section 4.3).

Threshold, fill holes, remove small objects, then a watershed on the distance to the border separates clumps. Every
length is relative to the cell diameter. Frame-wide steps are single passes over the map; only objects large enough to
hold two cells are looked at one by one.
"""

from collections.abc import Callable

import msgspec
import numpy as np
from scipy import ndimage

from device.counting.card import Postprocessing
from device.counting.labelling.atlas import box_shape
from device.counting.labelling.clumps import split_clumps
from device.counting.labelling.occupied import Occupied, find_occupied
from device.counting.records import PROBABILITY_STEPS, LabelImage, ProbabilityMap, disc_area

_EIGHT_CONNECTED = np.ones((3, 3), dtype=bool)


def threshold_code(threshold: float) -> int:
    """The largest code that is still background: a pixel is foreground where its code is above this."""
    return int(threshold * PROBABILITY_STEPS)


def label_cells(
    probability: ProbabilityMap,
    threshold: float,
    cell_diameter_px: float,
    min_area_px: float,
    settings: Postprocessing,
    settled: LabelImage | None = None,
) -> LabelImage:
    """Separate cells in a probability map.

    Args:
        probability: (h, w) uint8 codes.
        threshold: cut-off, 0 to 1, exclusive.
        cell_diameter_px: typical diameter at the map's scale.
        min_area_px: objects smaller than this many pixels of the map are dropped.
        settings: the card's post-processing.
        settled: (h, w) int32, for who asks only for objects that hold no pixel of these: a clump may stay whole
            where all its parts would hold one.

    Returns:
        (h, w) int32; 0 background, 1..n cells in reading order of their first pixels.
    """
    occupied = _occupied(probability, threshold, cell_diameter_px, settings)
    if occupied is None:
        return np.zeros(probability.shape, dtype=np.int32)
    known = None if settled is None else occupied.gather(settled)
    labels = _label_map(
        occupied.atlas.sheet, threshold, cell_diameter_px, min_area_px, settings, known
    )
    return _spread_in_order(labels, occupied)


def label_all(
    probability: ProbabilityMap,
    threshold: float,
    cell_diameter_px: float,
    min_area_px: float,
    settings: Postprocessing,
) -> tuple[LabelImage, np.ndarray]:
    """`label_cells` without a least peak, and with one: what it drops is dropped clump by clump.

    Returns:
        (h, w) int32 objects whatever their peaks, and (n,) bool: which of them `label_cells` finds.
    """
    occupied = _occupied(probability, threshold, cell_diameter_px, settings)
    if occupied is None:
        return np.zeros(probability.shape, dtype=np.int32), np.zeros(0, dtype=bool)
    sheet = occupied.atlas.sheet
    every_peak = msgspec.structs.replace(settings, min_peak=0.0)
    clumps, areas = _find_clumps(sheet, threshold, cell_diameter_px, min_area_px, every_peak)
    labels = _split_clumps(clumps.copy(), areas, cell_diameter_px, min_area_px, settings)
    whole = _spread_in_order(labels, occupied)
    if settings.min_peak <= threshold:
        return whole, np.ones(int(labels.max(initial=0)), dtype=bool)
    return whole, _in_sure_clumps(labels, clumps, sheet >= settings.min_peak * PROBABILITY_STEPS)


def _occupied(
    probability: ProbabilityMap, threshold: float, cell_diameter_px: float, settings: Postprocessing
) -> Occupied | None:
    max_hole_px = settings.max_hole_ratio * disc_area(cell_diameter_px)
    return find_occupied(probability, threshold_code(threshold), cell_diameter_px, max_hole_px)


def _spread_in_order(labels: LabelImage, occupied: Occupied) -> LabelImage:
    """Number the objects of a sheet by their places in the map, in place, and put them there."""
    _number_by_position(labels, occupied.positions)
    return occupied.spread(labels)


def _in_sure_clumps(labels: LabelImage, clumps: LabelImage, sure: np.ndarray) -> np.ndarray:
    """(n,) bool: whether the clump that an object belongs to holds a sure pixel; all are (h, w)."""
    reached = np.zeros(int(clumps.max(initial=0)) + 1, dtype=bool)
    reached[clumps[sure]] = True
    inside = np.flatnonzero(labels > 0)
    owners = labels.ravel()[inside]
    table = np.zeros(int(owners.max(initial=0)) + 1, dtype=bool)
    table[owners] = reached[clumps.ravel()[inside]]
    return table[1:]


def _label_map(
    probability: ProbabilityMap,
    threshold: float,
    cell_diameter_px: float,
    min_area_px: float,
    settings: Postprocessing,
    settled: np.ndarray | None = None,
) -> LabelImage:
    """`label_cells` in passes over the whole map; numbers in any order, `settled` is (h, w) uint8, 1 or 0."""
    clumps, areas = _find_clumps(probability, threshold, cell_diameter_px, min_area_px, settings)
    return _split_clumps(clumps, areas, cell_diameter_px, min_area_px, settings, settled)


def _find_clumps(
    probability: ProbabilityMap,
    threshold: float,
    cell_diameter_px: float,
    min_area_px: float,
    settings: Postprocessing,
) -> tuple[LabelImage, np.ndarray]:
    """What hangs together, large and sure enough: (h, w) int32, 1..n in any order, and the areas (n,) in pixels."""
    mask = probability > threshold_code(threshold)
    _fill_holes(mask, settings.max_hole_ratio * disc_area(cell_diameter_px))
    labels, count = ndimage.label(mask, structure=_EIGHT_CONNECTED, output=np.int32)
    inside = np.flatnonzero(mask)
    owners = labels.ravel()[inside]
    areas = np.bincount(owners, minlength=count + 1)[1:]
    keep = areas >= min_area_px
    if settings.min_peak > threshold:
        sure = probability.ravel()[inside] >= settings.min_peak * PROBABILITY_STEPS
        keep &= np.bincount(owners[sure], minlength=count + 1)[1:] > 0
    if not keep.all():
        labels.ravel()[inside] = kept_numbers(keep)[owners]
    return labels, areas[keep]


def _fill_holes(mask: np.ndarray, max_hole_px: float) -> None:
    """Fill background regions that touch neither the edge nor exceed the size, in place."""
    background, count = ndimage.label(~mask, output=np.int32)
    edges = (background[0], background[-1], background[:, 0], background[:, -1])
    for open_to_edge in np.unique(np.concatenate(edges)).tolist():
        background[background == open_to_edge] = 0
    enclosed = np.flatnonzero(background > 0)
    owners = background.ravel()[enclosed]
    small = np.bincount(owners, minlength=count + 1) <= max_hole_px
    mask.ravel()[enclosed[small[owners]]] = True


def kept_numbers(keep: np.ndarray) -> np.ndarray:
    """(n + 1,) int32 new number of each label 0..n: 0 where its entry in keep (n,) is False, the others 1..m."""
    table = np.zeros(len(keep) + 1, dtype=np.int32)
    table[1:][keep] = np.arange(1, int(keep.sum()) + 1)
    return table


def renumber(labels: LabelImage, keep: np.ndarray) -> LabelImage:
    """Drop the objects whose entry in keep (n,) is False and number the others 1..m."""
    return mapped(labels, kept_numbers(keep))


def mapped(labels: LabelImage, table: np.ndarray) -> LabelImage:
    """A new label image with every number replaced by its entry in table (n + 1,) int32, 0 by 0.

    Only the objects' pixels are touched: most of a frame is background.
    """
    replaced = np.zeros(labels.shape, dtype=np.int32)
    inside = np.flatnonzero(labels > 0)
    replaced.ravel()[inside] = table[labels.ravel()[inside]]
    return replaced


def _split_clumps(
    labels: LabelImage,
    areas: np.ndarray,
    cell_diameter_px: float,
    min_area_px: float,
    settings: Postprocessing,
    settled: np.ndarray | None = None,
) -> LabelImage:
    """Give each part of an object that holds several distance peaks a number of its own."""
    seed_distance = max(1, round(settings.peak_distance_ratio * cell_diameter_px))
    smoothing_px = settings.smoothing_ratio * cell_diameter_px
    boxes = ndimage.find_objects(labels)
    large = [
        (number, box)
        for number, (box, area) in enumerate(zip(boxes, areas.tolist(), strict=True), start=1)
        if area >= 2 * min_area_px and max(box_shape(box)) > seed_distance
    ]
    if not large:
        return labels
    pieces = [(labels[box] == number).view(np.uint8) for number, box in large]
    if settled is not None:
        for piece, (_, box) in zip(pieces, large, strict=True):
            piece *= 1 + settled[box]  # OPEN becomes SETTLED
    split = split_clumps(pieces, seed_distance, smoothing_px)
    for index, parts in split.items():
        number, box = large[index]
        np.add(parts, len(boxes), out=labels[box], where=labels[box] == number)
    return labels


def _number_by_position(labels: LabelImage, positions: Callable[[np.ndarray], np.ndarray]) -> None:
    """Number objects 1..n by the position of their first pixel, in place.

    Args:
        labels: any numbers above 0.
        positions: from flat indices (n,) of such pixels to where each of them comes in reading order.
    """
    flat = labels.ravel()
    inside = np.flatnonzero(flat > 0)
    owners = flat[inside]
    first = np.full(int(owners.max(initial=0)) + 1, -1, dtype=np.intp)
    first[owners[::-1]] = inside[::-1]  # of several writes the last one stays
    numbers = np.flatnonzero(first >= 0)
    table = np.zeros(len(first), dtype=np.int32)
    table[numbers[np.argsort(positions(first[numbers]))]] = np.arange(1, len(numbers) + 1)
    flat[inside] = table[owners]
