"""TIFFs of microscopes' programs: what they say about channels, pixels and samples beside the tags."""

import io
import json
import struct

import numpy as np
import pytest
import tifffile
from forms import DEEP, GREY, OTHER, tiff

from device.counting.records import Reading
from device.errors import InputError
from device.imageio import decode_frame

HEIGHT, WIDTH = DEEP.shape
DIM = np.full_like(DEEP, 7)
YELLOW, BLUE, WHITE = (255, 255, 0), (0, 0, 255), (255, 255, 255)


def read(data, **reading):
    return decode_frame(data, "a.tif", Reading(**reading))


def zeiss(stack, channels) -> bytes:
    """An LSM with a thumbnail behind each image.

    Args:
        stack: (planes, channels, height, width) uint16.
        channels: name and colour of each.
    """
    colours = b"".join(bytes((*colour, 0)) for _, colour in channels)
    names = b"".join(
        struct.pack("<I", len(name) + 1) + name.encode() + b"\0" for name, _ in channels
    )
    size, begin = 24 + len(colours) + len(names), 24 + len(colours)
    block = struct.pack("<6I", size, len(channels), len(channels), 24, begin, 0) + colours + names
    return _zeiss(stack, len(_zeiss(stack, 0))) + block


def _zeiss(stack, colours_at) -> bytes:
    planes, channels, height, width = stack.shape
    info = struct.pack(
        "<Ii 6i 2i 3d 3d HHI 4I d 4I",
        0x0400494C, 500, width, height, planes, channels, 1, 2, 0, 0,
        0.5e-6, 0.5e-6, 1e-6, 0, 0, 0, 0, 0, 0, 0, 0, 0, colours_at, 0, 0, 0, 0, 0,
    ).ljust(500, b"\0")  # fmt: skip
    stream = io.BytesIO()
    with tifffile.TiffWriter(stream, byteorder="<") as writer:
        options = {"photometric": "minisblack", "metadata": None}
        for number, plane in enumerate(stack):
            tags = [(34412, "B", len(info), info, True)] if number == 0 else []
            image = plane[0] if channels == 1 else plane
            planar = None if channels == 1 else "separate"
            writer.write(image, subfiletype=0, planarconfig=planar, extratags=tags, **options)
            writer.write((plane[0, ::4, ::4] >> 4).astype(np.uint8), subfiletype=1, **options)
    return stream.getvalue()


THREE = np.stack([OTHER.astype(np.uint16) * 16, DEEP, DIM])


@pytest.mark.parametrize(
    ("names", "asked"),
    [
        (("Ch1", "CTb", "T-PMT"), None),
        (("Ch1", "Ch2-T2", "T-PMT"), "Ch2-T2"),
        (("Ch1", "Ch2-T2", "T-PMT"), "2"),
    ],
)
def test_channels_and_pixels_of_lsm(names, asked):
    data = zeiss(THREE[None], list(zip(names, (BLUE, WHITE, WHITE), strict=True)))
    frame = read(data, channel=asked)
    assert np.array_equal(frame.image[..., 0], DEEP)
    assert frame.taken.channel == names[1]
    assert frame.pixel_size_um == pytest.approx(0.5)
    assert frame.taken.pixel_size_from == "LSM header"


def test_a_thumbnail_of_lsm_is_no_scene():
    assert np.array_equal(read(zeiss(DEEP[None, None], [("Ch1", YELLOW)])).image[..., 0], DEEP)
    stack = zeiss(np.stack([THREE, THREE]), [("a", BLUE), ("b", YELLOW), ("c", WHITE)])
    with pytest.raises(InputError, match="2 z planes"):
        read(stack)
    frame = read(stack, z=2)
    assert np.array_equal(frame.image[..., 0], DEEP)
    assert frame.taken.channel == "b"


@pytest.mark.parametrize("dark", [0, 2])
def test_a_dark_channel_keeps_its_number(dark):
    planes = [OTHER, GREY, OTHER]
    planes[dark] = np.zeros_like(GREY)
    for data in (
        tiff(np.stack(planes), planarconfig="separate", metadata=None, extrasamples=["unspecified"] * 2),
        tiff(np.stack(planes, 2), photometric="minisblack", planarconfig="contig", metadata=None),
    ):  # fmt: skip
        assert np.array_equal(read(data, channel="2").image[..., 0], GREY)
        assert not read(data, channel=str(dark + 1)).image.any()


def metamorph(planes, unit: bytes) -> bytes:
    """A MetaMorph stack: one page, the planes behind each other, 0.5 units a pixel."""
    height, width = planes[0].shape
    data = b"".join(plane.astype("<u2").tobytes() for plane in planes)
    at = 8 + len(data)
    half, text = struct.pack("<II", 1, 2), struct.pack("<I", len(unit)) + unit
    pairs = struct.pack("<8I", 3, 1, 4, at + 32, 5, at + 32, 6, at + 40)
    extra = pairs + half + text
    distances = struct.pack("<6I", 1, 1, 0, 0, 0, 0) * len(planes)
    tags = [
        (256, 4, 1, width), (257, 4, 1, height), (258, 3, 1, 16), (259, 3, 1, 1), (262, 3, 1, 1), (273, 4, 1, 8),
        (277, 3, 1, 1), (278, 4, 1, height), (279, 4, 1, len(data) // len(planes)), (33628, 4, 4, at),
        (33629, 5, len(planes), at + len(extra)),
    ]  # fmt: skip
    entries = b"".join(struct.pack("<HHII", *tag) for tag in tags)
    start = at + len(extra) + len(distances)
    head = b"II*\0" + struct.pack("<I", start)
    return head + data + extra + distances + struct.pack("<H", len(tags)) + entries + bytes(4)


def test_planes_and_pixels_of_metamorph():
    data = metamorph([DEEP, DEEP[::-1]], b"um\0")
    with pytest.raises(InputError, match="2 z planes"):
        read(data)
    frame = read(data, z=2)
    assert np.array_equal(frame.image[..., 0], DEEP[::-1])
    assert frame.pixel_size_um == pytest.approx(0.5)
    assert read(metamorph([DEEP], b"pixel\0")).pixel_size_um is None


def test_frames_of_micro_manager():
    """The settings of the frame stand in a tag of their own; the rest of the file is a plain TIFF here."""
    frame = {"PixelSizeUm": 0.65, "BitDepth": 14, "Exposure-ms": 40, "Channel": "GFP"}
    tag = (51123, "s", 0, json.dumps(frame), True)
    found = read(tiff(np.minimum(DEEP, 3000), metadata=None, extratags=[tag]))
    assert found.pixel_size_um == pytest.approx(0.65)
    assert found.taken.exposure_s == pytest.approx(0.04)


@pytest.mark.parametrize(("mpp", "size_um"), [("0.5", 0.5), ("many", None)])
def test_pixels_of_a_slide(mpp, size_um):
    description = f"Aperio Image Library v12\r\n300x220|AppMag = 20|MPP = {mpp}"
    assert read(tiff(GREY, description=description, metadata=None)).pixel_size_um == size_um
