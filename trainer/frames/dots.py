"""Frames whose cells are marked by dots alone, and the density whose sum is their number."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from device.counting.records import Frame
from device.errors import InputError
from device.imageio import read_frame

CELLS, DOTS = "cell.png", "dots.png"
"""How the two files of a frame end: 001cell.png and 001dots.png."""


@dataclass(frozen=True, slots=True, eq=False)
class Dotted:
    """A frame and its cells.

    Attributes:
        frame: as the device reads it.
        dots: (n, 2) float64, x and y of the cells in pixels; the centre of the top-left pixel is (0, 0).
    """

    frame: Frame
    dots: npt.NDArray[np.float64]


def read_dotted(folder: Path) -> list[Dotted]:
    """Every NAMEcell.png of a folder with its NAMEdots.png, by name.

    Raises:
        InputError: there is none, or dots are missing or of another size than their frame.
    """
    paths = sorted(folder.glob(f"*{CELLS}"))
    if not paths:
        raise InputError(
            f"There is no frame in {folder}; expected files like 001{CELLS} with 001{DOTS} beside them."
        )
    return [_read(path) for path in paths]


def _read(path: Path) -> Dotted:
    frame = read_frame(path)
    marks = path.with_name(path.name.removesuffix(CELLS) + DOTS)
    if not marks.is_file():
        raise InputError(f"{path} has no dots beside it; expected them in {marks.name}.")
    pixels = np.asarray(Image.open(marks).convert("RGB")).max(axis=2)
    if pixels.shape != (frame.height, frame.width):
        raise InputError(f"{marks} and {path.name} differ in size; dots are marked in the frame.")
    return Dotted(frame, np.argwhere(pixels > 0)[:, ::-1].astype(float))


def density_map(
    dots: npt.NDArray[np.float64], shape: tuple[int, int], scale: float, sigma_px: float
) -> npt.NDArray[np.float32]:
    """A Gaussian for every dot, each of which sums to 1 within the frame.

    Args:
        dots: (n, 2) x and y in the frame's pixels.
        shape: height and width of the map.
        scale: pixels of the map per pixel of the frame.
        sigma_px: width of a Gaussian in pixels of the map, above 0.

    Returns:
        (height, width) float32, 0 and up; its sum is the number of dots.
    """
    middles = (dots + 0.5) * scale - 0.5
    across, down = (
        _profiles(middles[:, axis], size, sigma_px) for axis, size in ((0, shape[1]), (1, shape[0]))
    )
    return down.T @ across


def _profiles(middles: np.ndarray, size: int, sigma_px: float) -> npt.NDArray[np.float32]:
    """One Gaussian along a line for every middle: (n, size) float32, each row sums to 1."""
    away = np.arange(size) - middles[:, None]
    height = np.exp(-(away**2) / (2 * sigma_px**2))
    return (height / height.sum(axis=1, keepdims=True)).astype(np.float32)
