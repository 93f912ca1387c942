"""Files as microscopes write them, by the readers of the extra `microscopes`."""

import numpy as np
import pytest
from forms import DEEP, GREY, OTHER, lif, olympus, small_czi

from device.counting.records import Reading
from device.errors import InputError
from device.imageio import decode_frame, vendor
from device.imageio.header import read_header

STACK = np.stack([DEEP, np.ascontiguousarray(np.rot90(DEEP, 2)), np.zeros_like(DEEP)])


def read(data, name="a.czi", **reading):
    return decode_frame(data, name, Reading(**reading))


def refusal(data, name="a.czi", **reading):
    with pytest.raises(InputError) as caught:
        read(data, name, **reading)
    return str(caught.value)


@pytest.fixture(scope="module")
def czi():
    """Two channels of three planes, 0.5 micrometres a pixel, uncompressed or zstd."""
    pytest.importorskip("pylibCZIrw.czi")
    pytest.importorskip("czifile")
    kinds = ("uncompressed:", "zstd0:ExplicitLevel=2", "zstd1:ExplicitLevel=2")
    return {compression: small_czi(STACK, compression) for compression in kinds}


def test_planes_and_channels_of_czi(czi):
    for data in czi.values():
        frame = read(data, channel="GFP", z=3)
        assert np.array_equal(frame.image[..., 0], STACK[0])
        assert (frame.taken.channel, frame.taken.plane) == ("GFP", "z 3 of 3")
        assert frame.pixel_size_um == pytest.approx(0.5)
        highest = read(data, channel="2", project="max").image[..., 0]
        assert np.array_equal(highest, STACK.max(axis=0))
        assert "1 DAPI, 2 GFP" in refusal(data)
        assert "z planes" in refusal(data, channel="DAPI")
        header = read_header(data, "a.czi")
        assert (header.height, header.width, header.sample_bytes) == (*DEEP.shape, 2)


def test_scenes_and_mosaics_of_czi(tmp_path):
    writer = pytest.importorskip("pylibCZIrw.czi")
    pytest.importorskip("czifile")
    path = tmp_path / "a.czi"
    with writer.create_czi(str(path)) as document:
        for left in (0, 100, 200):
            tile = GREY[:, left : left + 100][..., None]
            document.write(
                data=np.ascontiguousarray(tile), plane={"C": 0}, location=(left + 7, 5), scene=0
            )
        document.write(data=OTHER[..., None], plane={"C": 0}, location=(1000, 0), scene=1)
    data = path.read_bytes()
    assert "2 scenes" in refusal(data)
    assert np.array_equal(read(data, scene=1).image[..., 0], GREY)
    assert np.array_equal(read(data, scene=2).image[..., 0], OTHER)


def test_channels_of_lif():
    pytest.importorskip("liffile")
    data = lif(list(STACK[:2]), ["Blue", "Green"])
    frame = read(data, "a.lif", channel="2")
    assert np.array_equal(frame.image[..., 0], STACK[1])
    assert frame.pixel_size_um == pytest.approx(0.5, rel=1e-3)
    assert "2 channels" in refusal(data, "a.lif")
    assert np.array_equal(
        read(lif(list(STACK[:2]), ["Blue", "Yellow"]), "a.lif").image[..., 0], STACK[1]
    )


def test_channels_and_planes_of_oib():
    pytest.importorskip("oiffile")
    data = olympus(np.stack([STACK[::-1], STACK]), ["DAPI", "CTb"])
    assert "z planes" in refusal(data, "a.oib")
    frame = read(data, "a.oib", z=1)
    assert np.array_equal(frame.image[..., 0], STACK[0])
    assert frame.taken.channel == "CTb"
    assert frame.pixel_size_um == pytest.approx(0.5)
    assert frame.bits == 12
    highest = read(data, "a.oib", channel="DAPI", project="max")
    assert np.array_equal(highest.image[..., 0], STACK.max(axis=0))
    header = read_header(data, "a.oib")
    assert (header.height, header.width, header.sample_bytes) == (*DEEP.shape, 2)


@pytest.mark.data
def test_nd2_of_a_microscope(data_dir):
    pytest.importorskip("nd2")
    folder = data_dir / "vendor"
    channels = (folder / "example-pbmc.nd2").read_bytes()
    assert "1 Mono, 2 DAPI, 3 FITC BP, 4 TRITC BP" in refusal(channels, "a.nd2")
    frame = read(channels, "a.nd2", channel="dapi")
    assert frame.taken.channel == "DAPI"
    assert frame.pixel_size_um == pytest.approx(0.647, abs=0.001)
    stack = (folder / "example-zstack.nd2").read_bytes()
    assert "11 z planes" in refusal(stack, "a.nd2")
    planes = np.stack([read(stack, "a.nd2", z=z).image[..., 0] for z in range(1, 12)])
    assert np.array_equal(read(stack, "a.nd2", project="max").image[..., 0], planes.max(axis=0))
    assert read(stack, "a.nd2", project="focus").taken.exposure_s == 0.5


STARTS = [
    (".czi", b"ZISRAWFILE"),
    (".nd2", b"\xda\xce\xbe\x0a"),
    (".lif", b"\x70\0\0\0"),
    (".oib", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"),
]


@pytest.mark.parametrize(("suffix", "start"), STARTS)
def test_a_damaged_one_gets_one_sentence(suffix, start):
    said = refusal(start + bytes(500), f"a{suffix}")
    assert said.startswith(f"a{suffix} ")
    assert "\n" not in said
    assert "<" not in said


@pytest.mark.parametrize(("suffix", "start"), STARTS)
def test_without_the_reader_the_sentence_names_the_extra(monkeypatch, suffix, start):
    monkeypatch.setattr(vendor.importlib.util, "find_spec", lambda name: None)
    said = refusal(start + bytes(500), f"a{suffix}")
    assert "fluocount[microscopes]" in said
