"""Helpers for pictures: focus, saturation, JPEG for the page, TIFF for the store."""

import hashlib
import io
from collections.abc import Iterable

import msgspec
import numpy as np
import numpy.typing as npt
from PIL import Image

from device.camera.base import Capture, PreviewImage
from device.counting.records import Frame

_JPEG_QUALITY = 80
_PREVIEW_FULL_SCALE = 253
"""A saturated pixel of a preview is a little below 255, because of chroma subsampling and rounding."""


def focus_score(preview: PreviewImage) -> float:
    """Variance of the Laplacian of green over its mean; higher is sharper, 0 for a black picture.

    Neighbours are averaged two by two first, so that noise counts less than structure.
    """
    green = preview[..., 1].astype(np.float32)
    height, width = (size - size % 2 for size in green.shape)
    binned = green[:height, :width].reshape(height // 2, 2, width // 2, 2).mean(axis=(1, 3))
    inner = binned[1:-1, 1:-1]
    around = binned[:-2, 1:-1] + binned[2:, 1:-1] + binned[1:-1, :-2] + binned[1:-1, 2:]
    mean = float(binned.mean())
    return float((around - 4 * inner).var()) / mean if mean > 0 and inner.size else 0.0


def saturated_fraction(image: npt.NDArray[np.uint8], full_scale: int = 255) -> float:
    """Fraction of pixels (H, W, 3) in which at least one channel reaches full scale."""
    # Channel by channel: several times quicker than a maximum over the short last axis.
    red, green, blue = (image[..., channel] >= full_scale for channel in range(3))
    return float(np.mean(red | green | blue))


def preview_saturation(preview: PreviewImage) -> float:
    """Like `saturated_fraction`, for a preview."""
    return saturated_fraction(preview, _PREVIEW_FULL_SCALE)


def preview_jpeg(preview: PreviewImage) -> bytes:
    """Encode for the page; a few milliseconds."""
    data = io.BytesIO()
    Image.fromarray(preview).save(data, "JPEG", quality=_JPEG_QUALITY)
    return data.getvalue()


def mean_image(images: Iterable[npt.NDArray[np.uint8]], count: int) -> npt.NDArray[np.uint8]:
    """Mean of `count` pictures, rounded; keeps only their sum in memory."""
    pictures = iter(images)
    first = next(pictures)
    if count == 1:
        return first
    total = first.astype(np.uint16)  # 64 pictures of 255 fit
    for image in pictures:
        total += image
    total += count // 2
    return (total // np.uint16(count)).astype(np.uint8)


def as_frame(image: npt.NDArray[np.uint8], source: str, pixel_size_um: float | None) -> Frame:
    """Wrap a camera's pixels (H, W, 3)."""
    digest = hashlib.sha256(np.ascontiguousarray(image).data).hexdigest()
    return Frame(image, source, digest, pixel_size_um=pixel_size_um)


def capture_tiff(capture: Capture) -> bytes:
    """The capture as a TIFF file, lossless, with its pixel size and how it was taken."""
    import tifffile  # here, so that the camera's own process does without it

    frame = capture.frame
    per_cm = None if frame.pixel_size_um is None else 10_000 / frame.pixel_size_um
    data = io.BytesIO()
    tifffile.imwrite(
        data,
        frame.image,
        photometric="rgb",
        compression="zlib",
        compressionargs={"level": 1},
        predictor=True,
        description=msgspec.json.encode(capture.record()).decode(),
        metadata=None,
        resolution=None if per_cm is None else (per_cm, per_cm),
        resolutionunit="NONE" if per_cm is None else "CENTIMETER",
    )
    return data.getvalue()
