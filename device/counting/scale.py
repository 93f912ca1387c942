"""From input samples at the input's scale to uint8 RGB at the scale the network was trained at."""

import numpy as np
import scipy
from PIL import Image

from device.counting.labelling.regions import places_of
from device.counting.records import Frame, ImageArray, ProbabilityMap, as_three_channels

_SMALL_PX = 8_000_000
"""Up to this size Pillow may copy a whole picture: it holds RGB in four bytes a pixel, 32 MB then."""
_BAND_ROWS = 256
"""Rows that Pillow gets at a time from larger pictures: a few megabytes."""
_CACHED_ROWS = 64
"""Rows that the processor's cache holds: half a megabyte of a camera's frame."""
_STROKE_PX = 4
"""Half the width of the thickest stroke of lettering that is bridged."""
_MARK_PX = 36
"""Longest side of a dot or a cross that is bridged too; a bar or a box with a cell under it is longer."""


def to_8_bit(image: ImageArray, full_scale: int) -> np.ndarray:
    """Scale samples so that full scale becomes 255; never by what the image happens to hold.

    Args:
        image: any shape, uint8 or uint16.
        full_scale: sample value of full light; uint8 input with 255 is returned as it is.

    Returns:
        uint8, same shape; samples above full scale become 255.
    """
    if image.dtype == np.uint8 and full_scale == 255:
        return image
    steps = np.arange(np.iinfo(image.dtype).max + 1, dtype=np.float64)
    table = np.minimum(np.rint(steps * (255 / full_scale)), 255).astype(np.uint8)
    scaled: np.ndarray = table[image]
    return scaled


def brightest(image: ImageArray) -> np.ndarray:
    """(h, w, 3) to the (h, w) maximum over the channels; many times faster than a reduction over a short axis."""
    if not image.flags.c_contiguous:
        highest: np.ndarray = np.maximum(image[..., 0], image[..., 1])
        np.maximum(highest, image[..., 2], out=highest)
        return highest
    # Neighbours in memory are compared fastest, also where two of three comparisons are of no use.
    highest = np.empty(image.shape[:2], image.dtype)
    for top in range(0, len(image), _CACHED_ROWS):
        samples = image[top : top + _CACHED_ROWS].reshape(-1)
        of_three = np.maximum(samples[:-2], samples[1:-1])
        np.maximum(of_three, samples[2:], out=of_three)
        highest[top : top + _CACHED_ROWS].reshape(-1)[:] = of_three[::3]
    return highest


def without_ignored(image: np.ndarray, ignored: np.ndarray | None) -> np.ndarray:
    """The picture as if nothing had been drawn on it.

    Args:
        image: (H, W, 3) uint8.
        ignored: (H, W) bool or None.

    Returns:
        Itself where nothing is ignored; else a copy in which thin strokes and small marks continue what lies beside
        them, so that a cell under a letter or a dot stays one, and everything wider has the median of the picture.
    """
    if ignored is None or not ignored.any():
        return image
    filled = image.copy()
    filled[ignored] = np.median(image[~ignored], axis=0) if not ignored.all() else 0
    wide = _wide(ignored)
    strokes, _ = scipy.ndimage.label(ignored & ~wide)
    for box in scipy.ndimage.find_objects(strokes):
        around = tuple(slice(max(0, side.start - 2), side.stop + 2) for side in box)
        hidden = ignored[around]
        if hidden.all():
            continue
        nearest = scipy.ndimage.distance_transform_edt(
            hidden, return_distances=False, return_indices=True
        )
        piece = filled[around]
        thin = hidden & ~wide[around]
        piece[thin] = piece[tuple(nearest)][thin]
    return filled


def _wide(ignored: np.ndarray) -> np.ndarray:
    """Where what is ignored is neither a stroke nor a mark on a cell."""
    wide: np.ndarray = scipy.ndimage.binary_opening(ignored, np.ones((2 * _STROKE_PX + 1,) * 2))
    whole, _ = scipy.ndimage.label(ignored)
    for number, box in enumerate(scipy.ndimage.find_objects(whole), start=1):
        if max(side.stop - side.start for side in box) <= _MARK_PX:
            wide[box][whole[box] == number] = False
    return wide


def working_shape(height: int, width: int, scale: float) -> tuple[int, int]:
    """(height, width) of a frame at the working scale, at least 1x1."""
    return max(1, round(height * scale)), max(1, round(width * scale))


def to_working_scale(frame: Frame, scale: float) -> np.ndarray:
    """The network's view of a frame.

    Args:
        frame: the capture.
        scale: working pixels per original pixel (model's cell diameter / cell diameter in this frame).

    Returns:
        (h, w, 3) uint8; area-averaged where it shrinks, bilinear where it grows.
    """
    image = without_ignored(to_8_bit(frame.image, frame.full_scale), frame.ignored)
    height, width = working_shape(frame.height, frame.width, scale)
    if (height, width) == image.shape[:2]:
        return image
    if frame.channels == 1:
        return as_three_channels(_resize(np.ascontiguousarray(image[..., 0]), height, width))
    if frame.height * frame.width <= _SMALL_PX:
        return _resize(image, height, width)  # the same pixels, a third faster
    # One channel is a third of the four bytes a pixel that Pillow holds RGB in.
    channels = (np.ascontiguousarray(image[..., channel]) for channel in range(3))
    return np.stack([_resize(channel, height, width) for channel in channels], axis=2)


