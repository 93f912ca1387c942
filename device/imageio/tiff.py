"""TIFF and OME-TIFF by tifffile: one plane, with declared bits and pixel size where the file has them."""

import io
import logging
import math
from typing import Any
from xml.etree import ElementTree

import numpy as np
import tifffile

from device.errors import InputError
from device.imageio.decoded import Decoded, check_size, damaged

_MAX_PLAUSIBLE_PIXEL_UM = 20.0
"""Writers fill the resolution tags with 72 or 300 dpi; a microscope's pixel is far smaller than those."""

_UM_PER_RESOLUTION_UNIT = {2: 25400.0, 3: 10000.0}
_UM_PER_NAMED_UNIT = {
    **dict.fromkeys(("µm", "μm", "um", "micron", "microns", "micrometer", "\\u00B5m"), 1.0),
    "nm": 1e-3,
    "mm": 1e3,
}

# tifffile reports trouble that it gets around through logging; what matters here is raised or checked below.
logging.getLogger("tifffile").setLevel(logging.CRITICAL)


def decode_tiff(data: bytes, name: str) -> Decoded:
    """Decode a TIFF of one plane.

    Raises:
        InputError: damaged, several planes, not 8- or 16-bit integers, or outside the size limits.
    """
    try:
        # Closed here: a TiffFile refers to itself, and would hold the file's bytes until the collector comes round.
        with io.BytesIO(data) as stream, tifffile.TiffFile(stream) as file:
            return _decode_file(file, name, len(data))
    except InputError:
        raise
    except Exception as error:  # noqa: BLE001 - decoders raise whatever a damaged file makes them
        raise damaged(name, "TIFF", error) from None


def _decode_file(file: tifffile.TiffFile, name: str, size_bytes: int) -> Decoded:
    series = file.series[0]
    page = series.keyframe
    check_size(name, page.imagelength, page.imagewidth)
    _check_kind(page, series, name)
    _check_complete(series, name, size_bytes)
    samples = _plane(np.asarray(series.asarray()), series.axes, name)
    if page.photometric == tifffile.PHOTOMETRIC.MINISWHITE:
        samples = np.iinfo(samples.dtype).max - samples
    if page.photometric == tifffile.PHOTOMETRIC.PALETTE:
        samples = _apply_palette(samples, np.asarray(page.colormap))
    ome = _ome_pixels(file)
    return Decoded(
        samples=samples,
        declared_bits=_declared_bits(page, ome),
        pixel_size_um=_pixel_size_um(file, page, ome),
    )


def _check_kind(page: Any, series: Any, name: str) -> None:
    shape = zip(series.axes, series.shape, strict=True)
    planes = math.prod(size for axis, size in shape if axis not in "YXSC")
    if planes > 1:
        raise InputError(
            f"{name} has {planes} planes; one is expected: export a single plane or a projection."
        )
    if np.dtype(series.dtype) not in (np.dtype(np.uint8), np.dtype(np.uint16)):
        raise InputError(
            f"{name} has {np.dtype(series.dtype).name} pixels; 8- or 16-bit unsigned integers are expected: "
            "convert the image without stretching it."
        )


def _check_complete(series: Any, name: str, size_bytes: int) -> None:
    """tifffile fills missing strips with zeros, which would count as an empty frame."""
    for page in series.pages:
        for offset, count in zip(page.dataoffsets, page.databytecounts, strict=True):
            if offset + count > size_bytes or count == 0:
                raise InputError(
                    f"{name} is a damaged or incomplete TIFF file (image data is missing); copy it again."
                )


def _plane(samples: np.ndarray, axes: str, name: str) -> np.ndarray:
    """(height, width) or (height, width, 3) from whatever order of axes the file has."""
    singles = tuple(i for i, axis in enumerate(axes) if samples.shape[i] == 1 and axis not in "YX")
    samples = samples.squeeze(singles)
    axes = "".join(axis for i, axis in enumerate(axes) if i not in singles)
    if axes == "YX":
        return samples
    if axes in ("SYX", "CYX"):
        samples = np.moveaxis(samples, 0, 2)
    elif axes not in ("YXS", "YXC"):
        raise InputError(
            f"{name} has the axes {axes}; one grey or RGB plane is expected: export a single plane."
        )
    channels = samples.shape[2]
    if "C" in axes and channels != 3:
        raise InputError(
            f"{name} has {channels} channels; one or three (RGB) are expected: export the stain's channel."
        )
    return samples[..., 0] if channels == 2 else np.ascontiguousarray(samples[..., :3])


def _apply_palette(samples: np.ndarray, colormap: np.ndarray) -> np.ndarray:
    """TIFF palettes are 16-bit (3, n); the image they describe is 8-bit RGB."""
    return np.ascontiguousarray((colormap >> 8).astype(np.uint8).T[samples])


def _ome_pixels(file: tifffile.TiffFile) -> dict[str, str]:
    """Attributes of the first OME Pixels element, empty where the file is not OME."""
    if not file.is_ome or file.ome_metadata is None:
        return {}
    for element in ElementTree.fromstring(file.ome_metadata).iter():
        if element.tag.endswith("Pixels"):
            return dict(element.attrib)
    return {}


def _declared_bits(page: Any, ome: dict[str, str]) -> int | None:
    if "SignificantBits" in ome:
        return int(ome["SignificantBits"])
    if 8 < page.bitspersample < 16:
        return int(page.bitspersample)
    largest = page.tags.valueof("MaxSampleValue")
    return None if largest is None else int(np.max(largest)).bit_length()


def _pixel_size_um(file: tifffile.TiffFile, page: Any, ome: dict[str, str]) -> float | None:
    if "PhysicalSizeX" in ome:
        unit = _UM_PER_NAMED_UNIT.get(ome.get("PhysicalSizeXUnit", "µm"))
        return _plausible(float(ome["PhysicalSizeX"]) * unit) if unit else None
    pixels_per_unit = _resolution(page)
    if pixels_per_unit is None:
        return None
    imagej = (file.imagej_metadata or {}) if file.is_imagej else {}
    if "unit" in imagej:
        unit = _UM_PER_NAMED_UNIT.get(str(imagej["unit"]))
    else:
        unit = _UM_PER_RESOLUTION_UNIT.get(int(page.tags.valueof("ResolutionUnit", 2)))
    return _plausible(unit / pixels_per_unit) if unit else None


def _resolution(page: Any) -> float | None:
    """Pixels per resolution unit along x, None where the tag is absent or zero."""
    value = page.tags.valueof("XResolution")
    if value is None or value[0] == 0 or value[1] == 0:
        return None
    return float(value[0]) / float(value[1])


def _plausible(size_um: float) -> float | None:
    return size_um if 0 < size_um <= _MAX_PLAUSIBLE_PIXEL_UM else None
