"""PNG and JPEG. Pillow reads what libpng alone does not make plain samples of: palettes, bits, JPEG."""

import io
import warnings
from typing import cast

import numpy as np
from PIL import Image

from device.counting.records import ImageArray
from device.errors import InputError
from device.imageio.decoded import Decoded, check_size, damaged

_GREY_MODES = frozenset({"1", "L", "LA"})
_PNG_DEPTH_OFFSET = 24
_PNG_PALETTE = 3


def decode_raster(data: bytes, name: str, kind: str) -> Decoded:
    """Decode a PNG or JPEG.

    Args:
        data: the file's bytes.
        name: for messages.
        kind: "PNG" or "JPEG".

    Raises:
        InputError: damaged, or outside the size limits.
    """
    try:
        with warnings.catch_warnings():
            # The size is checked right below; Pillow's own bomb warning would come first.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            picture = Image.open(io.BytesIO(data), formats=[kind])
        check_size(name, picture.height, picture.width)
        if kind == "PNG":
            depth, colour = data[_PNG_DEPTH_OFFSET : _PNG_DEPTH_OFFSET + 2]
            if depth == 16 or (depth == 8 and colour != _PNG_PALETTE):
                return _decode_png(data, depth)
        return Decoded(
            samples=np.asarray(picture.convert("L" if picture.mode in _GREY_MODES else "RGB"))
        )
    except InputError:
        raise
    except Image.DecompressionBombError:
        raise InputError(
            f"{name} is much larger than the limit of 8000 x 8000 pixels; crop or reduce it."
        ) from None
    except Exception as error:  # noqa: BLE001 - decoders raise whatever a damaged file makes them
        raise damaged(name, kind, error) from None


def _decode_png(data: bytes, depth: int) -> Decoded:
    from device.imageio.png import decode_png, significant_bits

    samples = decode_png(data)
    if samples.ndim == 3:
        # 2 and 4 channels end in alpha.
        grey = samples.shape[2] <= 2
        samples = cast(
            ImageArray, samples[..., 0] if grey else np.ascontiguousarray(samples[..., :3])
        )
    return Decoded(samples=samples, declared_bits=significant_bits(data) if depth == 16 else None)