def average_blocks(image: np.ndarray, down: int, right: int) -> np.ndarray:
    """A new image of the means of blocks of `down` x `right` pixels; the last ones may be cut.

    Args:
        image: (H, W) or (H, W, 3) uint8. Pillow gets it band by band, as it holds RGB in four bytes a pixel.
        down, right: edges of a block, 1 or more.
    """
    height, width = -(-image.shape[0] // down), -(-image.shape[1] // right)
    means = np.empty((height, width, *image.shape[2:]), dtype=np.uint8)
    for start in range(0, height, _BAND_ROWS):
        band = np.ascontiguousarray(image[down * start : down * (start + _BAND_ROWS)])
        means[start : start + _BAND_ROWS] = Image.fromarray(band).reduce((right, down))
    return means


def _resize(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """Pillow's BILINEAR widens its kernel when shrinking, so it does not alias."""
    resized = Image.fromarray(image).resize((width, height), Image.Resampling.BILINEAR)
    return np.asarray(resized)


def probability_at_frame_scale(
    probability: ProbabilityMap, height: int, width: int
) -> ProbabilityMap:
    """The map at the original pixels: (height, width) uint8 codes, bilinear."""
    if probability.shape == (height, width):
        return probability
    return _resize(np.ascontiguousarray(probability), height, width)


def probability_around(
    boxes: np.ndarray, probability: ProbabilityMap, height: int, width: int
) -> ProbabilityMap:
    """The map at the original pixels in some boxes and one pixel of the map around them; elsewhere it may be 0.

    Fifty cells cover a twentieth of a frame: this takes a quarter of the time of the whole map, 1 instead of 5 ms.

    Args:
        boxes: (n, 4) integers, top, left, bottom and right at the map's scale; the last two lie just outside.
        probability: (h, w) uint8 codes.
        height, width: of the original image.
    """
    down, across = height // probability.shape[0], width // probability.shape[1]
    # Pillow knows the edges of a box in single precision: only whole numbers give the very codes of the whole map.
    is_whole = (down * probability.shape[0], across * probability.shape[1]) == (height, width)
    edges = np.clip(boxes + np.array((-1, -1, 1, 1)), 0, 2 * probability.shape)
    top, left, bottom, right = edges.T
    covered = int(((bottom - top) * (right - left)).sum())
    if down * across == 1 or not is_whole or covered > probability.size // 4:
        return probability_at_frame_scale(probability, height, width)
    picture = Image.fromarray(np.ascontiguousarray(probability))
    enlarged = np.zeros((height, width), dtype=np.uint8)
    for top, left, bottom, right in edges.tolist():
        size = across * (right - left), down * (bottom - top)
        piece = picture.resize(size, Image.Resampling.BILINEAR, box=(left, top, right, bottom))
        enlarged[down * top : down * bottom, across * left : across * right] = np.asarray(piece)
    return enlarged


def enlarge_again(
    at_frame: ProbabilityMap, probability: ProbabilityMap, changed: np.ndarray
) -> ProbabilityMap:
    """The map at the original pixels after a few of its pixels were changed, at the cost of these alone.

    Pillow enlarges each row, then each column: what sees no changed pixel stays as it is.

    Args:
        at_frame: (height, width) uint8 codes of the map as it was.
        probability: (h, w) uint8 codes as they are now.
        changed: (m,) flat indices of the changed ones.
    """
    (height, width), (small_height, small_width) = at_frame.shape, probability.shape
    if height < small_height or width < small_width:
        return probability_at_frame_scale(probability, height, width)
    rows, columns = places_of(changed, small_width)
    near_rows, near_columns = _beside(rows, small_height), _beside(columns, small_width)
    seeing_rows = np.flatnonzero(near_rows[nearest_indices(height, small_height)])
    seeing_columns = np.flatnonzero(near_columns[nearest_indices(width, small_width)])
    # Interpolation looks at the nearest pixel and its neighbours.
    needed = np.flatnonzero(_beside(np.flatnonzero(near_rows), small_height))
    tall = np.zeros((small_height, len(seeing_columns)), dtype=np.uint8)
    tall[needed] = _resize(probability[needed], len(needed), width)[:, seeing_columns]
    larger = _resize(tall, height, len(seeing_columns))
    enlarged = at_frame.copy()
    enlarged[np.ix_(seeing_rows, seeing_columns)] = larger[seeing_rows]
    return enlarged


def _beside(places: np.ndarray, length: int) -> np.ndarray:
    """(length,) bool: which of as many are some of these or their neighbours."""
    near = np.zeros(length + 2, dtype=bool)
    for step in range(3):
        near[places + step] = True
    return near[1:-1]


def nearest_indices(length: int, source_length: int) -> np.ndarray:
    """For each of `length` pixels the source pixel whose area holds its centre: (length,) intp."""
    centres = (np.arange(length) + 0.5) * (source_length / length)
    return np.minimum(centres.astype(np.intp), source_length - 1)
