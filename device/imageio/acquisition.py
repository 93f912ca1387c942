"""What the programs of microscopes write into a TIFF beside its tags: Zeiss LSM, MetaMorph, Micro-Manager, Aperio."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import tifffile

from device.imageio.decoded import PixelSize
from device.imageio.pictures import Channel
from device.imageio.pixelsize import number, size_of, um_per

_UM_PER_M = 1e6
_MS_PER_S = 1e3
_LEAST_BITS, _MOST_BITS = 8, 16
_FRAME_TAG = 51123
"""Micro-Manager's settings of one frame."""


@dataclass(frozen=True, slots=True)
class Acquisition:
    """How a picture was taken, as far as the file says it.

    Attributes:
        channels: in order; empty where unknown.
        pixel_size: or None.
        bits: significant ones of a sample, or None.
    """

    channels: tuple[Channel, ...] = ()
    pixel_size: PixelSize | None = None
    bits: int | None = None


def read_acquisition(file: tifffile.TiffFile) -> Acquisition:
    """What an open TIFF says; unknown where its maker is not known or the text cannot be read."""
    for is_theirs, read in _MAKERS:
        if getattr(file, is_theirs):
            try:
                return read(file)
            except Exception:  # noqa: BLE001 - metadata are an extra, the pixels are not
                return Acquisition()
    return Acquisition()


def _lsm(file: tifffile.TiffFile) -> Acquisition:
    lsm = file.lsm_metadata or {}
    edges = (_times(number(lsm.get(f"VoxelSize{axis}")), _UM_PER_M) for axis in "XY")
    tracks = (lsm.get("ScanInformation") or {}).get("Tracks") or []
    bits = [one.get("BitsPerSample") for track in tracks for one in track.get("DataChannels") or []]
    return Acquisition(_lsm_channels(lsm), size_of("LSM header", *edges), _largest(bits))


def _lsm_channels(lsm: Mapping[str, Any]) -> tuple[Channel, ...]:
    colours = lsm.get("ChannelColors") or {}
    names, rgb = colours.get("ColorNames") or [], colours.get("Colors") or []
    return tuple(
        Channel(str(names[index]) if index < len(names) else "", _rgb(colour))
        for index, colour in enumerate(rgb)
    )


def _rgb(colour: Any) -> tuple[int, int, int]:
    red, green, blue = (int(value) for value in colour[:3])
    return red, green, blue


def _stk(file: tifffile.TiffFile) -> Acquisition:
    stk = file.stk_metadata or {}
    unit = um_per(str(stk.get("CalibrationUnits", "")).rstrip("\0"))
    edges = (_times(_ratio(stk.get(f"{axis}Calibration")), unit) for axis in "XY")
    return Acquisition(pixel_size=size_of("MetaMorph header", *edges))


def _ratio(value: Any) -> float | None:
    """A fraction as tifffile reads it: a number or (numerator, denominator)."""
    if isinstance(value, tuple):
        value = value[0] / value[1]
    return number(value)


def _micromanager(file: tifffile.TiffFile) -> Acquisition:
    summary = (file.micromanager_metadata or {}).get("Summary") or {}
    frame = file.pages.first.tags.valueof(_FRAME_TAG) or {}
    edge_um = number(frame.get("PixelSizeUm")) or number(summary.get("PixelSize_um"))
    names = [str(name) for name in summary.get("ChNames") or []]
    exposure_ms = number(frame.get("Exposure-ms")) if len(names) <= 1 else None
    exposure_s = None if exposure_ms is None else exposure_ms / _MS_PER_S
    return Acquisition(
        tuple(Channel(name, exposure_s=exposure_s) for name in names or [""]),
        size_of("Micro-Manager header", edge_um, edge_um),
        _largest([frame.get("BitDepth"), summary.get("BitDepth")]),
    )


def _aperio(file: tifffile.TiffFile) -> Acquisition:
    description = file.pages.first.description
    mpp = number(tifffile.tifffile.svs_description_metadata(description).get("MPP"))
    return Acquisition(pixel_size=size_of("Aperio header", mpp, mpp))


def _times(value: float | None, factor: float | None) -> float | None:
    return None if value is None or factor is None else value * factor


def _largest(values: list[Any]) -> int | None:
    bits = [int(value) for value in values if value and str(value).isdecimal()]
    return max(bits) if bits and _LEAST_BITS <= max(bits) <= _MOST_BITS else None


_MAKERS: tuple[tuple[str, Callable[[tifffile.TiffFile], Acquisition]], ...] = (
    ("is_lsm", _lsm),
    ("is_stk", _stk),
    ("is_micromanager", _micromanager),
    ("is_svs", _aperio),
)
"""By what tifffile asks a file."""
