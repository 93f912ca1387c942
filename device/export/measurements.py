"""The measurements of a cell, with the names that tables and GeoJSON share; names contain units."""

from functools import cache

from device.counting.records import Cell, CountResult

CHANNEL_SUFFIXES = {1: ("",), 3: ("_red", "_green", "_blue")}


def measurement_names(result: CountResult) -> list[str]:
    """Names in their order; those in micrometres only where the pixel size is known."""
    channels = len(result.cells[0].mean_intensity) if result.cells else result.channels
    return list(_names(channels, result.pixel_size_um is not None))


@cache
def _names(channels: int, sized: bool) -> tuple[str, ...]:
    suffixes = CHANNEL_SUFFIXES.get(channels) or [f"_channel{n + 1}" for n in range(channels)]
    return (
        "area_px",
        "equivalent_diameter_px",
        *(("area_um2", "equivalent_diameter_um") if sized else ()),
        *(f"mean_intensity{suffix}" for suffix in suffixes),
        *(f"max_intensity{suffix}" for suffix in suffixes),
        "score",
        "probability",
    )


def measurements(cell: Cell, result: CountResult) -> dict[str, float]:
    """The cell's values in the order of `measurement_names`."""
    size_um = result.pixel_size_um
    sized = (
        []
        if size_um is None
        else [cell.area_px * size_um**2, cell.equivalent_diameter_px * size_um]
    )
    values = [
        cell.area_px,
        cell.equivalent_diameter_px,
        *sized,
        *cell.mean_intensity,
        *cell.max_intensity,
        cell.score,
        cell.probability,
    ]
    return dict(zip(measurement_names(result), values, strict=True))
