"""How large a pixel is in the sample, as TIFF, ImageJ and OME headers say it; unknown where that cannot be."""

from collections.abc import Mapping, Sequence
from typing import Any

from device.counting.assay import PIXEL_SIZE_RANGE_UM
from device.imageio.decoded import PixelSize

_UM_PER_RESOLUTION_UNIT = {2: 25400.0, 3: 10000.0}
_PRINT_STEPS_DPI = (50.0, 72.0, 96.0)
_MOST_PRINT_DPI = 20_000
"""Printers and scanners use multiples of these; a camera's pixel through an objective hardly ever hits one."""
_PRINT_TOLERANCE = 2e-4
"""Writers round dots per centimetre."""

_LONGEST_SHORT_UNIT = 3
"""Letters of a unit that has no plural."""
_UM_PER_NAMED_UNIT = {
    **dict.fromkeys(("µm", "μm", "um", "micron", "micrometer", "micrometre", "\\u00b5m"), 1.0),
    # The same after it was read in the wrong encoding; no other unit begins with a letter that suffers.
    **dict.fromkeys(("âµm", "î¼m", "?m", "\ufffdm"), 1.0),
    **dict.fromkeys(("å", "å", "angstrom"), 1e-4),
    **dict.fromkeys(("nm", "nanometer", "nanometre"), 1e-3),
    **dict.fromkeys(("mm", "millimeter", "millimetre"), 1e3),
    **dict.fromkeys(("cm", "centimeter", "centimetre"), 1e4),
    **dict.fromkeys(("m", "meter", "metre"), 1e6),
    **dict.fromkeys(("in", "inch", "inche"), 25400.0),
}  # fmt: skip


def size_of(source: str, x_um: float | None, y_um: float | None) -> PixelSize | None:
    """Both edges where they are plausible; one stands for the other where that is missing."""
    x_um, y_um = x_um or y_um, y_um or x_um
    if x_um is None or y_um is None:
        return None
    least_um, most_um = PIXEL_SIZE_RANGE_UM
    if not all(least_um <= size <= most_um for size in (x_um, y_um)):
        return None
    return PixelSize(x_um, y_um, source)


def ome_size(pixels: Mapping[str, str]) -> PixelSize | None:
    """PhysicalSizeX and Y of an OME Pixels element, given its attributes."""
    return size_of("OME header", _ome_edge(pixels, "X"), _ome_edge(pixels, "Y"))


def tiff_size(page: Any, imagej: Mapping[str, Any]) -> PixelSize | None:
    """Resolution tags of a TIFF page, in ImageJ's unit where there is one."""
    per_unit = [_pixels_per_unit(page.tags.valueof(tag)) for tag in ("XResolution", "YResolution")]
    if per_unit == [None, None]:
        return None
    named = um_per(str(imagej.get("unit", "")))
    # ImageJ keeps the resolution of a figure as a calibration in inches or centimetres.
    printed = named in _UM_PER_RESOLUTION_UNIT.values()
    if named is not None and not (printed and _are_print(named, per_unit)):
        found = size_of("ImageJ header", *(_edge(named, value) for value in per_unit))
        if found is not None:
            return found
    unit = _UM_PER_RESOLUTION_UNIT.get(_whole(page.tags.valueof("ResolutionUnit", 2)))
    if unit is None or _are_print(unit, per_unit):
        return None
    return size_of("resolution tags", *(_edge(unit, value) for value in per_unit))


def um_per(unit: str) -> float | None:
    """Micrometres per unit, by its name as headers have it; None for any other."""
    name = unit.strip(" \t\r\n\0").lower()
    one = name[:-1] if name.endswith("s") and len(name) > _LONGEST_SHORT_UNIT else name
    return _UM_PER_NAMED_UNIT.get(one)


def number(text: object) -> float | None:
    """A positive number as headers have it, with a decimal comma too; None for anything else."""
    try:
        value = float(str(text).strip().replace(",", "."))
    except ValueError:
        return None
    return value if 0 < value < float("inf") else None


def _ome_edge(pixels: Mapping[str, str], axis: str) -> float | None:
    value = number(pixels.get(f"PhysicalSize{axis}", ""))
    unit = um_per(pixels.get(f"PhysicalSize{axis}Unit", "µm"))
    return None if value is None or unit is None else value * unit


def _pixels_per_unit(value: Any) -> float | None:
    """A TIFF fraction; None where it is absent or zero."""
    if not isinstance(value, tuple) or len(value) < 2 or not value[0] or not value[1]:
        return None
    return float(value[0]) / float(value[1])


def _edge(unit_um: float, per_unit: float | None) -> float | None:
    return None if per_unit is None else unit_um / per_unit


def _are_print(unit_um: float, per_unit: Sequence[float | None]) -> bool:
    return any(_is_print(unit_um, value) for value in per_unit if value)


def _is_print(unit_um: float, per_unit: float) -> bool:
    dpi = per_unit * 25400.0 / unit_um
    if dpi > _MOST_PRINT_DPI:
        return False
    nearest = (max(1, round(dpi / step)) * step for step in _PRINT_STEPS_DPI)
    return any(abs(dpi - value) <= _PRINT_TOLERANCE * value for value in nearest)


def _whole(value: Any) -> int:
    try:
        return int(value)
    except (TypeError, ValueError):
        return 0
