"""TIFF and its relatives by tifffile: which pictures a file holds, and one of them decoded."""

import io
import logging
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import msgspec
import numpy as np
import tifffile

from device.counting.reading import AS_THE_FILE_SAYS, Reading
from device.errors import InputError
from device.imageio.acquisition import Acquisition, read_acquisition
from device.imageio.decoded import Decoded, check_kind, check_size, describe_damage, orient
from device.imageio.ome import OmeImage, begins_as_ome, read_ome, understand_wide_header
from device.imageio.pages import all_pages, data_pages, find_page
from device.imageio.pictures import Channel, Picture, choose
from device.imageio.pixelsize import ome_size, tiff_size
from device.imageio.samples import (
    LOSSY,
    Light,
    LightOf,
    assume_light,
    check_photometric,
    missing_tiles,
    reader,
    sample_reader,
    to_light,
)
from device.imageio.series import Planes
from device.imageio.tiffheader import (
    calibrated_zero,
    calibration_falls,
    declared_bits,
    imagej_channels,
    may_hold_channels,
    refuse_cut,
    sample_channels,
)

# tifffile logs problems that it can work around; those that matter here are raised or checked below.
logging.getLogger("tifffile").setLevel(logging.CRITICAL)

_AXES = {"Z": "z", "T": "t", "I": "page", "Q": "page", "R": "page", "P": "page", "A": "page"}
_DESCRIBED = frozenset({"ome", "imagej", "lsm", "stk", "fluoview", "micromanager", "shaped"})
"""Kinds of files whose header says which axis the pages lie along."""
_MAX_PAGES = 20_000
_MAX_DESCRIBED = 50_000
"""Planes of a set that a header may describe; each takes time and memory, whether it is there or not."""
_OME_UNREADABLE = "The OME header cannot be read; pixel size and channel names are unknown."
_HEADER_UNREADABLE = "The header contradicts itself; the image was read without what it says about planes and channels."


@dataclass(frozen=True, slots=True, eq=False)
class _Found:
    """A picture, the page that its tags stand in, and whether a person chose it by the number of its page."""

    picture: Picture
    page: Any
    page_asked: bool = False


def decode_tiff(data: bytes, name: str, asked: Reading = AS_THE_FILE_SAYS) -> Decoded:
    """Decode one plane of a TIFF.

    Args:
        data: the file's bytes.
        name: for messages.
        asked: which plane, where the file holds several.

    Raises:
        InputError: damaged, several planes and no choice, not 8- or 16-bit integers, or outside the size limits.
    """
    try:
        # Closed here: a TiffFile refers to itself, and would hold the file's bytes until the collector comes round.
        with (
            warnings.catch_warnings(),
            io.BytesIO(data) as stream,
            tifffile.TiffFile(stream) as file,
        ):
            warnings.simplefilter("ignore")
            return _File(file, name, data).decode(asked)
    except InputError:
        raise
    except Exception as error:  # noqa: BLE001 - decoders raise any exception for a damaged file
        raise describe_damage(name, "TIFF", error) from None


