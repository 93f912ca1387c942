"""Masks and label images are told from pictures by what they hold."""

import numpy as np
import pytest
from conftest import DATA_DIR
from forms import COLOUR, DEEP, GREY, SETTINGS, imagej, png, tiff
from PIL import Image
from scipy import ndimage

from device.counting.confidence.flags import file_flags
from device.imageio import decode_frame, read_frame
from device.synthetic import make_frame

LABELS = make_frame(3, SETTINGS).labels.astype(np.uint16)
MASK = np.where(LABELS > 0, 255, 0).astype(np.uint8)
COLOURS = np.random.default_rng(2).integers(60, 255, (LABELS.max() + 1, 3), np.uint8)


def is_flagged(frame):
    return "label_image" in [flag.code for flag in file_flags(frame.taken)]


@pytest.mark.parametrize(
    "data",
    [
        tiff(LABELS),
        tiff(LABELS * np.uint16(3000)),
        tiff(LABELS.astype(np.uint8)),
        png(MASK),
        png(255 - MASK),
        png(MASK // 255),
        png(np.where(MASK > 0, 255, 127).astype(np.uint8)),
        png(COLOURS[LABELS]),
        imagej(MASK, "images=1\n"),
    ],
    ids=lambda data: f"{len(data)} bytes",
)
def test_a_mask_is_flagged_in_every_form(data):
    assert is_flagged(decode_frame(data, "a_label_2.tif"))


@pytest.mark.parametrize(
    "picture",
    [
        GREY,
        DEEP,
        COLOUR,
        np.zeros_like(GREY),
        np.maximum(GREY, 60) - np.uint8(60),
        np.where(MASK > 0, GREY, 0).astype(np.uint8),
        np.clip((GREY.astype(int) - 20) * 6, 0, 255).astype(np.uint8),
        np.asarray(Image.fromarray(COLOUR).quantize(32).convert("RGB")),
        np.clip(ndimage.gaussian_filter(GREY.astype(float), 3), 0, 255).astype(np.uint8),
    ],
    ids=range(9),
)
def test_no_picture_is_taken_for_a_mask(picture):
    assert not is_flagged(decode_frame(tiff(picture), "a.tif"))


@pytest.mark.slow
@pytest.mark.skipif(not DATA_DIR.is_dir(), reason=f"no real images at {DATA_DIR}")
def test_no_real_frame_is_taken_for_a_mask_and_most_masks_are():
    flagged = {
        kind: [
            is_flagged(read_frame(path)) for path in sorted(DATA_DIR.glob(f"*/{kind}/*.png"))[::5]
        ]
        for kind in ("images", "masks", "labels")
    }
    assert not any(flagged["images"])
    masks = flagged["masks"] + flagged["labels"]
    assert sum(masks) > 0.8 * len(masks)
