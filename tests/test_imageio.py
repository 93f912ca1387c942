import io
import struct
import zlib
from pathlib import Path

import hostile
import imagecodecs
import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from device.errors import InputError
from device.imageio import decode_frame, read_frame
from device.imageio.png import decode_png

GREY8 = np.random.default_rng(0).integers(0, 256, (40, 50), dtype=np.uint8)
RGB8 = np.random.default_rng(1).integers(0, 256, (40, 50, 3), dtype=np.uint8)
GREY16 = np.random.default_rng(2).integers(0, 4096, (40, 50), dtype=np.uint16)
RGB16 = np.random.default_rng(3).integers(0, 65536, (40, 50, 3), dtype=np.uint16)


def pillow(array, kind, **options):
    stream = io.BytesIO()
    Image.fromarray(array).save(stream, format=kind, **options)
    return stream.getvalue()


def tiff(array, **options):
    stream = io.BytesIO()
    tifffile.imwrite(stream, array, **options)
    return stream.getvalue()


def with_alpha(array):
    alpha = np.full((*array.shape[:2], 1), np.iinfo(array.dtype).max, array.dtype)
    return np.concatenate([array, alpha], axis=2)


@pytest.mark.parametrize(
    ("data", "expected", "channels"),
    [
        (pillow(GREY8, "PNG"), GREY8, 1),
        (pillow(RGB8, "PNG"), RGB8, 3),
        (pillow(with_alpha(RGB8), "PNG"), RGB8, 3),
        (imagecodecs.png_encode(GREY16), GREY16, 1),
        (imagecodecs.png_encode(RGB16), RGB16, 3),
        (imagecodecs.png_encode(with_alpha(RGB16)), RGB16, 3),
        (tiff(GREY8), GREY8, 1),
        (tiff(GREY16), GREY16, 1),
        (tiff(RGB8, photometric="rgb"), RGB8, 3),
        (tiff(RGB16, photometric="rgb"), RGB16, 3),
        (tiff(with_alpha(RGB16), photometric="rgb", extrasamples=["unassalpha"]), RGB16, 3),
        (tiff(np.moveaxis(RGB8, 2, 0), photometric="rgb", planarconfig="separate"), RGB8, 3),
        (tiff(RGB8, photometric="rgb", compression="lzw"), RGB8, 3),
        (tiff(RGB16, photometric="rgb", compression="zlib", predictor=True), RGB16, 3),
        (tiff(GREY16, byteorder=">"), GREY16, 1),
        (tiff(GREY16[None, None], ome=True, metadata={"axes": "ZCYX"}), GREY16, 1),
        (tiff(GREY8, bigtiff=True), GREY8, 1),
        (tiff(255 - GREY8, photometric="miniswhite"), GREY8, 1),
    ],
)
def test_samples_arrive_unchanged(data, expected, channels):
    frame = decode_frame(data, "image")
    assert frame.channels == channels
    assert frame.image.dtype == expected.dtype
    assert frame.image.shape == (40, 50, 3)
    np.testing.assert_array_equal(frame.image[..., :channels].reshape(expected.shape), expected)


def test_jpeg_is_read_about_right():
    smooth = np.linspace(0, 255, 40 * 50).astype(np.uint8).reshape(40, 50)
    frame = decode_frame(pillow(smooth, "JPEG", quality=95), "a.jpg")
    assert np.abs(frame.image[..., 0].astype(int) - smooth).max() < 12


@pytest.mark.parametrize(
    ("maximum", "bits"),
    [(0, 8), (255, 8), (256, 10), (1023, 10), (4095, 12), (9000, 14), (65535, 16)],
)
def test_undeclared_depth_is_the_smallest_that_holds_the_values(maximum, bits):
    image = np.zeros((40, 50), np.uint16)
    image[3:9, 3:9] = maximum
    assert decode_frame(tiff(image), "a.tif").bits == bits
    assert decode_frame(imagecodecs.png_encode(image), "a.png").bits == bits


@pytest.mark.parametrize(
    ("options", "size_um"),
    [
        ({"resolution": (20000, 20000), "resolutionunit": "CENTIMETER"}, 0.5),
        ({"resolution": (50800, 50800), "resolutionunit": "INCH"}, 0.5),
        ({"imagej": True, "resolution": (2.0, 2.0), "metadata": {"unit": "um"}}, 0.5),
        ({"ome": True, "metadata": {"axes": "YX", "PhysicalSizeX": 0.325, "PhysicalSizeXUnit": "µm"}}, 0.325),
        ({"ome": True, "metadata": {"axes": "YX", "PhysicalSizeX": 325, "PhysicalSizeXUnit": "nm"}}, 0.325),
        ({"resolution": (72, 72), "resolutionunit": "INCH"}, None),
        ({}, None),
    ],
)  # fmt: skip
def test_pixel_size_comes_from_the_tags(options, size_um):
    assert decode_frame(tiff(GREY8, **options), "a.tif").pixel_size_um == (
        None if size_um is None else pytest.approx(size_um, rel=1e-3)
    )


