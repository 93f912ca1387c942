import io

import numpy as np
import pytest
from conftest import FakeSegmenter, draw_discs, make_frame
from PIL import Image

from device.counting.pipeline import count_frame
from device.counting.records import CountSettings
from device.counting.scale import average_blocks
from device.drawing.overlay import (
    OUTLINE_RGB,
    encode_jpeg,
    encode_png,
    outline_pixels,
    outline_png,
    overlay_image,
)

DISCS = [(100, 100, 40), (132, 100, 40), (220, 150, 36)]


def counted(**frame):
    frame = make_frame(draw_discs((240, 320), DISCS), **frame)
    return frame, count_frame(frame, FakeSegmenter(), CountSettings())


def outline_mask(labels):
    mask = np.zeros(labels.shape, dtype=bool)
    mask.ravel()[outline_pixels(labels)] = True
    return mask


def test_outlines_lie_on_the_cells_own_edge_and_separate_touching_cells():
    _, result = counted()
    edge = outline_mask(result.labels)
    assert (result.labels[edge] > 0).all()
    assert set(np.unique(result.labels[edge])) == {1, 2, 3}
    inner = ~edge & (result.labels > 0)
    shifted = np.roll(result.labels, 1, axis=1)
    assert (result.labels[inner] == shifted[inner]).all()


def test_the_outline_picture_is_transparent_but_for_the_outlines():
    _, result = counted()
    picture = Image.open(io.BytesIO(outline_png(result.labels)))
    assert picture.mode == "P"
    pixels = np.asarray(picture.convert("RGBA"))
    edge = outline_mask(result.labels)
    np.testing.assert_array_equal(pixels[..., 3] > 0, edge)
    assert (pixels[edge][:, :3] == OUTLINE_RGB).all()


@pytest.mark.parametrize("background", [0, 255])
def test_text_and_outlines_show_on_dark_and_on_bright(background):
    _, result = counted()
    plain = make_frame(np.full((240, 320), background, np.uint8))
    pixels = np.asarray(overlay_image(plain, result.result, result.labels))
    assert pixels.shape == (240, 320, 3)
    corner = pixels[:30, :120].astype(int)
    assert corner.max() == 255
    assert corner.min() == 0


def test_a_scale_bar_of_round_length_where_the_pixel_size_is_known():
    frame, result = counted(pixel_size_um=0.5)
    without = np.asarray(
        overlay_image(make_frame(frame.image[..., 0]), unsized(result.result), result.labels)
    )
    with_bar = np.asarray(overlay_image(frame, result.result, result.labels))
    changed = (with_bar != without).any(axis=2)
    rows, _ = np.nonzero(changed)
    assert rows.min() > 120
    white = (with_bar == 255).all(axis=2) & changed
    longest = max(white[row].sum() for row in range(200, 240))
    assert longest == pytest.approx(20 / 0.5, abs=2)


def unsized(result):
    import msgspec

    return msgspec.structs.replace(result, pixel_size_um=None)


def test_encodings_open_again():
    frame, result = counted()
    picture = overlay_image(frame, result.result, result.labels)
    assert Image.open(io.BytesIO(encode_jpeg(picture))).size == (320, 240)
    np.testing.assert_array_equal(
        np.asarray(Image.open(io.BytesIO(encode_png(picture)))), np.asarray(picture)
    )


def test_16_bit_frames_are_shown_at_8_bits():
    image = draw_discs((100, 100), [(50, 50, 40)]).astype(np.uint16) * 16
    frame = make_frame(image, bits=12)
    result = count_frame(frame, FakeSegmenter(), CountSettings())
    assert np.asarray(overlay_image(frame, result.result, result.labels)).dtype == np.uint8


@pytest.mark.parametrize(("down", "right"), [(1, 1), (2, 2), (3, 5)])
def test_reducing_in_bands_gives_what_one_pass_gives(down, right):
    image = np.random.default_rng(1).integers(0, 256, (1003, 301, 3), dtype=np.uint8)
    whole = Image.fromarray(image).reduce((right, down))
    np.testing.assert_array_equal(average_blocks(image, down, right), np.asarray(whole))
