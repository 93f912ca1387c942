"""Frames and labels that fluocount hands to itself: a TIFF of one page, deflated, read back with its size known."""

import io

import numpy as np
import tifffile

from device.counting.records import Frame, Taken, as_three_channels

_COMPRESSIONS = (1, 8, 32946)
"""None and deflate: nothing else is written, so nothing else is read."""
_OVERHEAD_BYTES = 200_000
"""What a TIFF may have besides its samples."""


def encode_plane(samples: np.ndarray) -> bytes:
    """A (height, width) or (height, width, 3) image as a TIFF of one page."""
    stream = io.BytesIO()
    photometric = "rgb" if samples.ndim == 3 else "minisblack"
    tifffile.imwrite(stream, samples, photometric=photometric, compression="zlib", metadata=None)
    return stream.getvalue()


def decode_plane(data: bytes, shape: tuple[int, ...]) -> np.ndarray:
    """The only page of a TIFF; its size is compared before a sample is unpacked.

    Raises:
        ValueError: another size, several pages, another compression; other exceptions where it is damaged.
    """
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        page = file.pages.first
        if page.shape != shape or len(file.pages) != 1 or page.compression not in _COMPRESSIONS:
            raise ValueError(f"an image is {page.shape}, expected {shape}")
        return np.asarray(page.asarray())


def frame_of_plane(
    samples: np.ndarray,
    source: str,
    sha256: str,
    full_scale: int,
    pixel_size_um: float | None = None,
) -> Frame:
    """The frame of such samples.

    Args:
        samples: (height, width) grey or (height, width, 3), uint8 or uint16.
        source: a name, for people.
        sha256: of the image.
        full_scale: sample value of full light.
        pixel_size_um: edge of a pixel, None where unknown.
    """
    grey = samples.ndim == 2
    return Frame(
        image=as_three_channels(samples) if grey else samples,
        source=source,
        sha256=sha256,
        bits=max(8, full_scale.bit_length()),
        channels=1 if grey else 3,
        pixel_size_um=pixel_size_um,
        taken=Taken(full_scale=full_scale),
    )


def largest_plane_bytes(sample_bytes: int) -> int:
    """Largest size of such a TIFF with so many bytes of samples: deflate may add a little to noise."""
    return round(1.01 * sample_bytes) + _OVERHEAD_BYTES
