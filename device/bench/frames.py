"""The frames that are counted: given files, or synthetic ones of 1600 x 1200 written as PNG."""

import io
from collections.abc import Iterable
from pathlib import Path

from PIL import Image

from device.batch.items import find_images
from device.machine.files import write_atomic
from device.synthetic import SyntheticSettings, make_frame

CELLS = (50, 10, 150)
"""In the synthetic frames, one after the other; 50 is an ordinary frame."""

_ROOM_FOR_CELLS = 400
"""Above this many cells the diameter shrinks, so that they fit."""


def given_frames(paths: Iterable[Path]) -> list[Path]:
    """Files, and the images of folders.

    Raises:
        InputError: a folder without images.
    """
    return [item.path for item in find_images(paths)]


def synthetic_frames(
    folder: Path, cells: Iterable[int] = CELLS, width_px: int = 1600
) -> list[Path]:
    """Write one 4:3 frame per number of cells; same numbers, same pixels."""
    paths = []
    for seed, number in enumerate(cells, start=1):
        settings = _settings(number, width_px)
        image = make_frame(seed, settings).frame.image
        stream = io.BytesIO()
        Image.fromarray(image).save(stream, "PNG")
        path = folder / f"synthetic-{number}-cells.png"
        write_atomic(path, stream.getvalue())
        paths.append(path)
    return paths


def _settings(cells: int, width_px: int) -> SyntheticSettings:
    diameter = SyntheticSettings().cell_diameter_px * width_px / 1600
    if cells > _ROOM_FOR_CELLS:
        diameter *= (_ROOM_FOR_CELLS / cells) ** 0.5
    return SyntheticSettings(
        width_px=width_px, height_px=3 * width_px // 4, cells=cells, cell_diameter_px=diameter
    )
