"""Regions that a person drew on an image: kept with the count, whatever its threshold is."""

import secrets
from collections.abc import Sequence

import msgspec

from device.errors import ConflictError, InputError, NotFoundError
from device.machine import clock
from device.store import rows
from device.store.protocols import Connection, Database
from device.store.records import CountRow
from device.store.region import (
    MAX_CORNERS,
    MAX_NAME_CHARS,
    MIN_CORNERS,
    Corner,
    Region,
    crosses_itself,
    signed_area,
    without_repeats,
)

MAX_REGIONS = 100


class Regions:
    """The regions of every count. Safe to use from any thread and process."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, count_id: str, name: str, points: Sequence[Corner], who: str) -> CountRow:
        """Keep a region.

        What is kept already under this name is kept once.

        Args:
            count_id: a done count.
            name: no other region of the count has it.
            points: at least three corners (x, y) in pixels of the image; no two sides cross.
            who: drew it.

        Raises:
            NotFoundError: there is no such count.
            InputError: the polygon encloses nothing, crosses itself or leaves the image.
            ConflictError: the count is not done, has a region of that name, or has too many.
        """
        with self._database.transaction() as connection:
            row = rows.get_own(self._database, count_id)
            if row.width is None or row.height is None:
                raise ConflictError(
                    f"The count of {row.image} is {row.status}; draw regions when it is done."
                )
            corners = _require_polygon(points, row.width, row.height)
            if any((one.name, one.points) == (_tidy(name), corners) for one in row.regions):
                return row  # sent again, because no answer came
            if len(row.regions) >= MAX_REGIONS:
                raise ConflictError(
                    f"This image has {MAX_REGIONS} regions, which is the limit; remove one first."
                )
            region = Region(
                id=secrets.token_hex(4),
                name=_require_name(row, name),
                points=corners,
                who=who,
                created_s=clock.now_s(),
            )
            write_regions(connection, row.id, (*row.regions, region))
        return rows.get(self._database, count_id)

    def rename(self, count_id: str, region_id: str, name: str) -> CountRow:
        """Give a region another name.

        Raises:
            NotFoundError: there is no such count or region.
            ConflictError: another region of the count has that name.
        """
        with self._database.transaction() as connection:
            row = rows.get_own(self._database, count_id)
            known = _find(row, region_id)
            named = msgspec.structs.replace(known, name=_require_name(row, name, known))
            write_regions(
                connection, row.id, [named if one is known else one for one in row.regions]
            )
        return rows.get(self._database, count_id)

    def remove(self, count_id: str, region_id: str) -> CountRow:
        """Remove a region; its cells stay counted.

        Raises:
            NotFoundError: there is no such count or region.
        """
        with self._database.transaction() as connection:
            row = rows.get_own(self._database, count_id)
            known = _find(row, region_id)
            write_regions(connection, row.id, [one for one in row.regions if one is not known])
        return rows.get(self._database, count_id)


def _require_name(row: CountRow, name: str, itself: Region | None = None) -> str:
    name = _tidy(name)
    if not 0 < len(name) <= MAX_NAME_CHARS:
        raise InputError(f"A region needs a name of 1 to {MAX_NAME_CHARS} characters, such as CA1.")
    if any(one.name == name for one in row.regions if one is not itself):
        raise ConflictError(f"This image already has a region {name!r}; choose another name.")
    return name


def _tidy(name: str) -> str:
    """Without spaces around it, and one space between words."""
    return " ".join(name.split())


def _require_polygon(points: Sequence[Corner], width: int, height: int) -> tuple[Corner, ...]:
    corners = without_repeats(points)
    if not MIN_CORNERS <= len(corners) <= MAX_CORNERS:
        raise InputError(
            f"A region has {MIN_CORNERS} to {MAX_CORNERS} corners, not {len(corners)}."
        )
    # The middle of the first pixel is 0, so that the image begins half a pixel before it.
    if not all(-0.5 <= x <= width - 0.5 and -0.5 <= y <= height - 0.5 for x, y in corners):
        raise InputError(f"A region must lie inside the image ({width} x {height} pixels).")
    if crosses_itself(corners):
        raise InputError("The sides of this region cross each other; draw it without crossings.")
    if abs(signed_area(corners)) < 1:
        raise InputError("This region encloses less than one pixel; draw a larger one.")
    return corners


def check_regions(image: str, regions: Sequence[Region], width: int, height: int) -> None:
    """Raise for a region that nobody could have drawn here.

    Args:
        image: its name, for people.
        regions: that came from outside.
        width, height: of the image, in pixels.

    Raises:
        InputError: a polygon encloses nothing, crosses itself or leaves the image.
    """
    for region in regions:
        try:
            _require_polygon(region.points, width, height)
        except InputError as error:
            raise InputError(f"{image}, region {region.name!r}: {error}") from None


def _find(row: CountRow, region_id: str) -> Region:
    for region in row.regions:
        if region.id == region_id:
            return region
    raise NotFoundError("This region was removed meanwhile; reload the page.")


def write_regions(connection: Connection, count_id: str, regions: Sequence[Region]) -> None:
    """Give a count these regions and no others, within a transaction of the caller."""
    connection.execute(
        "UPDATE counts SET regions = ? WHERE id = ?",
        (msgspec.json.encode(regions).decode(), count_id),
    )
