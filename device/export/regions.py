"""Regions of an image as numbers: how many cells lie in each, how large it is, how dense."""

from collections.abc import Iterable

import msgspec

from device.counting.records import CountResult
from device.export.corrected import Corrections, remaining_cells
from device.export.tables import csv_text
from device.store.region import Region

REGIONS_COLUMNS = (
    "image",
    "sample",
    "region",
    "count",
    "area_px",
    "area_mm2",
    "cells_per_mm2",
    "cells_per_million_px",
    "flags",
    "drawn_by",
    "id",
    "image_sha256",
    "study",
    "group",
    "subject",
    "slice",
)


class RegionReading(msgspec.Struct, frozen=True, kw_only=True):
    """What one region holds.

    Attributes:
        region: where.
        count: cells whose centre lies inside, corrections by hand included.
        area_mm2, per_mm2: None where the pixel size is unknown.
    """

    region: Region
    count: int
    area_mm2: float | None
    per_mm2: float | None

    @property
    def per_million_px(self) -> float:
        """Cells per million pixels, which needs no pixel size."""
        return self.count / self.region.area_px * 1e6


def read_regions(
    regions: Iterable[Region], result: CountResult, corrections: Corrections
) -> list[RegionReading]:
    """Count the cells of each region.

    Args:
        regions: of the image.
        result: the automatic result.
        corrections: by hand.
    """
    cells = [(cell.x, cell.y) for cell in remaining_cells(result, corrections)]
    places = [*cells, *corrections.added]
    readings = []
    for region in regions:
        count = sum(region.contains(x, y) for x, y in places)
        edge_um = result.pixel_size_um
        area_mm2 = None if edge_um is None else region.area_px * edge_um**2 / 1e6
        density = None if area_mm2 is None else count / area_mm2
        readings.append(
            RegionReading(region=region, count=count, area_mm2=area_mm2, per_mm2=density)
        )
    return readings


def region_line(
    reading: RegionReading, result: CountResult, sample: str, result_id: str
) -> list[str]:
    """One line of regions.csv without its study; numbers in six digits."""
    numbers = (reading.region.area_px, reading.area_mm2, reading.per_mm2, reading.per_million_px)
    return [
        csv_text(result.image),
        csv_text(sample),
        csv_text(reading.region.name),
        str(reading.count),
        *("" if value is None else repr(float(f"{value:.6g}")) for value in numbers),
        " ".join(flag.code for flag in result.flags),
        csv_text(reading.region.who),
        result_id,
        result.image_sha256,
    ]
