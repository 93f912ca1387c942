"""Stored probability maps."""

import io

import numpy as np
from PIL import Image

from device.counting.records import ProbabilityMap
from device.errors import DamagedError


def decode_probability(data: bytes, name: str) -> ProbabilityMap:
    """The stored probability map, (h, w) uint8 codes.

    Raises:
        DamagedError: the file is damaged.
    """
    try:
        with Image.open(io.BytesIO(data), formats=["PNG"]) as picture:
            codes: ProbabilityMap = np.asarray(picture.convert("L"))
    except Exception as error:  # noqa: BLE001 - Pillow raises any exception for a damaged file
        raise DamagedError(
            f"{name} is damaged ({error}); restore a backup or count the image again."
        ) from None
    return codes
