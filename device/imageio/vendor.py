"""Files as microscopes write them: Zeiss .czi, Nikon .nd2, Leica .lif, Olympus .oib, by small readers of the extra."""

import importlib
import importlib.util
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from device.counting.reading import AS_THE_FILE_SAYS, Reading
from device.errors import InputError
from device.imageio.decoded import Decoded, PixelSize, check_size, describe_damage

if TYPE_CHECKING:
    from device.imageio.pictures import Picture


T = TypeVar("T")


@dataclass(frozen=True, slots=True, eq=False)
class Scene:
    """A picture of a microscope's file and what the file says about it."""

    picture: "Picture"
    pixel_size: PixelSize | None = None
    declared_bits: int | None = None


@dataclass(frozen=True, slots=True)
class _Format:
    """One kind of file: its maker, the package that reads it, and how it begins."""

    maker: str
    package: str
    starts: tuple[bytes, ...]


_FORMATS = {
    ".czi": _Format("Zeiss", "czifile", (b"ZISRAWFILE",)),
    ".nd2": _Format("Nikon", "nd2", (b"\xda\xce\xbe\x0a",)),
    ".lif": _Format("Leica", "liffile", (b"\x70\0\0\0",)),
    ".oib": _Format("Olympus", "oiffile", (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1",)),
}
VENDOR_SUFFIXES = frozenset(_FORMATS)
"""Files that the extra `microscopes` reads."""


def vendor_suffix(data: bytes) -> str | None:
    """Which of VENDOR_SUFFIXES a file is by its first bytes; None for any other."""
    for suffix, kind in _FORMATS.items():
        if data.startswith(kind.starts):
            return suffix
    return None


def missing_reader(suffix: str) -> str:
    """What to do where the package for such files is not installed; empty where it is."""
    kind = _FORMATS[suffix]
    if importlib.util.find_spec(kind.package) is not None:
        return ""
    return (
        f"{suffix} files of {kind.maker} need the extra `microscopes` (pip install 'fluocount[microscopes]'); "
        "install it, or export the image as TIFF."
    )


def decode_vendor(
    data: bytes, name: str, suffix: str, asked: Reading = AS_THE_FILE_SAYS
) -> Decoded:
    """Decode one plane of a microscope's file.

    Args:
        data: the file's bytes.
        name: for messages.
        suffix: one of VENDOR_SUFFIXES.
        asked: which plane, where the file holds several.

    Raises:
        InputError: the reader is not installed, the file is damaged, holds several planes and no choice, or no 8- or
            16-bit integers.
    """
    from device.imageio.pictures import choose

    def decode(scenes: list[Scene]) -> Decoded:
        chosen = choose([scene.picture for scene in scenes], asked, name)
        scene = next(scene for scene in scenes if scene.picture is chosen.picture)
        return Decoded(
            samples=chosen.samples,
            declared_bits=scene.declared_bits,
            pixel_size=scene.pixel_size,
            channel=chosen.channel,
            plane=chosen.plane,
            exposure_s=chosen.exposure_s,
            notes=chosen.notes,
        )

    return _opened(data, name, suffix, decode)


def vendor_shape(data: bytes, name: str, suffix: str) -> tuple[int, int]:
    """(height, width) of the largest picture, before anything is decoded.

    Raises:
        InputError: as `decode_vendor`.
    """
    return _opened(
        data,
        name,
        suffix,
        lambda scenes: max((scene.picture.height, scene.picture.width) for scene in scenes),
    )


@contextmanager
def _without_warnings() -> Iterator[None]:
    """What readers warn of is raised, or got around."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _opened(data: bytes, name: str, suffix: str, use: Callable[[list[Scene]], T]) -> T:
    if missing := missing_reader(suffix):
        raise InputError(f"{name} cannot be read here: {missing}")
    reader = importlib.import_module(f"device.imageio.microscopes.{suffix[1:]}")
    try:
        with _without_warnings(), reader.open_scenes(data, name) as scenes:
            if not scenes:
                raise InputError(f"{name} contains no image; export it as TIFF.")
            for scene in scenes:
                check_size(name, scene.picture.height, scene.picture.width)
            return use(scenes)
    except InputError:
        raise
    except Exception as error:  # noqa: BLE001 - readers raise any exception for a damaged file
        raise describe_damage(name, f"{_FORMATS[suffix].maker} {suffix}", error) from None
