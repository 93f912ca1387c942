"""What the samples of a TIFF page mean: ink or light, indices or values, colours or channels."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import tifffile

from device.counting.records import ImageArray
from device.errors import InputError
from device.imageio.decoded import invisible

_PHOTOMETRIC = tifffile.PHOTOMETRIC
_PHOTOMETRIC_TAG = 262
_ALPHA = {tifffile.EXTRASAMPLE.ASSOCALPHA, tifffile.EXTRASAMPLE.UNASSALPHA}
LOSSY = {
    tifffile.COMPRESSION.JPEG, tifffile.COMPRESSION.OJPEG, tifffile.COMPRESSION.JPEG_2000_LOSSY,
    tifffile.COMPRESSION.APERIO_JP2000_YCBC, tifffile.COMPRESSION.APERIO_JP2000_RGB,
}  # fmt: skip
"""Their decoders turn YCbCr into RGB."""


@dataclass(frozen=True, slots=True, eq=False)
class Light:
    """One page as light.

    Attributes:
        samples: (height, width), or (height, width, n) with n colours or channels.
        colour: whether three samples are red, green and blue.
        transparent: (height, width) bool or None.
    """

    samples: ImageArray
    colour: bool = False
    transparent: npt.NDArray[np.bool_] | None = None


LightOf = Callable[[int, Mapping[str, int]], Light]
"""From a channel and a place along each axis of a stack to a page."""


def assume_light(page: Any) -> None:
    """Take a page that does not say what its samples mean as libtiff does: three are a colour, and 0 is no light."""
    if _PHOTOMETRIC_TAG not in page.tags:
        colour = page.samplesperpixel == 3
        page.photometric = _PHOTOMETRIC.RGB if colour else _PHOTOMETRIC.MINISBLACK


def check_photometric(page: Any, name: str) -> None:
    """Refuse what is no picture in grey or RGB, before it is decoded.

    Raises:
        InputError: Lab, raw sensor data and the like.
    """
    known = {
        _PHOTOMETRIC.MINISWHITE, _PHOTOMETRIC.MINISBLACK, _PHOTOMETRIC.RGB, _PHOTOMETRIC.PALETTE,
        _PHOTOMETRIC.SEPARATED, _PHOTOMETRIC.YCBCR,
    }  # fmt: skip
    if page.photometric not in known:
        kind = getattr(page.photometric, "name", str(page.photometric))
        raise InputError(
            f"{name} is a TIFF of kind {kind}; grey or RGB is expected: export it as RGB."
        )
    if page.photometric == _PHOTOMETRIC.SEPARATED and (
        page.samplesperpixel != 4 or page.bitspersample != 8
    ):
        raise InputError(
            f"{name} contains {page.samplesperpixel} inks of {page.bitspersample} bits; grey or RGB is expected: "
            "export it as RGB."
        )


def to_light(page: Any, samples: np.ndarray, indexed_data: bool) -> Light:
    """Turn the decoded samples of a page into light.

    Args:
        page: its tags.
        samples: (height, width) or (height, width, n), uint8 or uint16, not yet turned round where 0 is white.
        indexed_data: whether a palette is only how values are shown.
    """
    samples = _at_full_depth(samples, int(page.bitspersample), page)
    if page.photometric == _PHOTOMETRIC.PALETTE:
        return _palette(samples, page.colormap, indexed_data)
    if page.photometric == _PHOTOMETRIC.SEPARATED:
        return Light(_convert(samples, "CMYK"), colour=True)
    if page.photometric == _PHOTOMETRIC.YCBCR and page.compression not in LOSSY:
        return Light(_convert(samples[..., :3], "YCbCr"), colour=True)
    if samples.ndim == 2:
        return Light(samples)
    colours = 3 if page.photometric in (_PHOTOMETRIC.RGB, _PHOTOMETRIC.YCBCR) else 1
    return _without_extras(samples, colours, tuple(page.extrasamples))


def _without_extras(samples: np.ndarray, colours: int, extras: tuple[Any, ...]) -> Light:
    """Alpha hides; extra samples of one value say nothing where there are no others; any other is a channel."""
    transparent, channels = None, list(range(samples.shape[2]))
    silent = []
    for index in range(colours, samples.shape[2]):
        place = index - samples.shape[2] + len(extras)
        extra = samples[..., index]
        if place >= 0 and extras[place] in _ALPHA:
            transparent = invisible(extra)
            channels.remove(index)
        elif extra.min() == extra.max():
            silent.append(index)
    if len(channels) - len(silent) == colours:  # else the channels keep their numbers
        channels = [index for index in channels if index not in silent]
    if len(channels) == 1:
        return Light(samples[..., 0], transparent=transparent)
    colour = colours == 3 and len(channels) == 3
    if len(channels) < samples.shape[2]:
        samples = np.ascontiguousarray(samples[..., channels])
    return Light(samples, colour, transparent)


def _at_full_depth(samples: np.ndarray, bits: int, page: Any) -> np.ndarray:
    """2- and 4-bit grey fills 8 bits: 15 of 15 is white."""
    if samples.dtype != np.uint8 or bits >= 8 or page.photometric == _PHOTOMETRIC.PALETTE:
        return samples
    return samples * np.uint8(255 // (2**bits - 1))


def _convert(samples: np.ndarray, mode: str) -> np.ndarray:
    from PIL import Image

    height, width = samples.shape[:2]
    picture = Image.frombytes(mode, (width, height), np.ascontiguousarray(samples).tobytes())
    return np.asarray(picture.convert("RGB"))


def _palette(samples: np.ndarray, colormap: Any, indexed_data: bool) -> Light:
    """A palette of colours is applied; one of ImageJ's display tables is not, the indices are the data."""
    table = np.asarray(colormap)
    # Old writers fill the 16-bit table with 8-bit values; libtiff and Photoshop take it so as well.
    if table.max(initial=0) < 256:
        table = table.astype(np.uint8)
    elif samples.dtype == np.uint8:
        table = (table >> 8).astype(
            np.uint8
        )  # as 256 entries are shown; 65,536 have all 16 bits to say
    if indexed_data and _rises(table):
        return Light(samples)
    colours = np.ascontiguousarray(table.T[np.minimum(samples, table.shape[1] - 1)])
    if np.array_equal(table[0], table[1]) and np.array_equal(table[1], table[2]):
        return Light(np.ascontiguousarray(colours[..., 0]))
    return Light(colours, colour=True)


