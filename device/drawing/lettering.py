"""Numbers and words on a picture, copied from glyphs that are drawn once.

Pillow needs a quarter of a millisecond for a text with a halo: half a second per frame for two thousand numbers.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from PIL import Image, ImageDraw, ImageFont

HALO_PX = 2


@dataclass(frozen=True, slots=True, eq=False)
class _Glyph:
    """One character with its halo, as pixels relative to the position of the text.

    Attributes:
        halo: (2, n) rows and columns that become black.
        ink: (2, m) rows and columns that become `grey`.
        grey: (m,) uint8; the anti-aliased white on its black halo.
        advance_px: to the next character.
    """

    halo: np.ndarray
    ink: np.ndarray
    grey: np.ndarray
    advance_px: float


@lru_cache(maxsize=16)
def _font(size_px: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size_px)


@lru_cache(maxsize=512)
def _glyph(character: str, size_px: int) -> _Glyph:
    font = _font(size_px)
    pad = HALO_PX + 1
    advance = font.getlength(character)
    shape = (math.ceil(advance) + 2 * pad, 2 * size_px + 2 * pad)
    halo, ink = Image.new("L", shape), Image.new("L", shape)
    ImageDraw.Draw(halo).text((pad, pad), character, fill=255, font=font, stroke_width=HALO_PX)
    ImageDraw.Draw(ink).text((pad, pad), character, fill=255, font=font)
    shown = np.asarray(ink)
    where = np.nonzero(shown)
    return _Glyph(
        halo=np.stack(np.nonzero(np.asarray(halo) >= 128)) - pad,
        ink=np.stack(where) - pad,
        grey=shown[where],
        advance_px=advance,
    )


def stamp_texts(
    pixels: np.ndarray, texts: Iterable[tuple[float, float, str]], size_px: int
) -> None:
    """Write white texts with a dark halo, in place; parts outside the picture are cut off.

    Args:
        pixels: (h, w, 3) uint8.
        texts: x and y of the upper left corner, and what to write; later ones lie above.
        size_px: of the font.
    """
    corners: dict[str, list[tuple[int, int]]] = {}
    for x, y, text in texts:
        for character in text:
            corners.setdefault(character, []).append((round(y), round(x)))
            x += _glyph(character, size_px).advance_px
    glyphs = [
        (_glyph(character, size_px), np.array(places)) for character, places in corners.items()
    ]
    for glyph, places in glyphs:
        _set(pixels, places, glyph.halo, np.zeros(glyph.halo.shape[1], np.uint8))
    for glyph, places in glyphs:
        _set(pixels, places, glyph.ink, glyph.grey)


def _set(pixels: np.ndarray, places: np.ndarray, offsets: np.ndarray, grey: np.ndarray) -> None:
    """Give one glyph's pixels their grey at all its places."""
    height, width = pixels.shape[:2]
    places, offsets = places.astype(np.int32), offsets.astype(np.int32)
    rows = places[:, :1] + offsets[0]
    columns = places[:, 1:] + offsets[1]
    inside = (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)
    flat = (rows * width + columns)[inside]
    pixels.reshape(-1, 3)[flat] = np.broadcast_to(grey, rows.shape)[inside][:, None]
