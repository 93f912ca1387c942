"""PNG and JPEG. Pillow reads JPEG and the PNGs that libpng alone does not turn into plain samples: palettes, bits."""

import io
import warnings
from dataclasses import replace
from typing import cast

import numpy as np
from PIL import Image

from device.counting.reading import AS_THE_FILE_SAYS, Reading
from device.counting.records import ImageArray
from device.errors import InputError
from device.imageio.decoded import (
    Decoded,
    check_kind,
    check_size,
    describe_damage,
    invisible,
    orient,
)
from device.imageio.pictures import Channel, Picture, choose

_GREY_MODES = frozenset({"L", "LA"})
_ALPHA_MODES = frozenset({"LA", "La", "PA", "RGBA", "RGBa"})
_ORIENTATION = 0x0112
_PNG_DEPTH_OFFSET = 24
_PNG_PALETTE = 3


def decode_raster(data: bytes, name: str, kind: str, asked: Reading = AS_THE_FILE_SAYS) -> Decoded:
    """Decode a PNG or JPEG.

    Args:
        data: the file's bytes.
        name: for messages.
        kind: "PNG" or "JPEG".
        asked: which channel, where only one of the colours is counted.

    Raises:
        InputError: damaged, or outside the size limits.
    """
    try:
        with warnings.catch_warnings():
            # The size is checked right below, and a palette with transparency is understood: nothing to warn of.
            warnings.simplefilter("ignore")
            picture = Image.open(io.BytesIO(data), formats=[kind])
            check_size(name, picture.height, picture.width)
            if picture.mode == "1":
                check_kind(name, np.dtype(bool))
            return _choose(_upright(_decode(picture, data), picture, data), asked, name)
    except InputError:
        raise
    except Image.DecompressionBombError:
        raise InputError(
            f"{name} is much larger than the limit of 8000 x 8000 pixels; crop or reduce it."
        ) from None
    except Exception as error:  # noqa: BLE001 - decoders raise any exception for a damaged file
        raise describe_damage(name, kind, error) from None


def _decode(picture: Image.Image, data: bytes) -> Decoded:
    if picture.format == "PNG":
        depth, colour = data[_PNG_DEPTH_OFFSET : _PNG_DEPTH_OFFSET + 2]
        if depth == 16 or (depth == 8 and colour != _PNG_PALETTE):
            return _decode_png(data, depth)
    return _decode_picture(picture)


def _choose(decoded: Decoded, asked: Reading, name: str) -> Decoded:
    if asked == AS_THE_FILE_SAYS:
        return decoded
    height, width = decoded.samples.shape[:2]
    picture = Picture(height, width, (Channel(),), {}, lambda channel, place: decoded.samples)
    chosen = choose([picture], asked, name)
    return replace(decoded, samples=chosen.samples, channel=chosen.channel)


def _decode_picture(picture: Image.Image) -> Decoded:
    samples = np.asarray(picture.convert("L" if picture.mode in _GREY_MODES else "RGB"))
    if picture.mode not in _ALPHA_MODES and "transparency" not in picture.info:
        return Decoded(samples=samples, lossy=picture.format != "PNG")
    alpha = np.asarray(picture.convert("RGBA"))[..., 3]
    return Decoded(samples=samples, hidden=_find_transparent(alpha))


def _find_transparent(alpha: np.ndarray) -> tuple[tuple[str, np.ndarray], ...]:
    clear = invisible(alpha)
    return (("transparent", clear),) if clear.any() else ()


def _upright(decoded: Decoded, picture: Image.Image, data: bytes) -> Decoded:
    """The picture as every viewer shows it: phones store how they were held (EXIF)."""
    if picture.format == "PNG":
        from device.imageio.png import has_chunk

        if not has_chunk(data, b"eXIf"):
            return decoded  # Pillow would decode the whole picture to look behind it
    return orient(decoded, picture.getexif().get(_ORIENTATION, 1))


def _decode_png(data: bytes, depth: int) -> Decoded:
    from device.imageio.png import decode_png, significant_bits

    samples = decode_png(data)
    hidden: tuple[tuple[str, np.ndarray], ...] = ()
    if samples.ndim == 3:
        # 2 and 4 channels end in alpha.
        if samples.shape[2] in (2, 4):
            hidden = _find_transparent(samples[..., -1])
        grey = samples.shape[2] <= 2
        samples = cast(
            ImageArray, samples[..., 0] if grey else np.ascontiguousarray(samples[..., :3])
        )
    return Decoded(
        samples=samples,
        declared_bits=significant_bits(data) if depth == 16 else None,
        hidden=hidden,
    )