def _rises(table: np.ndarray) -> bool:
    """Whether a (3, n) table goes from dark to bright: tables for display do, those of indexed photographs do not."""
    brightness = table.astype(np.int32).sum(axis=0)
    steps = np.diff(brightness)
    return bool((steps >= 0).mean() > 0.9 and brightness[-1] > brightness[0])


def missing_tiles(key: Any, absent: Sequence[int]) -> np.ndarray:
    """(height, width) bool, True where a tile is not stored."""
    missing = np.zeros((key.imagelength, key.imagewidth), dtype=bool)
    across = -(-key.imagewidth // key.tilewidth)
    down = -(-key.imagelength // key.tilelength)
    for tile in absent:
        row, column = divmod(tile % (across * down), across)
        top, left = row * key.tilelength, column * key.tilewidth
        missing[top : top + key.tilelength, left : left + key.tilewidth] = True
    return missing


def reader(light: LightOf) -> Callable[[int, Mapping[str, int]], ImageArray]:
    """The samples of pages."""

    def read(channel: int, place: Mapping[str, int]) -> ImageArray:
        return light(channel, place).samples

    return read


def sample_reader(light: LightOf) -> Callable[[int, Mapping[str, int]], ImageArray]:
    """Channels that lie beside each other in one page."""

    def read(channel: int, place: Mapping[str, int]) -> ImageArray:
        return cast(ImageArray, np.ascontiguousarray(light(0, place).samples[..., channel]))

    return read
