"""Files as other programs write them: turned, hidden behind a thumbnail, with headers that somebody edited."""

import io
import re
import struct
import tracemalloc
import warnings
import zlib

import imagecodecs
import numpy as np
import pytest
import tifffile
from forms import (
    COLOUR,
    DEEP,
    GREY,
    OTHER,
    as_shown,
    hidden_behind,
    imagej,
    interlaced,
    ome,
    ome_xml,
    pages,
    pillow,
    png,
    tiff,
)
from PIL import Image

from device.counting.reading import AS_THE_FILE_SAYS
from device.counting.records import Reading
from device.errors import InputError
from device.imageio import decode_frame
from device.imageio.decoded import Decoded
from device.imageio.header import read_header
from device.imageio.levels import find_levels
from device.imageio.pixelsize import um_per
from device.imageio.png import decode_png, significant_bits
from device.imageio.raster import decode_raster

SMALL = np.asarray(Image.fromarray(GREY).resize((75, 55), Image.Resampling.BOX))
HEIGHT, WIDTH = GREY.shape


def read(data, **reading):
    return decode_frame(data, "a.tif", Reading(**reading))


def same(frame, expected=GREY):
    return np.array_equal(as_shown(frame)[..., 0], expected) and frame.channels == 1


@pytest.mark.parametrize("deep", [False, True])
@pytest.mark.parametrize("shape", [(32, 33), (41, 57, 3), (40, 32, 3)])
def test_an_interlaced_png_is_read_without_a_word_on_the_terminal(shape, deep, capfd):
    kind = np.uint16 if deep else np.uint8
    samples = np.random.default_rng(5).integers(0, np.iinfo(kind).max, shape, kind)
    frame = read(interlaced(samples), full_scale=int(np.iinfo(kind).max))
    assert np.array_equal(np.squeeze(frame.image[..., : samples[0, 0].size]), samples)
    assert capfd.readouterr() == ("", "")


def test_an_interlaced_png_takes_no_more_memory_than_its_header_tells():
    data = interlaced(np.random.default_rng(1).integers(0, 65536, (600, 800, 3)).astype(np.uint16))
    promised = read_header(data, "a.png").decode_bytes
    tracemalloc.start()
    decode_png(data)
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak_bytes <= promised


