"""The answers of the API about regions."""

import msgspec


class RegionView(msgspec.Struct, frozen=True, kw_only=True):
    """A region that a person drew, and what it holds now, corrections included.

    `points` are corners [x, y] in pixels; areas and densities in millimetres are null where the pixel size is unknown.
    """

    id: str
    name: str
    points: tuple[tuple[float, float], ...]
    who: str
    when: str
    count: int
    area_px: float
    area_mm2: float | None
    cells_per_mm2: float | None
    cells_per_million_px: float


class RegionList(msgspec.Struct, frozen=True, kw_only=True):
    """The regions of a count in the order in which they were drawn."""

    regions: tuple[RegionView, ...]
