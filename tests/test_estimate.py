import io
import os
import struct

import numpy as np
import pytest
import tifffile
from conftest import make_card
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from device.counting.card import Tiling
from device.counting.records import CountSettings
from device.errors import InputError
from device.imageio.header import Header, read_header
from device.models.estimate import estimate, require_memory

SETTINGS = CountSettings()
TILING = Tiling(stride_px=8, receptive_field_px=96, margin_px=96, max_tile_px=370_000)
FULL = make_card(gmac_per_frame=104.5, tiling=TILING)
QUARTER = make_card(gmac_per_frame=2.9, cell_diameter_px=9.25, tiling=TILING)


def header(width, height, channels=3, sample_bytes=1, file_bytes=0):
    decoded = height * width * channels * sample_bytes
    return Header(height, width, channels, sample_bytes, file_bytes, decoded)


def encoded(image, kind, **options):
    stream = io.BytesIO()
    if kind == "TIFF":
        tifffile.imwrite(stream, image, **options)
    else:
        Image.fromarray(image).save(stream, kind, **options)
    return stream.getvalue()


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF"])
@pytest.mark.parametrize("channels", [1, 3])
def test_the_header_tells_the_size_before_decoding(kind, channels, tmp_path):
    shape = (70, 110) if channels == 1 else (70, 110, 3)
    data = encoded(np.zeros(shape, np.uint8), kind)
    found = read_header(data, "x")
    assert found == Header(70, 110, channels, 1, len(data), found.decode_bytes)
    assert found.decode_bytes >= 70 * 110 * channels
    (tmp_path / "x").write_bytes(data)
    with os.fdopen(os.open(tmp_path / "x", os.O_RDONLY), "rb") as stream:
        assert read_header(stream, "x") == found


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF"])
def test_only_the_header_of_a_large_file_is_read(kind, tmp_path):
    noise = np.random.default_rng(3).integers(0, 256, (700, 1100, 3), np.uint8)
    (tmp_path / "x").write_bytes(encoded(noise, kind))
    with os.fdopen(os.open(tmp_path / "x", os.O_RDONLY), "rb", buffering=0) as file:
        taken = []

        class Counted(io.BufferedReader):
            def read(self, size=-1):
                taken.append(super().read(size))
                return taken[-1]

        assert read_header(Counted(file), "x").width == 1100
    assert sum(map(len, taken)) < 0.2 * (tmp_path / "x").stat().st_size


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_sixteen_bits_take_two_bytes(kind):
    data = encoded(np.zeros((70, 110), np.uint16), kind)
    assert read_header(data, "x").sample_bytes == 2


@pytest.mark.parametrize("data", [b"", b"no image", b"II*\0broken", b"\x89PNG\r\n\x1a\n"])
def test_what_is_no_image_gets_a_sentence(data):
    with pytest.raises(InputError, match=r"^bad\.png "):
        read_header(data, "bad.png")


def test_a_size_that_the_header_only_claims_is_refused_before_anything_is_planned():
    """Tiles for two billion pixels a row once took all memory of the machine."""
    data = bytearray(encoded(np.zeros((48, 64), np.uint8), "TIFF"))
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        tag = file.pages[0].tags["ImageWidth"]
    data[tag.offset + 2 : tag.offset + 12] = struct.pack("<HII", 4, 1, 2_000_000_000)
    with pytest.raises(InputError, match=r"^wide\.tif has 2000000000x48 pixels; at most 8000x8000"):
        read_header(bytes(data), "wide.tif")


@given(
    width=st.integers(32, 1400), height=st.integers(32, 1400), more=st.integers(0, 1400),
    sample_bytes=st.sampled_from([1, 2]),
)  # fmt: skip
def test_larger_images_need_more(width, height, more, sample_bytes):
    for card in (FULL, QUARTER):
        small = estimate(header(width, height, sample_bytes=sample_bytes), card, SETTINGS)
        large = estimate(header(width + more, height + more, 3, 2), card, SETTINGS)
        assert small.memory_mb > 100
        assert large.pixels >= small.pixels
        assert large.memory_mb >= 0.8 * small.memory_mb  # tiles may be smaller in a larger frame


def test_gmac_are_those_of_the_card_and_the_overlap():
    needed = estimate(header(1600, 1200), FULL, SETTINGS)
    assert 104.5 < needed.gmac < 2 * 104.5
    assert needed.seconds(100.0) > needed.seconds(200.0) > 0


def test_too_much_is_refused_with_the_figure():
    large = header(8000, 8000, sample_bytes=2)
    figure = round(estimate(large, FULL, SETTINGS).memory_mb)
    with pytest.raises(
        InputError, match=rf"big\.tif has 8000x8000 pixels .* {figure} MB .* 300 MB"
    ):
        require_memory(large, FULL, SETTINGS, 300, "big.tif")
    assert require_memory(large, FULL, SETTINGS, figure + 1, "big.tif").memory_mb <= figure + 1


def test_the_door_refuses_what_would_not_fit(tmp_path):
    from device.config import StorageSettings
    from device.jobs.intake import Intake
    from device.store import open_store
    from device.store.records import Needs

    class Cards:
        def card(self, model):
            return FULL

    data = encoded(np.zeros((600, 800, 3), np.uint8), "PNG")
    store = open_store(StorageSettings(data_dir=str(tmp_path), refuse_free_mb=1, warn_free_mb=1))
    with pytest.raises(InputError, match=r"800x600 pixels .* 120 MB are allowed"):
        Intake(store, Cards(), "fake", max_memory_mb=120).accept(data, "a.png", "upload")
    needs = Intake(store, Cards(), "fake", 2000).accept(data, "a.png", "upload").needs
    expected = estimate(read_header(data, "a.png"), FULL, SETTINGS)
    assert needs == Needs(memory_mb=round(expected.memory_mb), seconds=None)
    row = Intake(store, Cards(), "fake", 2000, lambda: 50.0).accept(data, "b.png", "upload")
    assert row.needs.seconds == pytest.approx(expected.seconds(50.0), abs=0.001)
    assert store.counts.get(row.id).needs == row.needs
