"""Pictures of a stored count as it is now: with corrections and regions, which the stored pictures do not know."""

import io
from collections.abc import Iterable
from dataclasses import replace
from itertools import product

import msgspec
import numpy as np
from PIL import Image

from device.counting.records import Cell, CountResult, Frame
from device.drawing.lettering import stamp_texts
from device.drawing.overlay import encode_jpeg, outline_png, overlay_image
from device.errors import DamagedError
from device.export.corrected import Corrections, added_ids, corrected_count, remaining_cells
from device.export.stored import StoredCount, corrected_labels
from device.store import Store
from device.store.region import Region

THUMBNAIL_PX = 320
ADDED_RGB = (111, 220, 159)
REMOVED_RGB = (255, 122, 112)
REGION_RGB = (116, 185, 236)
"""The colours of the page."""
_LETTER_WIDTH = 0.6
"""Of a usual letter per height of the font."""


def draw_corrected_overlay(store: Store, count: StoredCount, frame: Frame) -> np.ndarray:
    """The overlay with corrections: outlines of the cells that hold, added ones ringed, removed ones crossed.

    Named regions are drawn around them.

    Args:
        store: where the count is.
        count: done.
        frame: its image.

    Returns:
        (height, width, 3) uint8, as `overlay_image`.

    Raises:
        NotFoundError, DamagedError: the count's files cannot be read.
    """
    result, corrections = count.result, count.corrections
    labels = corrected_labels(store, count)
    pixels = overlay_image(frame, _as_corrected(result, corrections), labels)
    step = round(result.width / pixels.shape[1])
    _draw_regions(pixels, count.row.regions, step)
    radius = result.cell_diameter_px / 2 / step
    for x, y in corrections.added:
        _draw_ring(pixels, (x / step, y / step), radius)
    for cell in result.cells:
        if cell.id in corrections.removed:
            _draw_cross(pixels, (cell.x / step, cell.y / step), max(5.0, radius / 2))
    size = max(10, min(pixels.shape[:2]) // 60)
    if corrections:
        stamp_texts(pixels, [(size // 2, 3 * size, correction_words(count))], size)
    return pixels


def draw_corrected(store: Store, count: StoredCount, name: str) -> bytes:
    """overlay.jpg, thumbnail.jpg or outlines.png of a count, with its corrections.

    Drawn on the stored 8-bit picture, so that no microscope file must be decoded again.

    Raises:
        NotFoundError, DamagedError: as `draw_corrected_overlay`.
    """
    if name == "outlines.png":
        return outline_png(corrected_labels(store, count))
    if name == "thumbnail.jpg":  # too small for regions and their names
        count = replace(count, row=msgspec.structs.replace(count.row, regions=()))
    picture = draw_corrected_overlay(store, count, _viewable(store, count))
    if name == "thumbnail.jpg":
        small = Image.fromarray(picture)
        small.thumbnail((THUMBNAIL_PX, THUMBNAIL_PX))
        picture = np.asarray(small)
    return encode_jpeg(picture)


def _viewable(store: Store, count: StoredCount) -> Frame:
    path = store.product(count.row.id, "image.jpg")
    try:
        with Image.open(io.BytesIO(path.read_bytes()), formats=["JPEG"]) as picture:
            image = np.asarray(picture.convert("RGB"))
    except Exception as error:  # noqa: BLE001 - Pillow raises any exception for a damaged file
        raise DamagedError(
            f"{path} is damaged ({error}); restore a backup or count the image again."
        ) from None
    return Frame(image=image, source=count.row.image, sha256=count.row.image_sha256)


def correction_words(count: StoredCount) -> str:
    """One line about the corrections, such as "corrected by hand: 2 added, 1 removed; automatic 41"."""
    made = count.corrections
    added = len(made.added) + len(made.accepted)
    parts = [f"{added} added"] if added else []
    parts += [f"{len(made.removed)} removed"] if made.removed else []
    return f"corrected by hand: {', '.join(parts)}; automatic {count.result.count}"


def _as_corrected(result: CountResult, corrections: Corrections) -> CountResult:
    """The result with the cells that hold now, so that a drawing numbers and sums up these."""
    diameter = result.cell_diameter_px
    added = (
        _by_hand(cell_id, place, diameter)
        for cell_id, place in zip(added_ids(result, corrections), corrections.added, strict=True)
    )
    cells = (*remaining_cells(result, corrections), *added)
    return msgspec.structs.replace(
        result, cells=cells, count=corrected_count(result, corrections), doubtful=()
    )


def _by_hand(cell_id: int, place: tuple[float, float], diameter: float) -> Cell:
    """A cell of which nothing is known but its place."""
    x, y = place
    reach = diameter / 2
    box = (int(x - reach), int(y - reach), int(x + reach), int(y + reach))
    return Cell(
        id=cell_id,
        x=x,
        y=y,
        area_px=0,
        equivalent_diameter_px=diameter,
        bbox=box,
        mean_intensity=(),
        max_intensity=(),
        score=0.0,
        probability=1.0,
    )


def _draw_regions(pixels: np.ndarray, regions: Iterable[Region], step: int) -> None:
    """Sides two pixels wide with a dark rim, and the name below the highest corner, in place.

    Args:
        pixels: (height, width, 3) uint8.
        regions: in pixels of the image.
        step: so many pixels of the image are one here.
    """
    size = max(12, min(pixels.shape[:2]) // 40)
    for region in regions:
        corners = np.array(region.points) / step
        for start, end in zip(corners, np.roll(corners, -1, axis=0), strict=True):
            _draw_side(pixels, start, end)
        x, y = corners[corners[:, 1].argmin()]
        half = _LETTER_WIDTH * size * len(region.name) / 2
        left = np.clip(x - half, 2, max(2, pixels.shape[1] - 2 * half))
        stamp_texts(pixels, [(left, max(2, y + size / 3), region.name)], size)


def _draw_side(pixels: np.ndarray, start: np.ndarray, end: np.ndarray) -> None:
    # A corner between two pixels, such as 99.5, is drawn on both.
    along = np.linspace(start, end, max(2, int(2 * np.abs(end - start).max()))) - 0.49
    for colour, reach in (((0, 0, 0), (-1, 0, 1, 2)), (REGION_RGB, (0, 1))):
        for right, down in product(reach, reach):
            _dot(pixels, along[:, 0] + right, along[:, 1] + down, colour)


def _draw_ring(pixels: np.ndarray, centre: tuple[float, float], radius: float) -> None:
    turns = np.linspace(0, 2 * np.pi, max(16, round(8 * radius)))
    for width in (0.0, 1.0):
        x = centre[0] + (radius + width) * np.cos(turns)
        y = centre[1] + (radius + width) * np.sin(turns)
        _dot(pixels, x, y, ADDED_RGB)


def _draw_cross(pixels: np.ndarray, centre: tuple[float, float], arm: float) -> None:
    along = np.linspace(-arm, arm, max(9, round(4 * arm)))
    for down, aside in ((1, 0), (-1, 0), (1, 1), (-1, 1)):
        _dot(pixels, centre[0] + along + aside, centre[1] + down * along, REMOVED_RGB)


def _dot(pixels: np.ndarray, x: np.ndarray, y: np.ndarray, colour: tuple[int, int, int]) -> None:
    """Colour the pixels at these places; what lies outside is left out."""
    height, width = pixels.shape[:2]
    columns, rows = np.rint(x).astype(int), np.rint(y).astype(int)
    seen = (columns >= 0) & (columns < width) & (rows >= 0) & (rows < height)
    pixels[rows[seen], columns[seen]] = colour
