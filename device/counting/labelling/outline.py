"""The objects' pixels in the original image, from those at the working scale."""

import numpy as np

from device.counting.filters import maximum_around
from device.counting.labelling.regions import Regions, group_pixels, places_of
from device.counting.records import ProbabilityMap
from device.counting.scale import enlarge_again, nearest_indices


def outline_in_frame(
    objects: Regions, probability: ProbabilityMap, at_frame: ProbabilityMap, code: int
) -> tuple[Regions, np.ndarray]:
    """Give every object its outline in original pixels.

    The border follows the enlarged probability map, so that it is smooth; which object a pixel belongs to follows
    the nearest label, so that separated cells stay separate.

    Args:
        objects: at the working scale (h, w).
        probability: (h, w) uint8 codes that the objects were found in.
        at_frame: (height, width) the same map at the original pixels; it is looked at around the objects only.
        code: the largest background code.

    Returns:
        Objects of (height, width), and (n,) bool: which of the given ones these are. An object that is smaller than
        an original pixel may have none.
    """
    if objects.shape == at_frame.shape:
        return objects, np.ones(len(objects), dtype=bool)
    holes = objects.pixels[probability.ravel()[objects.pixels] <= code]
    if len(holes) > 0:
        # What was a hole is not one in the enlarged map either.
        solid = probability.copy()
        solid.ravel()[holes] = 255
        at_frame = enlarge_again(at_frame, solid, holes)
    inside = np.flatnonzero(at_frame > code)
    rows, columns = places_of(inside, at_frame.shape[1])
    # Flat indices are looked up in a fraction of the time.
    places = objects.shape[1] * nearest_indices(at_frame.shape[0], objects.shape[0])[rows]
    places += nearest_indices(at_frame.shape[1], objects.shape[1])[columns]
    owners = _paint_wider(objects).ravel().take(places)
    owned = owners > 0
    outlined, numbers = group_pixels(inside[owned], owners[owned] - 1, at_frame.shape)
    return outlined, np.isin(np.arange(len(objects)), numbers)


def _paint_wider(objects: Regions) -> np.ndarray:
    """(h, w) labels one pixel wider: the smooth border lies up to half a pixel of the map outside an object."""
    labels = objects.paint()
    if len(objects) < 1 << 16:
        labels = labels.astype(np.uint16)  # half of the memory takes half of the time
    wider = maximum_around(labels)
    np.copyto(wider, labels, where=labels > 0)
    return wider


def faint_in_frame(
    objects: Regions, at_frame: ProbabilityMap, code: int, taken: np.ndarray
) -> tuple[Regions, np.ndarray]:
    """The pixels of a few objects in the original image, box by box: the cost grows with the objects.

    Args:
        objects: at the working scale.
        at_frame: (height, width) uint8 codes at the original pixels.
        code: the largest background code.
        taken: (height, width); pixels above 0 belong to others.

    Returns:
        Objects of (height, width), and (n,) bool: which of the given ones these are, those with pixels left.
    """
    height, width = at_frame.shape
    rows = nearest_indices(height, objects.shape[0])
    columns = nearest_indices(width, objects.shape[1])
    pixels = [np.zeros(0, dtype=np.intp)]
    for mask, top, left in objects.masks():
        first, last = np.searchsorted(rows, (top, top + mask.shape[0]))
        begin, end = np.searchsorted(columns, (left, left + mask.shape[1]))
        box = np.s_[first:last, begin:end]
        own = mask[rows[box[0]] - top][:, columns[box[1]] - left]
        own &= (at_frame[box] > code) & (taken[box] == 0)
        y, x = np.nonzero(own)
        pixels.append((y + first) * width + x + begin)
    areas = np.array([len(own) for own in pixels[1:]], dtype=np.intp)
    return Regions(np.concatenate(pixels), areas[areas > 0], at_frame.shape), areas > 0
