"""The label image as OME-TIFF, with the pixel size if it is known."""

import io
from collections.abc import Iterator
from typing import Any

import imagecodecs
import numpy as np
import tifffile

from device.counting.records import LabelImage

ROWS_PER_STRIP = 256
UM_PER_CM = 10_000.0


def labels_ome_tiff(labels: LabelImage, pixel_size_um: float | None) -> bytes:
    """Encode a label image as OME-TIFF, deflate-compressed in strips.

    Args:
        labels: (height, width) int32; 0 background, 1..n cells.
        pixel_size_um: edge of a pixel in micrometres, None where unknown.

    Returns:
        The file: one YX plane, uint16 up to 65535 cells and uint32 above.
    """
    highest = int(labels.max(initial=0))
    dtype = np.uint16 if highest <= np.iinfo(np.uint16).max else np.uint32
    metadata: dict[str, str | float] = {"axes": "YX", "Name": "labels"}
    if pixel_size_um is not None:
        metadata |= {
            "PhysicalSizeX": pixel_size_um,
            "PhysicalSizeXUnit": "µm",
            "PhysicalSizeY": pixel_size_um,
            "PhysicalSizeYUnit": "µm",
        }
    stream = io.BytesIO()
    tifffile.imwrite(
        stream,
        _strips(labels, dtype),
        shape=labels.shape,
        dtype=dtype,
        ome=True,
        photometric="minisblack",
        compression="zlib",
        rowsperstrip=ROWS_PER_STRIP,
        maxworkers=1,
        metadata=metadata,
        resolution=None if pixel_size_um is None else (UM_PER_CM / pixel_size_um,) * 2,
        resolutionunit=None if pixel_size_um is None else "CENTIMETER",
    )
    return stream.getvalue()


def _strips(labels: LabelImage, dtype: type[np.unsignedinteger[Any]]) -> Iterator[bytes]:
    """The rows of each strip, deflated: zlib-ng writes what zlib reads, in a tenth of the time."""
    for start in range(0, labels.shape[0], ROWS_PER_STRIP):
        rows = labels[start : start + ROWS_PER_STRIP].astype(dtype, copy=False)
        yield bytes(imagecodecs.zlibng_encode(rows.tobytes(), level=3))
