"""What an OME-XML header says, as far as it can be read: metadata is an extra, the pixels are not."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from xml.etree import ElementTree

from device.imageio.pictures import Channel

_SECONDS = {"s": 1.0, "ms": 1e-3, "µs": 1e-6, "min": 60.0}


_OME_START = re.compile(r"<(\w+:)?OME[\s>]")
_LONGEST_PREAMBLE = 2000
"""Letters of declarations and comments before it."""
_DESCRIPTION = 270
_WIDE_STARTS = {
    b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16", b"<\0": "utf-16-le", b"\0<": "utf-16-be",
}  # fmt: skip


def understand_wide_header(page: Any, data: bytes) -> None:
    """Put an XML header in UTF-16 right, which tifffile reads as one byte a letter and so does not recognise.

    Args:
        page: the file's first, as tifffile has it.
        data: the file.
    """
    tag = page.tags.get(_DESCRIPTION)
    if tag is None:
        return
    stored = data[tag.valueoffset : tag.valueoffset + tag.count]
    encoding = _WIDE_STARTS.get(stored[:2])
    if encoding:
        # Half of the last letter may be missing: it was taken for the zero that ends a text.
        padded = stored + bytes(len(stored) % 2)
        page.description = padded.decode(encoding, errors="replace").rstrip("\0").strip()


def begins_as_ome(description: str) -> bool:
    """Whether a description starts an OME header, whatever comes after."""
    return _OME_START.search(description[:_LONGEST_PREAMBLE]) is not None


@dataclass(frozen=True, slots=True)
class OmeImage:
    """One Image element.

    Attributes:
        name: may be empty.
        pixels: attributes of its Pixels element.
        channels: in order.
        blocks: planes of each block of them that the header announces.
    """

    name: str
    pixels: Mapping[str, str]
    channels: tuple[Channel, ...]
    blocks: tuple[int, ...] = ()

    @property
    def significant_bits(self) -> int | None:
        """As declared; None where that is no number from 8 to 16."""
        text = self.pixels.get("SignificantBits", "")
        return int(text) if text.isdecimal() and 8 <= int(text) <= 16 else None

    def count_planes(self, page_px: int) -> int:
        """How many planes the header describes, with pages of that many pixels; nothing says that they are there."""
        sizes = [_whole(self.pixels.get(f"Size{axis}")) for axis in "XYCZT"]
        return max(math.prod(sizes) // page_px, *self.blocks, 1)


def _whole(text: str | None) -> int:
    """A count in a header; 1 for what is none."""
    return int(text) if text is not None and text.isdecimal() else 1


def read_ome(text: str | None) -> tuple[OmeImage, ...] | None:
    """The images that an OME-XML text describes.

    Returns:
        None where the text cannot be read.
    """
    try:
        root = ElementTree.fromstring(text or "")
    except (ElementTree.ParseError, ValueError):
        return None
    return tuple(_image(element) for element in root.iter() if _tag(element) == "Image")


def _image(image: ElementTree.Element) -> OmeImage:
    pixels = next((child for child in image if _tag(child) == "Pixels"), None)
    if pixels is None:
        return OmeImage(image.get("Name", ""), {}, ())
    exposures = {plane.get("TheC"): _seconds(plane) for plane in pixels if _tag(plane) == "Plane"}
    channels = [child for child in pixels if _tag(child) == "Channel"]
    blocks = [child for child in pixels if _tag(child) == "TiffData"]
    return OmeImage(
        name=image.get("Name", ""),
        pixels=dict(pixels.attrib),
        blocks=tuple(_whole(block.get("PlaneCount") or block.get("NumPlanes")) for block in blocks),
        channels=tuple(
            Channel(channel.get("Name", ""), _rgb(channel.get("Color")), exposures.get(str(number)))
            for number, channel in enumerate(channels)
        ),
    )


def _tag(element: ElementTree.Element) -> str:
    return element.tag.rpartition("}")[2] if isinstance(element.tag, str) else ""


def _seconds(plane: ElementTree.Element) -> float | None:
    try:
        value = float(plane.get("ExposureTime", ""))
    except ValueError:
        return None
    return value * _SECONDS.get(plane.get("ExposureTimeUnit", "s"), 1.0) or None


def _rgb(text: str | None) -> tuple[int, int, int] | None:
    """OME's colour: red, green, blue and alpha as the bytes of a signed 32-bit number."""
    try:
        value = int(text or "") & 0xFFFFFFFF
    except ValueError:
        return None
    colour = value >> 24, value >> 16 & 255, value >> 8 & 255
    return None if colour == (255, 255, 255) else colour
