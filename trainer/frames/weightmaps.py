"""Weight maps that make the network care about borders and crowds (paper, section 4.2).

Per object exp(-d^2 / (2 sigma^2)), with d the distance to the object's border, inside and outside
alike, summed over the objects; a pixel weighs its class weight times (1 + map).
"""

import numpy as np
import numpy.typing as npt
from scipy import ndimage

REACH_SIGMAS = 4.0
"""Beyond this many sigmas an object adds less than 0.0004 and is left out."""


def object_border(mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Pixels of the object that have a 4-neighbour outside it; the frame's edge is no border."""
    return mask & ~ndimage.binary_erosion(mask, border_value=1)


def crowding_map(labels: npt.NDArray[np.int32], sigma_px: float) -> npt.NDArray[np.float32]:
    """The sum over objects, each computed only in the window that it reaches.

    Args:
        labels: (height, width) integer label image, 0 background.
        sigma_px: width of the Gaussian in pixels of this image, above 0.

    Returns:
        (height, width) float32, 0 and up.
    """
    total = np.zeros(labels.shape, np.float32)
    reach = int(np.ceil(REACH_SIGMAS * sigma_px))
    for value, box in enumerate(ndimage.find_objects(labels), start=1):
        if box is None:
            continue
        window = tuple(
            slice(max(0, side.start - reach), min(size, side.stop + reach))
            for side, size in zip(box, labels.shape, strict=True)
        )
        border = object_border(labels[window] == value)
        if not border.any():
            continue
        distance = ndimage.distance_transform_edt(~border).astype(np.float32)
        total[window] += np.exp(-(distance**2) / (2 * sigma_px**2))
    return total


def pixel_weights(
    target: npt.NDArray[np.floating],
    crowding: npt.NDArray[np.float32],
    cell_weight: float,
    background_weight: float,
) -> npt.NDArray[np.float32]:
    """Class weight times (1 + map), (height, width) float32; `target` is 1 in cells, 0 outside."""
    by_class = background_weight + (cell_weight - background_weight) * target
    return (by_class * (1 + crowding)).astype(np.float32)