def test_the_hash_is_of_the_bytes_as_they_came():
    data = pillow(GREY8, "PNG")
    assert decode_frame(data, "a.png").sha256 == decode_frame(data, "b.png").sha256
    assert decode_frame(data, "a.png").sha256 != decode_frame(pillow(GREY8, "TIFF"), "a.tif").sha256


def bomb():
    """A PNG of 10,000 x 10,000 pixels in a few kilobytes."""
    header = struct.pack(">IIBBBBB", 10_000, 10_000, 8, 0, 0, 0, 0)
    rows = zlib.compress(bytes(10_001 * 1000))

    def chunk(kind, body):
        return (
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        )

    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")
    )


NAN = np.full((40, 50), np.nan, np.float32)


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b"just text\n" * 50, "not a PNG, JPEG or TIFF"),
        (b"", "is empty"),
        (pillow(RGB8, "PNG")[:2000], "damaged or incomplete PNG"),
        (imagecodecs.png_encode(RGB16)[:5000], "damaged or incomplete PNG"),
        (pillow(RGB8, "JPEG")[:800], "damaged or incomplete JPEG"),
        (tiff(RGB16, photometric="rgb")[:6000], "damaged or incomplete TIFF"),
        (b"II*\0" + bytes(40), "damaged or incomplete TIFF"),
        (pillow(np.zeros((1, 1), np.uint8), "PNG"), "at least 32x32"),
        (pillow(np.zeros((31, 100), np.uint8), "PNG"), "100x31"),
        (bomb(), "at most 8000x8000"),
        (tiff(np.zeros((8001, 32), np.uint8)), "32x8001"),
        (tiff(NAN), "float32"),
        (tiff(np.zeros((40, 50), np.int16)), "int16"),
        (tiff(np.zeros((5, 40, 50), np.uint8), photometric="minisblack"), "planes"),
        (tiff(np.zeros((2, 40, 50), np.uint16), imagej=True, metadata={"axes": "CYX"}), "channels"),
        (tiff(GREY8[..., None].repeat(4, 2), photometric="separated")[:1000], "damaged"),
    ],
)
def test_what_cannot_be_used_gets_one_sentence(data, sentence):
    with pytest.raises(InputError, match=sentence) as caught:
        decode_frame(data, "slice.png")
    assert str(caught.value).startswith("slice.png")
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(InputError, match=r"gone\.png"):
        read_frame(tmp_path / "gone.png")


def outcome(decode, data):
    try:
        return decode(data)
    except (imagecodecs.PngError, ValueError) as error:
        return str(error)


@settings(max_examples=80, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    channels=st.sampled_from([0, 2, 3, 4]),
    dtype=st.sampled_from([np.uint8, np.uint16]),
    level=st.integers(0, 9),
    damage=st.sampled_from(["none", "none", "byte", "cut", "more", "twice"]),
)
def test_a_png_is_what_libpng_makes_of_it_or_refused(seed, channels, dtype, level, damage):
    rng = np.random.default_rng(seed)
    shape = (*rng.integers(32, 300, 2), *([channels] if channels else []))
    smooth = np.cumsum(rng.integers(-3, 4, shape), axis=1) * rng.integers(1, 200)
    data = bytearray(imagecodecs.png_encode(smooth.astype(dtype), level=level))
    place = int(rng.integers(16, len(data)))
    if damage == "byte":
        data[place] ^= 1 << int(rng.integers(8))
    elif damage == "cut":
        del data[place:]
    elif damage == "more":
        data += b"more"
    elif damage == "twice":
        data[place:place] = data[place : place + 9]
    expected = outcome(imagecodecs.png_decode, bytes(data))
    found = outcome(decode_png, bytes(data))
    if isinstance(found, str):
        # libpng does not look at what comes behind the samples.
        assert isinstance(expected, str) or damage not in ("none", "more")
    else:
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("damage", ["byte", "cut", "end"])
def test_a_damaged_png_leaves_nothing_in_memory(damage):
    """libpng's wrapper would keep 18 MB and lose a reference to None each time."""
    data = bytearray(hostile.wide_png(3000, 2000, 2, 8))
    if damage == "byte":
        data[-40] ^= 1
    else:
        del data[-12 if damage == "end" else -500 :]
    before = resident_mb()
    for _ in range(10):
        with pytest.raises(InputError, match=r"damaged or incomplete PNG file"):
            decode_frame(bytes(data), "a.png")
    assert resident_mb() < before + 60


def resident_mb():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / 1e6


@pytest.mark.parametrize("options", [{"transparency": 7}, {"bits": 4}])
def test_png_with_more_than_samples_goes_to_libpng_as_it_is(options):
    data = pillow(GREY8, "PNG", **options)
    np.testing.assert_array_equal(decode_png(data), imagecodecs.png_decode(data))
