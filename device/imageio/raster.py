"""PNG and JPEG. Pillow reads JPEG and the PNGs that libpng alone does not turn into plain samples: palettes, bits."""

import io
import warnings
from dataclasses import replace
from typing import IO, cast

import numpy as np
from PIL import Image, UnidentifiedImageError

from device.counting.reading import AS_THE_FILE_SAYS, Reading
from device.counting.records import ImageArray
from device.errors import InputError
from device.imageio.decoded import (
    Decoded,
    check_kind,
    check_size,
    describe_damage,
    far_too_large,
    invisible,
    orient,
)
from device.imageio.pictures import Channel, Picture, choose

_GREY_MODES = frozenset({"L", "LA"})
_ALPHA_MODES = frozenset({"LA", "La", "PA", "RGBA", "RGBa"})
_ORIENTATION = 0x0112
_PNG_DEPTH_OFFSET = 24
_PNG_PALETTE = 3
_JPEG_BITS = 8
_WITHOUT_LOSS = frozenset(b"\xc3\xc7\xcb\xcf\xf7")
_FRAMES = frozenset(range(0xC0, 0xD0)) - frozenset(b"\xc4\xc8\xcc") | _WITHOUT_LOSS
"""Second bytes of the markers before which tables and data of programs stand, and bits a sample after them."""


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
            picture = open_picture(io.BytesIO(data), name, kind)
            check_size(name, picture.height, picture.width)
            if picture.mode == "1":
                check_kind(name, np.dtype(bool))
            _check_alone(picture, name)
            return _choose(_upright(_decode(picture, data), picture, data), asked, name)
    except InputError:
        raise
    except Image.DecompressionBombError:
        raise far_too_large(name) from None
    except Exception as error:  # noqa: BLE001 - decoders raise any exception for a damaged file
        raise describe_damage(name, kind, error) from None


def open_picture(stream: IO[bytes], name: str, *kinds: str) -> Image.Image:
    """Open a PNG or JPEG; a PNG also where a part beside its samples is damaged.

    Raises:
        InputError: a kind of JPEG that hardly any program reads.
        Exception: damaged; Pillow raises any.
    """
    try:
        return Image.open(stream, formats=kinds)
    except UnidentifiedImageError:
        from device.imageio.png import without_damaged_extras

        stream.seek(0)
        data = stream.read()
        if what := _unusual_jpeg(data):
            raise InputError(
                f"{name} is a JPEG {what}, and one of 8 bits is expected: save it as PNG or TIFF."
            ) from None
        return Image.open(io.BytesIO(without_damaged_extras(data)), formats=kinds)


def _unusual_jpeg(data: bytes) -> str:
    """What kind of JPEG it is; empty for ordinary ones and other files."""
    place = 2 if data.startswith(b"\xff\xd8") else len(data)
    while place + 4 < len(data) and data[place] == 0xFF:
        kind, bits = data[place + 1], data[place + 4]
        if kind in _FRAMES and bits != _JPEG_BITS:
            return f"of {bits} bits a sample"
        if kind in _FRAMES:
            return "without loss" if kind in _WITHOUT_LOSS else ""
        place += 2 + int.from_bytes(data[place + 2 : place + 4], "big")
    return ""


def _check_alone(picture: Image.Image, name: str) -> None:
    """Refuse animations; behind a photograph stand only its preview or its other half."""
    frames = getattr(picture, "n_frames", 1) if picture.format == "PNG" else 1
    if frames > 1:
        raise InputError(
            f"{name} contains {frames} frames of an animation; one image is expected: export a single frame."
        )


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
        pictures = getattr(picture, "n_frames", 1)
        notes = (f"The file holds {pictures} pictures; the first was counted.",)
        return Decoded(samples, lossy=picture.format != "PNG", notes=notes if pictures > 1 else ())
    alpha = np.asarray(picture.convert("RGBA"))[..., 3]
    return Decoded(samples=samples, hidden=_find_transparent(alpha))


def _find_transparent(alpha: np.ndarray) -> tuple[tuple[str, np.ndarray], ...]:
    clear = invisible(alpha)
    return (("transparent", clear),) if clear.any() else ()


def _upright(decoded: Decoded, picture: Image.Image, data: bytes) -> Decoded:
    """The picture as every viewer shows it: phones store how they were held (EXIF)."""
    if picture.format == "PNG":
        from device.imageio.png import read_extra

        # Pillow would decode the whole picture to look behind it, and believe a damaged part there.
        exif = Image.Exif()
        exif.load(read_extra(data, b"eXIf") or b"")
    else:
        exif = picture.getexif()
    return orient(decoded, exif.get(_ORIENTATION, 1))


def _decode_png(data: bytes, depth: int) -> Decoded:
    from device.imageio.png import decode_png, significant_bits

    samples = decode_png(data)
    hidden: tuple[tuple[str, np.ndarray], ...] = ()
    grey = samples.ndim == 2 or samples.shape[2] <= 2
    if samples.ndim == 3:
        # 2 and 4 channels end in alpha.
        if samples.shape[2] in (2, 4):
            hidden = _find_transparent(samples[..., -1])
        samples = cast(
            ImageArray, samples[..., 0] if grey else np.ascontiguousarray(samples[..., :3])
        )
    return Decoded(
        samples=samples,
        declared_bits=significant_bits(data, 1 if grey else 3) if depth == 16 else None,
        hidden=hidden,
    )
