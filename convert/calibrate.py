"""Tiles that show the converter the range of every tensor: training frames, empty and bright ones among them."""

import numpy as np

from device.counting.card import View
from device.counting.tiles import extend, round_up
from device.counting.view import network_view
from device.errors import ModelError
from trainer.frames.example import Example

CALIBRATION_TILES = 128
TILE_PX = 128


def _show(example: Example, working_scale: float, tile_px: int, view: View) -> np.ndarray:
    """What the device's network sees of a frame, extended to at least one tile."""
    image = network_view(example.frame, example.scale * working_scale, view)
    shape = max(image.shape[0], tile_px), max(image.shape[1], tile_px)
    return extend(image, shape)


def _tiles(
    image: np.ndarray, count: int, tile_px: int, rng: np.random.Generator
) -> list[np.ndarray]:
    rows = rng.integers(0, image.shape[0] - tile_px + 1, count)
    columns = rng.integers(0, image.shape[1] - tile_px + 1, count)
    return [
        image[row : row + tile_px, column : column + tile_px]
        for row, column in zip(rows, columns, strict=True)
    ]


def calibration_tiles(
    examples: list[Example],
    working_scale: float,
    stride_px: int,
    count: int = CALIBRATION_TILES,
    seed: int = 1,
    view: View = "colour",
) -> np.ndarray:
    """Tiles from every frame, the darkest and the brightest of many candidates always among them.

    Args:
        examples: training frames.
        working_scale: working pixels per full-size pixel.
        stride_px: of the network; tiles are a multiple of it.
        count: tiles to return, at least 100.
        seed: of the positions.
        view: what the network sees of a frame.

    Returns:
        (count, t, t, 3) uint8, t = 128 rounded up to the stride.

    Raises:
        ModelError: no frames, or fewer than 100 tiles asked for.
    """
    if not examples or count < 100:
        raise ModelError("Calibration needs training frames and at least 100 tiles.")
    rng = np.random.default_rng(seed)
    tile_px = round_up(TILE_PX, stride_px)
    each = -(-4 * count // len(examples))
    candidates = [
        tile
        for example in examples
        for tile in _tiles(_show(example, working_scale, tile_px, view), each, tile_px, rng)
    ]
    by_light = np.argsort([float(tile.mean()) for tile in candidates])
    ends = count // 8
    middle = rng.permutation(by_light[ends:-ends])[: count - 2 * ends]
    chosen = [*by_light[:ends], *middle, *by_light[-ends:]]
    return np.stack([candidates[index] for index in chosen])
