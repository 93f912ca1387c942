"""Files as people have them, made from one synthetic picture."""

import io
import json
import struct

import imagecodecs
import numpy as np
import tifffile
from PIL import Image

from device.counting.scale import to_8_bit
from device.synthetic import SyntheticSettings, make_frame

SETTINGS = SyntheticSettings(width_px=300, height_px=220, cells=4, faint_cells=2, filaments=2)
_MADE = make_frame(3, SETTINGS)
COLOUR = _MADE.frame.image
"""(220, 300, 3) uint8, four cells."""
GREY = np.ascontiguousarray(COLOUR.max(axis=2))
DEEP = GREY.astype(np.uint16) * 16 + np.random.default_rng(0).integers(0, 16, GREY.shape, np.uint16)
"""12 bits that no whole number divides."""
OTHER = np.ascontiguousarray(np.rot90(GREY, 2))


def tiff(array, **options) -> bytes:
    stream = io.BytesIO()
    tifffile.imwrite(stream, array, **{"photometric": _usual(array), **options})
    return stream.getvalue()


def _usual(array) -> str:
    return "rgb" if array.ndim >= 3 and array.shape[-1] == 3 else "minisblack"


def pages(*arrays, **options) -> bytes:
    """Each array a page of its own; `options` for all, or (array, options)."""
    stream = io.BytesIO()
    with tifffile.TiffWriter(stream) as writer:
        for each in arrays:
            array, own = each if isinstance(each, tuple) else (each, {})
            writer.write(
                array, **{"photometric": _usual(array), "metadata": None, **options, **own}
            )
    return stream.getvalue()


def ome(array, axes, **metadata) -> bytes:
    return tiff(array, ome=True, metadata={"axes": axes, **metadata})


def ome_xml(xml: bytes, array) -> bytes:
    """A TIFF with any text as its OME header."""
    stream = io.BytesIO()
    tifffile.imwrite(stream, array, photometric="minisblack", description=xml, metadata=None)
    return stream.getvalue()


def png(array) -> bytes:
    return imagecodecs.png_encode(array)


def pillow(array, kind, mode=None, **options) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(array, mode).save(stream, kind, **options)
    return stream.getvalue()


def as_shown(frame) -> np.ndarray:
    """(height, width, 3) uint8: what the network gets at scale 1."""
    return to_8_bit(frame.image, frame.full_scale)


def imagej(array, description: str, **options) -> bytes:
    return tiff(array, description=f"ImageJ=1.53t\n{description}", metadata=None, **options)


def shaped(array, shape) -> bytes:
    """One page whose header describes a stack."""
    return tiff(array, description=json.dumps({"shape": shape}), metadata=None)


def packed_12_bit(array) -> bytes:
    """A MinIsWhite TIFF of 12 bits a sample, as scanners write it."""
    return few_bits(4095 - array, 12, white_is_zero=True)


def few_bits(array, bits: int, white_is_zero: bool) -> bytes:
    """An uncompressed grey TIFF whose samples do not fill bytes; `array` as it is stored."""
    height, width = array.shape
    wide = array.astype(">u2").view(np.uint8).reshape(height, width, 2)
    stored = np.unpackbits(wide, axis=2)[:, :, 16 - bits :].reshape(height, -1)
    data = np.packbits(stored, axis=1).tobytes()
    tags = [
        (256, 4, width), (257, 4, height), (258, 3, bits), (259, 3, 1), (262, 3, int(not white_is_zero)),
        (273, 4, 0), (277, 3, 1), (278, 4, height), (279, 4, len(data)),
    ]  # fmt: skip
    start = 8 + 2 + 12 * len(tags) + 4
    entries = b"".join(
        struct.pack("<HHII", tag, kind, 1, start if tag == 273 else value)
        for tag, kind, value in tags
    )
    return b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + struct.pack("<I", 0) + data
