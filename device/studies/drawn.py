"""The regions that people drew on the images of a study.

A region has no 90 % interval. The spread of an interval was fitted and tested on whole images, and a result keeps the
place of unlikely objects only near the decision: what lies in a part of an image could not be told honestly.
"""

from dataclasses import dataclass

from device.errors import DamagedError, NotFoundError
from device.export.regions import REGIONS_COLUMNS, RegionReading, read_regions
from device.export.stored import load_count, regions_lines
from device.export.tables import csv_lines
from device.store import Store
from device.store.studies import Place, StudyImage
from device.studies.words import number_text

NO_INTERVAL = (
    "Regions have no 90 % interval: the intervals were fitted and tested on whole images only."
)


@dataclass(frozen=True, slots=True)
class DrawnRegion:
    """A region on an image of the study, and what it holds, corrections by hand included."""

    place: Place
    image: str
    reading: RegionReading

    @property
    def area(self) -> str:
        """For people, in millimetres where the pixel size is known."""
        if self.reading.area_mm2 is None:
            return f"{self.reading.region.area_px:.0f} px²"
        return f"{number_text(self.reading.area_mm2)} mm²"

    @property
    def density(self) -> str:
        """For people, as `area`."""
        if self.reading.per_mm2 is None:
            return f"{number_text(self.reading.per_million_px)} per million px²"
        return f"{number_text(self.reading.per_mm2)} per mm²"


def drawn_regions(store: Store, name: str) -> list[DrawnRegion]:
    """The regions of every counted image of a study; those of a damaged count are left to its own line."""
    return [
        DrawnRegion(image.place, image.row.image, reading)
        for image in _with_regions(store, name)
        for reading in _readings(store, image)
    ]


def drawn_csv(store: Store, name: str) -> str | None:
    """The same as regions.csv; None where nobody drew one."""
    rows = [image.row for image in _with_regions(store, name)]
    return csv_lines([REGIONS_COLUMNS, *regions_lines(store, rows)]) if rows else None


def _with_regions(store: Store, name: str) -> list[StudyImage]:
    images = store.studies.images(name)
    return [image for image in images if image.row.status == "done" and image.row.regions]


def _readings(store: Store, image: StudyImage) -> list[RegionReading]:
    try:
        count = load_count(store, image.row)
    except (NotFoundError, DamagedError):
        return []
    return read_regions(image.row.regions, count.result, count.corrections)
