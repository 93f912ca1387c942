"""Separating the cells of a clump: watershed on the smoothed distance to the border (paper, section 4.3)."""

import math
from collections.abc import Iterator, Sequence

import numpy as np
from scipy import ndimage

from device.counting.labelling.atlas import Atlas, pack
from device.counting.labelling.distance import distance_to_border
from device.counting.labelling.pixels import coordinates
from device.counting.records import LabelImage

GAUSSIAN_REACH = 3.0
"""Where the smoothing kernel ends, in sigma."""
OUTSIDE, OPEN, SETTLED = 0, 1, 2
"""What a pixel of an object's box is. A part that begins at a settled pixel is nothing that anybody asks for."""

_SHEET_PX = 100_000
"""So many pixels of boxes are looked at together: their numbers stay in the processor's cache."""


def split_clumps(
    pieces: Sequence[np.ndarray], seed_distance_px: int, smoothing_px: float
) -> dict[int, LabelImage]:
    """Split the objects that hold several distance peaks.

    Most objects hold one: they are whole as they are, and only the others are flooded.

    Args:
        pieces: one object each, (h, w) uint8 of OUTSIDE, OPEN and SETTLED.
        seed_distance_px: least distance between two seeds.
        smoothing_px: sigma of the Gaussian on the distance map, 0 for none.

    Returns:
        Parts 1.. (h, w) int32 of those objects, by their index in `pieces`; every pixel has one. Objects whose seeds
        are all settled are left whole.
    """
    smooth: dict[int, np.ndarray] = {}
    seeds: dict[int, np.ndarray] = {}
    for group in _groups(pieces):
        for index, values, maxima in _with_several_maxima(group, pieces, smoothing_px):
            found = find_peaks(values, seed_distance_px, maxima)
            if len(found) > 1 and (pieces[index][found[:, 0], found[:, 1]] == OPEN).any():
                smooth[index], seeds[index] = values, found
    if not seeds:
        return {}
    several = sorted(seeds)
    tight = pack([smooth[index] for index in several], gap=1)
    objects = pack([pieces[index] != OUTSIDE for index in several], gap=1)
    corners = ((place[0].start, place[1].start) for place in tight.places)
    moved = [seeds[index] + corner for index, corner in zip(several, corners, strict=True)]
    parts = _flood(tight.sheet, np.concatenate(moved), objects)
    return {index: parts[place] for index, place in zip(several, objects.places, strict=True)}


def _groups(pieces: Sequence[np.ndarray]) -> Iterator[list[int]]:
    """Indices of pieces of about equal height, as many as are looked at together."""
    group: list[int] = []
    room = _SHEET_PX
    for index in sorted(range(len(pieces)), key=lambda i: pieces[i].shape[0]):
        if group and pieces[index].size > room:
            yield group
            group, room = [], _SHEET_PX
        group.append(index)
        room -= pieces[index].size
    yield group


def _with_several_maxima(
    group: list[int], pieces: Sequence[np.ndarray], smoothing_px: float
) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    """The objects of a group that may hold two seeds, one of them open: those with several local maxima.

    Returns:
        Index, smoothed distances (h, w) float64 and local maxima (n, 2) of each.
    """
    reach = math.ceil(GAUSSIAN_REACH * max(0.0, smoothing_px))
    atlas = pack([pieces[index] for index in group], gap=reach + 1)
    smooth = _smooth_distances(atlas.sheet != OUTSIDE, smoothing_px)
    maxima = np.column_stack(coordinates(_local_maxima(smooth), smooth.shape[1]))
    owners = _owners(atlas)[maxima[:, 0], maxima[:, 1]]
    is_open = atlas.sheet[maxima[:, 0], maxima[:, 1]] == OPEN
    count = len(group) + 1
    held, held_open = (
        np.bincount(owners, minlength=count),
        np.bincount(owners[is_open], minlength=count),
    )
    for number in np.flatnonzero((held > 1) & (held_open > 0)).tolist():
        down, right = atlas.places[number - 1]
        own = maxima[owners == number] - (down.start, right.start)
        yield group[number - 1], smooth[down, right].copy(), own


def _owners(atlas: Atlas) -> np.ndarray:
    """(h, w) int32: 1.. in the box of each piece of a sheet."""
    owners = np.zeros(atlas.sheet.shape, dtype=np.int32)
    for number, place in enumerate(atlas.places, start=1):
        owners[place] = number
    return owners


def _smooth_distances(mask: np.ndarray, smoothing_px: float) -> np.ndarray:
    """Distance of each pixel to the border of its object, smoothed, 0 outside: (h, w) float64."""
    distance = distance_to_border(mask)
    if smoothing_px <= 0:
        return distance
    smooth: np.ndarray = ndimage.gaussian_filter(distance, smoothing_px, truncate=GAUSSIAN_REACH)
    smooth *= mask
    return smooth


def _local_maxima(values: np.ndarray) -> np.ndarray:
    """Flat indices of the pixels above 0 that none of their eight neighbours exceeds; the sheet's edge is 0."""
    line, width = values.ravel(), values.shape[1]
    across = np.maximum(line[:-2], line[2:])
    np.maximum(across, line[1:-1], out=across)
    around = np.maximum(across[: -2 * width], across[2 * width :])
    np.maximum(around, across[width:-width], out=around)
    own = line[width + 1 : -width - 1]
    maxima: np.ndarray = width + 1 + np.flatnonzero((own >= around) & (own > 0))
    return maxima


def find_peaks(values: np.ndarray, distance_px: int, candidates: np.ndarray) -> np.ndarray:
    """Local maxima above 0: (n, 2) rows and columns, the highest first.

    Within `distance_px`, along either axis, of a maximum nothing is higher; of equal ones that are closer than
    that the first stays. What skimage.feature.peak_local_max finds, looking around the candidates only.

    Args:
        values: (h, w) of one object.
        distance_px: least distance of two maxima.
        candidates: (m, 2) in reading order; all local maxima are among them.
    """
    levels = values[candidates[:, 0], candidates[:, 1]]
    peaks: list[tuple[int, int]] = []
    for index in np.argsort(-levels, kind="stable").tolist():
        row, column = candidates[index].tolist()
        window = values[
            max(0, row - distance_px) : row + distance_px + 1,
            max(0, column - distance_px) : column + distance_px + 1,
        ]
        if levels[index] <= 0 or window.max() > levels[index]:
            continue
        if all(max(abs(row - y), abs(column - x)) >= distance_px for y, x in peaks):
            peaks.append((row, column))
    return np.array(peaks, dtype=np.intp).reshape(-1, 2)


def _flood(distance: np.ndarray, seeds: np.ndarray, objects: Atlas) -> LabelImage:
    """Watershed inside the objects, parts 1..n.

    A pixel that hangs on by its corner only is not reached along the sides and joins afterwards.
    """
    from skimage.segmentation import watershed

    parts = np.zeros(objects.sheet.shape, dtype=np.int32)
    parts[tuple(seeds.T)] = np.arange(1, len(seeds) + 1)
    parts = watershed(-distance, parts, mask=objects.sheet)
    for place in objects.places:
        reached, own = parts[place], objects.sheet[place]
        if np.count_nonzero(reached) < np.count_nonzero(own):
            parts[place] = watershed(-distance[place], reached, mask=own, connectivity=2)
    return np.asarray(parts, dtype=np.int32)