@dataclass(eq=False)
class _File:
    """An open TIFF and what is asked of all its pages."""

    file: tifffile.TiffFile
    name: str
    data: bytes
    hidden: dict[str, np.ndarray] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def decode(self, asked: Reading) -> Decoded:
        if len(self.file.pages) > _MAX_PAGES:
            raise InputError(
                f"{self.name} contains more than {_MAX_PAGES} pages; export a single plane."
            )
        understand_wide_header(self.file.pages.first, self.data)
        assume_light(self.file.pages.first)
        ome = read_ome(self.file.ome_metadata) if self._claims_ome() else ()
        if ome is None:
            self.notes.append(_OME_UNREADABLE)
        found = (self._list_described(ome) if ome is not None else []) or [self._plain(asked)]
        if any(one.page_asked for one in found):
            asked = msgspec.structs.replace(asked, page=None)
        chosen = choose([one.picture for one in found], asked, self.name)
        index, page = next(
            (i, one.page) for i, one in enumerate(found) if one.picture is chosen.picture
        )
        image = ome[index] if ome and len(ome) == len(found) else None
        decoded = Decoded(
            samples=chosen.samples,
            declared_bits=declared_bits(page, image) or self.acquisition.bits,
            pixel_size=(ome_size(image.pixels) if image else None)
            or self.acquisition.pixel_size
            or tiff_size(page, self.imagej),
            zero=calibrated_zero(self.imagej),
            inverted=page.photometric == tifffile.PHOTOMETRIC.MINISWHITE
            or calibration_falls(self.imagej),
            lossy=page.compression in LOSSY,
            hidden=tuple(self.hidden.items()),
            channel=chosen.channel,
            plane=chosen.plane,
            exposure_s=chosen.exposure_s,
            notes=(*chosen.notes, *self.notes),
        )
        if self.file.is_ome or self.file.is_imagej:
            return decoded  # programs that know these headers show the rows as they are stored
        return orient(decoded, page.tags.valueof("Orientation", 1))

    def _claims_ome(self) -> bool:
        """Whether there is an OME header; one that was cut off does not end as tifffile expects it."""
        return self.file.is_ome or begins_as_ome(self.file.pages.first.description)

    @cached_property
    def acquisition(self) -> Acquisition:
        """What the program of the microscope says beside the tags."""
        return read_acquisition(self.file)

    @property
    def imagej(self) -> Mapping[str, Any]:
        """ImageJ's header; empty where there is none."""
        return (self.file.imagej_metadata or {}) if self.file.is_imagej else {}

    def _series(self, ome: Sequence[OmeImage]) -> list[Any]:
        """What a header makes of the pages; nothing where it contradicts itself, the pages are there all the same."""
        key = self.file.pages.first
        page_px = max(1, key.imagelength * key.imagewidth)
        try:
            if any(image.count_planes(page_px) > _MAX_DESCRIBED for image in ome):
                raise ValueError
            return [one for one in self.file.series if one.kind not in ("generic", "uniform")]
        except Exception:  # noqa: BLE001 - tifffile raises any exception for a header that somebody edited
            self.notes.append(_HEADER_UNREADABLE)
            return []

    def _list_described(self, ome: Sequence[OmeImage]) -> list[_Found]:
        """The pictures that a header describes; none where there is no such header or it does not fit the file."""
        series = self._series(ome)
        # Zeiss puts a thumbnail beside each image, in a series of its own.
        series = [one for one in series if not one.keyframe.is_reduced] or series
        if not series or (series[0].kind == "shaped" and len(self.file.series) > 1):
            return []
        if series[0].kind not in _DESCRIBED:
            series = series[:1]  # a slide scanner's image comes before its label and overview
        found = [
            self._of_series(one, ome[i] if i < len(ome) else None) for i, one in enumerate(series)
        ]
        return [one for one in found if one is not None] if None not in found else []

    def _of_series(self, series: Any, image: OmeImage | None) -> _Found | None:
        key = series.keyframe
        outer = series.ndim - len(key.shape)
        if outer < 0 or tuple(series.shape[outer:]) != tuple(key.shape):
            return None
        axes = [
            "channel" if axis == "C" else _AXES.get(axis, "page") for axis in series.axes[:outer]
        ]
        shape = list(series.shape[:outer])
        if len(set(axes)) < len(axes):
            return None
        planes = Planes(
            series, dict(zip(axes, shape, strict=True)), self.name, self.data, self.light_of
        )
        if not planes.fit():
            return None
        stack = {axis: size for axis, size in planes.shape.items() if axis != "channel"}
        channels = self._channels(planes.shape.get("channel", 1), image, stack)
        return self._found(key, channels, stack, planes.light, planes.has, series.name)

    def _plain(self, asked: Reading) -> _Found:
        pages = self._pages(asked.page)

        def light(channel: int, place: Mapping[str, int]) -> Light:
            return self.light_of(pages[place.get("page", 0)])

        key = pages[0].keyframe
        if self.file.is_imagej and len(pages) == 1:
            described = self.imagej.get("images", 1)
            start = pages[0].dataoffsets[0] if pages[0].is_contiguous else None
            if isinstance(described, int):
                refuse_cut(self.name, len(self.data), described, start, key.nbytes)
        stack = {"page": len(pages)} if len(pages) > 1 else {}
        known = self.acquisition.channels
        channels = known if len(known) == 1 else (Channel(),)
        found = self._found(key, channels, stack, light, lambda channel, place: True, "")
        return replace(found, page_asked=asked.page is not None)

    def _pages(self, asked: int | None) -> list[Any]:
        """The page that was asked for, else those that hold the image."""
        pages = all_pages(self.file)
        if asked is not None:
            return [find_page(pages, self.name, asked)]
        return data_pages(list(pages), self.name, self._grey)

    def _found(
        self, key: Any, channels: tuple[Channel, ...], stack: Mapping[str, int], light: LightOf,
        present: Callable[[int, Mapping[str, int]], bool], name: str,
    ) -> _Found:  # fmt: skip
        """A picture of pages whose samples may be channels of their own."""
        check_size(self.name, key.imagelength, key.imagewidth)
        check_kind(self.name, np.dtype(key.dtype or np.float32))
        check_photometric(key, self.name)
        read = reader(light)
        if may_hold_channels(key) and len(channels) == 1:
            first = light(0, dict.fromkeys(stack, 0))
            if first.samples.ndim == 3 and not first.colour:
                known, count = self.acquisition.channels, first.samples.shape[2]
                channels = known if len(known) == count else sample_channels(key, count)
                read = sample_reader(light)
        picture = Picture(key.imagelength, key.imagewidth, channels, stack, read, present, name)
        return _Found(picture, key)

    def _channels(
        self, count: int, image: OmeImage | None, stack: Mapping[str, int]
    ) -> tuple[Channel, ...]:
        if image is not None and len(image.channels) == count:
            return image.channels
        if self.file.is_imagej:
            return imagej_channels(self.imagej, count, not stack)
        known = self.acquisition.channels
        return known if len(known) == count else (Channel(),) * count

    def light_of(self, page: Any) -> Light:
        """One page, decoded and checked."""
        self._check_complete(page)
        samples = page.asarray()
        if page.keyframe.axes == "SYX":
            samples = np.moveaxis(samples, 0, 2)
        elif page.keyframe.axes not in ("YX", "YXS"):
            raise InputError(
                f"{self.name} has the axes {page.keyframe.axes}; one grey or RGB plane is expected: "
                "export a single plane."
            )
        light = to_light(page.keyframe, samples, self.file.is_imagej)
        if light.transparent is not None and light.transparent.any():
            self.hidden["transparent"] = light.transparent
        return light

    def _grey(self, page: Any) -> np.ndarray:
        samples = self.light_of(page).samples
        return samples if samples.ndim == 2 else samples.max(axis=2)

    def _check_complete(self, page: Any) -> None:
        """tifffile fills what is missing with zeros, which would count as an empty frame."""
        places = list(zip(page.dataoffsets, page.databytecounts, strict=True))
        absent = [number for number, place in enumerate(places) if place == (0, 0)]
        tiled = bool(page.keyframe.is_tiled)
        if page.is_contiguous and places and places[0][0]:
            # How much a plain block takes is known; what writers say of it may be 0, or fill the last strip up.
            cut = places[0][0] + page.keyframe.nbytes > len(self.data)
        else:
            cut = any(
                offset + count > len(self.data) or (count == 0 and not (tiled and offset == 0))
                for offset, count in places
            )
        if cut or not places or len(absent) == len(places):
            raise InputError(
                f"{self.name} is a damaged or incomplete TIFF file (image data is missing); copy it again."
            )
        if absent:
            self.hidden["missing"] = missing_tiles(page.keyframe, absent)
