"""TIFFs of microscopes' programs: what they say about channels, pixels and samples beside the tags."""

import json

import numpy as np
import pytest
from forms import DEEP, GREY, OTHER, metamorph, tiff, zeiss

from device.counting.records import Reading
from device.errors import InputError
from device.imageio import decode_frame

HEIGHT, WIDTH = DEEP.shape
DIM = np.full_like(DEEP, 7)
YELLOW, BLUE, WHITE = (255, 255, 0), (0, 0, 255), (255, 255, 255)


def read(data, **reading):
    return decode_frame(data, "a.tif", Reading(**reading))


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