def test_an_interlaced_png_that_ends_early_is_refused():
    data = interlaced(GREY)
    rows = zlib.decompress(data[41:-16])
    short = zlib.compress(rows[: len(rows) // 2])
    parts = data[:33] + struct.pack(">I", len(short)) + b"IDAT" + short
    parts += struct.pack(">I", zlib.crc32(b"IDAT" + short)) + data[-12:]
    with pytest.raises(InputError, match="incomplete"):
        read(parts)


def test_a_palette_with_transparency_is_read_without_a_warning():
    picture = Image.fromarray(COLOUR).quantize(64)
    stream = io.BytesIO()
    picture.save(stream, "PNG", transparency=bytes([255] * 64))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        frame = read(stream.getvalue())
    assert np.array_equal(frame.image, np.asarray(picture.convert("RGB")))
    assert frame.ignored is None


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_black_and_white_is_refused_in_every_format(kind):
    with pytest.raises(InputError, match="black and white"):
        read(pillow(GREY > 99, kind))


@pytest.mark.parametrize("below", [0, 20])
def test_what_nobody_sees_is_no_drawing(below):
    alpha = np.full_like(GREY, 255)
    alpha[:, 160:] = below
    white = np.where(alpha < 255, 255, GREY).astype(np.uint8)
    for data in (
        png(np.dstack([white, alpha])),
        tiff(np.dstack([white, alpha]), planarconfig="contig", extrasamples=["unassalpha"]),
    ):
        frame = read(data)
        assert frame.taken.ignored_for == ("transparent",)
        assert np.array_equal(frame.ignored, alpha < 255)


@pytest.mark.parametrize("white", [4095, 65535])
def test_where_zero_is_white_the_light_may_be_taken_from_any_full_scale(white):
    frame = read(tiff((white - DEEP).astype(np.uint16), photometric="miniswhite"))
    assert frame.taken.full_scale == 4095
    assert np.array_equal(frame.image[..., 0], DEEP)


def test_bits_that_most_samples_contradict_are_not_believed():
    assert read(ome(DEEP, "YX", SignificantBits=8)).bits == 12
    inverted = Decoded(samples=(65535 - DEEP).astype(np.uint16), declared_bits=12, inverted=True)
    assert np.array_equal(find_levels(inverted, AS_THE_FILE_SAYS).samples, DEEP)


def test_opaque_is_what_the_bits_of_the_camera_hold():
    opaque = np.full_like(DEEP, 4095)
    half = opaque.copy()
    half[:, 160:] = 0
    for alpha in (opaque, half):
        stacked = np.dstack([DEEP, alpha]).astype(np.uint16)
        frame = read(tiff(stacked, planarconfig="contig", extrasamples=["unassalpha"]))
        hidden = np.zeros(alpha.shape, bool) if frame.ignored is None else frame.ignored
        assert np.array_equal(hidden, alpha == 0)


def test_a_picture_that_is_transparent_everywhere_is_refused():
    with pytest.raises(InputError, match="shows nothing"):
        read(png(np.dstack([GREY, np.zeros_like(GREY)])))


def test_a_photo_with_a_second_picture_is_lossy_as_any_photo():
    stream = io.BytesIO()
    first = Image.fromarray(COLOUR)
    first.save(stream, "MPO", save_all=True, append_images=[first])
    decoded = decode_raster(stream.getvalue(), "a.jpg", "JPEG")
    assert decoded.lossy
    assert decoded.notes == ("The file holds 2 pictures; the first was counted.",)


def test_an_image_that_stands_behind_its_preview_is_counted():
    data = hidden_behind(SMALL, DEEP)
    assert np.array_equal(read(data).image[..., 0], DEEP)
    header = read_header(data, "a.tif")
    assert (header.height, header.width, header.sample_bytes) == (HEIGHT, WIDTH, 2)


def test_a_pyramid_that_stands_behind_its_image_is_not_counted():
    stream = io.BytesIO()
    with tifffile.TiffWriter(stream) as writer:
        options = {"photometric": "minisblack", "metadata": None}
        writer.write(GREY, subifds=1, **options)
        writer.write(SMALL, **options)  # some writers do not say that it is a smaller copy
    assert same(read(stream.getvalue()))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_turned_tiff_stands_as_viewers_show_it(orientation):
    options = {"resolution": (20000, 10000), "resolutionunit": "CENTIMETER", "metadata": None}
    data = tiff(COLOUR, extratags=[(274, "H", 1, orientation, False)], **options)
    frame = read(data)
    upright = Image.open(io.BytesIO(data))  # Pillow turns such files while it reads them
    upright.load()
    assert np.array_equal(frame.image, np.asarray(upright))
    assert frame.taken.pixel_aspect == (0.5 if orientation > 4 else 2)


def test_turned_samples_with_a_tag_that_turns_them_back_are_the_same_frame():
    turned = np.ascontiguousarray(np.rot90(COLOUR))
    data = tiff(turned, extratags=[(274, "H", 1, 6, False)], metadata=None)
    assert np.array_equal(read(data).image, COLOUR)


def png_with(part: bytes, body: bytes, damaged: bool, data=None) -> bytes:
    """A PNG with one more part behind its header."""
    data = data or png(GREY)
    checksum = zlib.crc32(part + body) ^ damaged
    return (
        data[:33]
        + struct.pack(">I4s", len(body), part)
        + body
        + struct.pack(">I", checksum)
        + data[33:]
    )


@pytest.mark.parametrize("part", [b"tEXt", b"iCCP", b"tIME"])
def test_a_damaged_text_in_a_png_costs_no_pixels(part):
    data = png_with(part, b"Comment\0hello", damaged=True)
    assert same(read(data))
    assert read_header(data, "a.png").width == WIDTH
    palette = png_with(part, b"Comment\0hello", True, pillow(GREY, "PNG", "P"))
    assert read(palette).width == WIDTH
    with pytest.raises(InputError, match="damaged"):
        read(png_with(b"tRNS", b"\0\7", damaged=True))


@pytest.mark.parametrize(
    ("body", "damaged", "bits"),
    [(b"\x0c", False, 12), (b"\x08", True, 16), (b"\x1c", False, 16), (b"", False, 16)],
)
def test_bits_of_a_camera_are_believed_where_they_can_be(body, damaged, bits):
    values = (DEEP // 32).astype(np.uint16)
    hot = np.random.default_rng(1).integers(2**12, 2**16, (3, 11, 15))
    for number, bright in enumerate(hot):  # many hot ones beside each other
        values[::20, number::20] = bright
    data = png_with(b"sBIT", body, damaged, png(values))
    assert read(data).bits == bits


def test_the_bits_of_transparency_are_not_those_of_the_camera():
    opaque = np.dstack([DEEP, np.full_like(DEEP, 65535)])
    assert significant_bits(png_with(b"sBIT", b"\x0c\x10", False, png(opaque)), 1) == 12


@pytest.mark.parametrize("behind", [False, True])
@pytest.mark.parametrize("damaged", [False, True])
def test_a_png_is_turned_by_what_is_sound_alone(damaged, behind):
    turned = Image.Exif()
    turned[274] = 3
    body = turned.tobytes().removeprefix(b"Exif\0\0")
    data = png_with(b"eXIf", body, damaged)
    if behind:
        part = data[33 : 33 + 12 + len(body)]
        data = data[:33] + data[33 + len(part) : -12] + part + data[-12:]
    assert same(read(data), GREY if damaged else GREY[::-1, ::-1])


def test_an_animation_is_refused():
    stream = io.BytesIO()
    first = Image.fromarray(np.zeros_like(GREY))
    first.save(stream, "PNG", save_all=True, append_images=[Image.fromarray(GREY)], duration=99)
    with pytest.raises(InputError, match="2 frames"):
        read(stream.getvalue())


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (imagecodecs.jpeg_encode(DEEP, level=98, bitspersample=12), "JPEG of 12 bits a sample"),
        (imagecodecs.ljpeg_encode(DEEP, bitspersample=16), "JPEG of 16 bits a sample"),
        (imagecodecs.jpegls_encode(GREY), "JPEG without loss"),
        (b"\xff\xd8\xff\xc0\0", "beginning cannot be read"),
        (b"\xff\xd8\xff\xe0\0\0\xff\xe0\0\0", "beginning cannot be read"),
    ],
)
def test_a_jpeg_that_hardly_any_program_reads_is_no_damaged_one(data, sentence):
    for use in (read, lambda data: read_header(data, "a.tif")):
        with pytest.raises(InputError, match=f"^a.tif is a .*{sentence}"):
            use(data)


def test_a_header_that_claims_a_huge_size_is_said_to_be_too_large():
    data = bytearray(png(GREY))
    data[16:24] = struct.pack(">II", 60000, 60000)
    data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
    with pytest.raises(InputError, match="much larger than the limit of 8000 x 8000"):
        read_header(bytes(data), "a.png")


@pytest.mark.parametrize("claimed", [0, 1, 10**6])
def test_what_a_header_says_of_the_length_of_plain_pixels_does_not_matter(claimed):
    stream = io.BytesIO(tiff(DEEP, metadata=None, rowsperstrip=HEIGHT))
    with tifffile.TiffFile(stream, mode="r+b") as file:
        file.pages.first.tags["StripByteCounts"].overwrite(claimed)
    assert np.array_equal(read(stream.getvalue()).image[..., 0], DEEP)
    with pytest.raises(InputError, match="damaged or incomplete"):
        read(stream.getvalue()[:-100])


def test_a_palette_of_16_bits_keeps_them():
    ramp = np.tile(np.arange(65536, dtype=np.uint16), (3, 1))
    frame = read(tiff(DEEP, photometric="palette", colormap=ramp))
    assert np.array_equal(frame.image[..., 0], DEEP)
    assert frame.bits == 12


@pytest.mark.parametrize("white", [4095, 65535])
def test_a_falling_calibration_of_imagej_is_an_inverted_picture(white):
    data = imagej((white - DEEP).astype(np.uint16), f"images=1\ncf=0\nc0={white}\nc1=-1\n")
    assert np.array_equal(read(data).image[..., 0], DEEP)


@pytest.mark.parametrize(
    ("unit", "per_unit", "size_um"),
    [
        ("inch", 50800, 0.5),
        ("inch", 2400, None),
        ("cm", 944.8819, None),
        ("cm", 20000, 0.5),
        ("micrometers", 2, 0.5),
        ("?m", 2, 0.5),
        ("pixels", 2, None),
    ],
)
def test_units_of_imagej(unit, per_unit, size_um):
    data = imagej(GREY, f"unit={unit}\n", resolution=(per_unit, per_unit), resolutionunit="NONE")
    size = read(data).pixel_size_um
    assert size == (None if size_um is None else pytest.approx(size_um, rel=1e-3))


@pytest.mark.parametrize("unit", ["Âµm", "µm\0", "Å", "in"])
def test_units_that_suffered_on_their_way(unit):
    assert um_per(unit) == {"Å": 1e-4, "in": 25400.0}.get(unit, 1.0)


OME = (
    '<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06"><Image ID="Image:0"><Pixels ID="Pixels:0" '
    f'DimensionOrder="XYZCT" Type="uint8" SizeX="{WIDTH}" SizeY="{HEIGHT}" SizeC="1" SizeZ="1" SizeT="1">'
    '<Channel ID="Channel:0:0" SamplesPerPixel="1"/><TiffData/></Pixels></Image></OME>'
)
ELSEWHERE = '<TiffData><UUID FileName="b.tif">urn:uuid:1</UUID></TiffData>'


@pytest.mark.parametrize(
    "data",
    [
        ome_xml(OME.replace('SizeC="1"', 'SizeC="one"').encode(), GREY),
        ome_xml(OME.replace('SizeT="1"', "").encode(), GREY),
        ome_xml(OME.replace("<TiffData/>", ELSEWHERE).encode(), GREY),
        imagej(GREY, "images=many\nslices=\nspacing=0,5\n"),
        tiff(GREY, description='{"shape": [220, "wide"]}', metadata=None),
        tiff(GREY, description='{"shape": [220', metadata=None),
    ],
    ids=["number", "missing", "set", "imagej", "shape", "cut"],
)  # fmt: skip
def test_a_header_that_contradicts_itself_costs_no_pixels_and_is_said(data):
    frame = read(data)
    assert same(frame)
    assert "contradicts itself" in " ".join(frame.taken.notes)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be"])
def test_an_ome_header_of_two_bytes_a_letter_gives_the_pixel_size(encoding):
    sized = OME.replace("<Channel", '<Channel Name="CTb"', 1)
    sized = sized.replace("SizeC", 'PhysicalSizeX="0.65" PhysicalSizeXUnit="µm" SizeC', 1)
    for text in (sized, '<?xml version="1.0" encoding="UTF-16"?>' + sized):
        frame = read(ome_xml(text.encode(encoding), GREY))
        assert same(frame)
        assert frame.pixel_size_um == 0.65


def test_several_pages_under_such_a_header_must_be_chosen_from():
    stream = io.BytesIO()
    with tifffile.TiffWriter(stream) as writer:
        for number, image in enumerate((GREY, OTHER)):
            description = '{"shape": [2, "high"]}' if number == 0 else None
            writer.write(image, photometric="minisblack", description=description, metadata=None)
    with pytest.raises(InputError, match="2 planes"):
        read(stream.getvalue())
    assert same(read(stream.getvalue(), page=2), OTHER)


def test_thousands_of_pages_are_not_parsed_to_learn_the_size(monkeypatch):
    """A tenth of a millisecond or two each: seconds in which nobody else's header would be read."""
    data = pages(*[np.zeros((32, 32), np.uint8)] * 3000, GREY)
    parsed, init = [], tifffile.TiffPage.__init__

    def counting(self, *args, **options):
        parsed.append(1)
        init(self, *args, **options)

    monkeypatch.setattr(tifffile.TiffPage, "__init__", counting)
    header = read_header(data, "a.tif")
    assert (header.height, header.width) == (32, 32)
    assert len(parsed) < 150
    assert decode_frame(data, "a.tif", Reading(page=3)).height == 32
    assert decode_frame(data, "a.tif", Reading(page=3001)).height == GREY.shape[0]
    with pytest.raises(InputError, match="contains 3001 pages, and page 3002"):
        decode_frame(data, "a.tif", Reading(page=3002))


with tifffile.TiffFile(io.BytesIO(ome(GREY, "YX", PhysicalSizeX=0.5))) as _written:
    SIZED = _written.ome_metadata


@pytest.mark.parametrize(
    ("said", "instead"),
    [
        ('SizeT="1"', 'SizeT="1000000000"'),
        ('SizeZ="1"', 'SizeZ="99999999999999999999"'),
        ('SizeX="300"', 'SizeX="3000000000000"'),
        ("<TiffData", '<TiffData PlaneCount="1000000000" FirstC="0"'),
    ],
)
def test_planes_that_only_a_header_has_cost_neither_time_nor_memory(said, instead):
    header = re.sub(r' PlaneCount="1"| IFD="0"', "", SIZED)
    assert said in header
    data = ome_xml(header.replace(said, instead).encode(), GREY)
    tracemalloc.start()
    frame = read(data)
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert same(frame)
    assert peak_bytes < 50_000_000
    assert len(frame.taken.notes) == 1


@pytest.mark.parametrize("left", [60, len(SIZED) // 2, len(SIZED) - 3])
def test_an_ome_header_that_was_cut_off_is_said(left):
    frame = read(ome_xml(SIZED[:left].encode(), GREY))
    assert same(frame)
    assert "OME header cannot be read" in frame.taken.notes[0]


@pytest.mark.parametrize("picture", [GREY, DEEP, COLOUR])
def test_samples_without_a_word_on_their_meaning_are_light(picture):
    data = bytearray(tiff(picture, metadata=None))
    (start,) = struct.unpack_from("<I", data, 4)
    place = data.index(struct.pack("<HH", 262, 3), start)
    struct.pack_into("<H", data, place, 263)  # Threshholding, which says nothing of it
    assert np.array_equal(read(bytes(data)).image, read(tiff(picture)).image)
