"""Which picture of a file is counted: page, scene, channel and plane, and what its samples mean."""

import io

import numpy as np
import pytest
import tifffile
from forms import (
    COLOUR,
    DEEP,
    GREY,
    OTHER,
    as_shown,
    few_bits,
    imagej,
    ome,
    ome_xml,
    pages,
    pillow,
    shaped,
    tiff,
)
from PIL import Image

from device.counting.records import Reading
from device.errors import InputError
from device.imageio import decode_frame

SMALL = np.asarray(Image.fromarray(GREY).resize((75, 55), Image.Resampling.BOX))
STACK = np.stack([OTHER, GREY, np.zeros_like(GREY)])


def read(data, **reading):
    return decode_frame(data, "a.tif", Reading(**reading))


def same(frame, expected=GREY):
    return np.array_equal(as_shown(frame)[..., 0], expected) and frame.channels == 1


def refusal(data, **reading):
    with pytest.raises(InputError) as caught:
        read(data, **reading)
    assert "\n" not in str(caught.value)
    return str(caught.value)


class TestPages:
    @pytest.mark.parametrize(
        "data",
        [
            pages((SMALL, {"subfiletype": 1}), GREY),
            pages(GREY, (SMALL, {"subfiletype": 1})),
            pages(SMALL, GREY),
            pages(
                SMALL,
                np.asarray(Image.fromarray(GREY).resize((150, 110), Image.Resampling.BOX)),
                GREY,
            ),
            pages((SMALL, {"compression": "lzw"}), (GREY, {"compression": "zlib"})),
        ],
    )
    def test_smaller_copies_are_not_counted(self, data):
        assert same(read(data))

    def test_a_preview_of_8_bits_is_not_the_data(self):
        frame = read(pages(SMALL, DEEP))
        assert frame.image.dtype == np.uint16
        assert frame.height == GREY.shape[0]

    @pytest.mark.parametrize(
        "data",
        [
            pages(GREY, OTHER),
            pages((GREY, {"compression": "lzw"}), (OTHER, {"compression": "zlib"})),
            pages(OTHER[:100, :90], GREY),
            pages(GREY, (DEEP, {})),
            ome(STACK, "ZYX"),
            ome(STACK, "TYX"),
            imagej(STACK, "images=3\nslices=3\n"),
        ],
    )
    def test_several_pictures_are_refused_with_the_way_out(self, data):
        said = refusal(data)
        assert "planes" in said
        assert "--plane" in said

    def test_a_page_can_be_chosen(self):
        assert same(read(pages(OTHER[:100, :90], GREY), page=2))
        assert same(read(pages(OTHER, GREY), page=2))
        assert "page 3" in refusal(pages(OTHER, GREY), page=3)

    def test_a_stack_that_was_cut_is_incomplete(self):
        stream = io.BytesIO()
        tifffile.imwrite(stream, STACK, imagej=True, truncate=True, metadata={"axes": "ZYX"})
        assert same(read(stream.getvalue(), z=2))
        assert "incomplete" in refusal(stream.getvalue()[:-2000])

    @pytest.mark.parametrize(
        "data",
        [
            imagej(GREY, "images=20\nslices=20\nhyperstack=true\n", compression="lzw"),
            imagej(GREY, "images=20\nslices=20\nhyperstack=true\n"),
            shaped(GREY, [20, *GREY.shape]),
        ],
    )
    def test_a_header_left_over_from_a_stack_does_not_make_one(self, data):
        assert same(read(data))


class TestScenes:
    @staticmethod
    def data():
        stream = io.BytesIO()
        with tifffile.TiffWriter(stream, ome=True) as writer:
            writer.write(OTHER, metadata={"axes": "YX", "Name": "left"})
            writer.write(GREY, metadata={"axes": "YX", "Name": "right"})
        return stream.getvalue()

    def test_scenes_are_refused_by_name(self):
        said = refusal(self.data())
        assert "left" in said
        assert "right" in said
        assert "scene" in said

    def test_a_scene_can_be_chosen(self):
        frame = read(self.data(), scene=2)
        assert same(frame)
        assert frame.taken.plane == "scene 2 of 2"

    def test_there_is_no_third(self):
        assert "scene 3" in refusal(self.data(), scene=3)


class TestPlanes:
    def test_a_plane_by_its_number(self):
        frame = read(ome(STACK, "ZYX"), z=2)
        assert same(frame)
        assert frame.taken.plane == "z 2 of 3"

    def test_projections(self):
        assert same(read(ome(STACK, "ZYX"), project="max"), STACK.max(axis=0))
        assert same(
            read(ome(STACK, "TYX"), project="mean"), np.rint(STACK.mean(axis=0)).astype(np.uint8)
        )
        blurred = np.asarray(Image.fromarray(GREY).resize((30, 22)).resize((300, 220)))
        frame = read(ome(np.stack([blurred, GREY, blurred]), "ZYX"), project="focus")
        assert same(frame)
        assert frame.taken.plane.endswith("sharpest is 2")

    def test_two_axes_need_two_choices(self):
        data = ome(np.stack([STACK, STACK[::-1]]), "TZYX")
        said = refusal(data)
        assert "2 time points" in said
        assert "3 z planes" in said
        assert same(read(data, t=1, z=2))
        assert same(read(data, t=1, project="max"), STACK.max(axis=0))
        assert "z" in refusal(data, t=1)

    def test_a_number_that_does_not_exist(self):
        assert "from 1 to 3" in refusal(ome(STACK, "ZYX"), z=4)
        assert refusal(tiff(GREY), z=2)
        assert same(read(tiff(GREY), z=1))


class TestChannels:
    def test_three_channels_are_no_colours(self):
        said = refusal(ome(STACK, "CYX", Channel={"Name": ["DAPI", "GFP", "Cy5"]}))
        assert "1 DAPI, 2 GFP, 3 Cy5" in said
        assert "--channel" in said
        assert "channels" in refusal(imagej(STACK, "images=3\nchannels=3\nmode=composite\n"))
        assert "channels" in refusal(ome(STACK[:2], "CYX"))

    def test_unless_they_are_called_so(self):
        frame = read(
            ome(np.moveaxis(COLOUR, 2, 0), "CYX", Channel={"Name": ["Red", "Green", "Blue"]})
        )
        assert np.array_equal(frame.image, COLOUR)

    def test_a_channel_by_name_or_number(self):
        data = ome(STACK, "CYX", Channel={"Name": ["DAPI", "GFP", "Cy5"]})
        for channel in ("GFP", "gfp", "2"):
            frame = read(data, channel=channel)
            assert same(frame)
            assert frame.taken.channel == "GFP"
        assert "it has 3 channels" in refusal(data, channel="CTb")

    def test_two_channels_of_one_name_are_chosen_by_number(self):
        data = ome(STACK, "CYX", Channel={"Name": ["DAPI", "CTb", "ctb"]})
        said = refusal(data, channel="CTb")
        assert "2 channels called 'CTb'; choose one by its number (1 DAPI, 2 CTb, 3 ctb)" in said
        assert same(read(data, channel="2"))

    def test_the_one_that_is_the_stain_is_taken_and_said(self):
        frame = read(ome(STACK, "CYX", Channel={"Name": ["DAPI", "CTb", "Cy5"]}))
        assert same(frame)
        assert frame.taken.channel == "CTb"
        assert frame.taken.notes == ("Channel CTb was taken as the stain.",)

    def test_a_stain_by_its_yellow_display(self):
        yellow = -65281 & 0xFFFFFFFF  # 0xFFFF00FF
        colours = [0x0000FFFF, yellow - 2**32, 0x00FF00FF]
        frame = read(ome(STACK, "CYX", Channel={"Name": ["a", "b", "c"], "Color": colours}))
        assert frame.taken.channel == "b"

    def test_channels_of_a_stack(self):
        data = ome(np.stack([STACK, STACK[::-1]]), "CZYX", Channel={"Name": ["DAPI", "GFP"]})
        assert same(read(data, channel="DAPI", z=2))
        assert "z planes" in refusal(data, channel="DAPI")

    def test_one_colour_of_a_photograph(self):
        frame = read(pillow(COLOUR, "PNG"), channel="green")
        assert same(frame, COLOUR[..., 1])
        assert same(read(tiff(COLOUR), channel="2"), COLOUR[..., 1])
        assert "red, green or blue" in refusal(tiff(COLOUR), channel="CTb")
        assert "1 channel" in refusal(tiff(GREY), channel="CTb")

    def test_samples_that_are_neither_colour_nor_alpha(self):
        four = np.dstack([COLOUR, OTHER])
        assert "4 channels" in refusal(tiff(four, photometric="rgb", extrasamples=["unspecified"]))
        opaque = np.dstack([COLOUR, np.full_like(GREY, 255)])
        frame = read(tiff(opaque, photometric="rgb", extrasamples=["unspecified"]))
        assert np.array_equal(frame.image, COLOUR)
        two = np.dstack([GREY, OTHER])
        assert "2 channels" in refusal(tiff(two, photometric="minisblack", planarconfig="contig"))

    def test_one_file_of_a_set_holds_one_plane(self):
        xml = (
            '<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" UUID="urn:uuid:1"><Image ID="Image:0">'
            '<Pixels ID="Pixels:0" DimensionOrder="XYCZT" Type="uint8" SizeX="300" SizeY="220" SizeC="2" SizeZ="1" '
            'SizeT="1"><Channel ID="Channel:0:0" Name="DAPI"/><Channel ID="Channel:0:1" Name="GFP"/>'
            '<TiffData FirstC="0" IFD="0" PlaneCount="1"><UUID FileName="c0.ome.tif">urn:uuid:0</UUID></TiffData>'
            '<TiffData FirstC="1" IFD="0" PlaneCount="1"><UUID FileName="c1.ome.tif">urn:uuid:1</UUID></TiffData>'
            "</Pixels></Image></OME>"
        )
        frame = read(ome_xml(xml.encode(), GREY))
        assert same(frame)
        assert frame.taken.channel == "GFP"
        assert "another" in refusal(ome_xml(xml.encode(), GREY), channel="DAPI")


RAMP = np.arange(256, dtype=np.uint16) * np.ones((3, 1), np.uint16)
RED = RAMP * np.array([[257], [0], [0]], np.uint16)


class TestSamples:
    @pytest.mark.parametrize(
        "data",
        [
            tiff(GREY, compression="lzw", predictor=True),
            tiff(GREY, tile=(64, 64), compression="zstd"),
            tiff(GREY, byteorder=">", bigtiff=True),
            tiff(255 - GREY, photometric="miniswhite"),
            tiff(GREY.astype(np.uint16) * 257, byteorder=">"),
            tiff(np.stack([GREY] * 3), planarconfig="separate", photometric="rgb"),
            tiff(GREY, photometric="palette", colormap=RAMP * 257),
            tiff(GREY, photometric="palette", colormap=RAMP),
            imagej(GREY, "", photometric="palette", colormap=RED),
            pillow(GREY, "PNG"),
            pillow(GREY, "TIFF"),
        ],
        ids=range(11),
    )  # fmt: skip
    def test_the_same_picture_in_every_form(self, data):
        assert np.array_equal(as_shown(read(data))[..., 0], GREY)

    @pytest.mark.parametrize("bits", [2, 4])
    @pytest.mark.parametrize("white_is_zero", [False, True])
    def test_two_and_four_bits_fill_the_range(self, bits, white_is_zero):
        most = 2**bits - 1
        coarse = GREY >> (8 - bits)
        frame = read(few_bits(most - coarse if white_is_zero else coarse, bits, white_is_zero))
        assert np.array_equal(frame.image[..., 0], coarse * (255 // most))

    def test_ink_is_not_light(self):
        cmyk = np.dstack([255 - COLOUR, np.zeros_like(GREY)])
        frame = read(tiff(cmyk, photometric="separated"))
        assert np.abs(frame.image.astype(int) - COLOUR).max() <= 1

    def test_what_is_no_light_is_refused(self):
        for data in (
            tiff(COLOUR, photometric="cielab"),
            tiff(GREY.astype(np.float32)),
            tiff(GREY.astype(np.int16)),
        ):
            assert "expected" in refusal(data)

    def test_transparent_areas_are_left_out(self):
        alpha = np.full_like(GREY, 255)
        alpha[:, 160:] = 0
        for data in (
            pillow(np.dstack([COLOUR, alpha]), "PNG"),
            tiff(np.dstack([COLOUR, alpha]), photometric="rgb", extrasamples=["unassalpha"]),
        ):
            frame = read(data)
            assert frame.taken.ignored_for == ("transparent",)
            assert frame.taken.ignored_px == 220 * 140
            assert frame.ignored[:, 160:].all()

    def test_tiles_that_are_not_stored_are_black_and_said(self):
        stream = io.BytesIO(tiff(GREY, tile=(64, 64), compression="zlib"))
        with tifffile.TiffFile(stream) as file:
            tags = file.pages[0].tags
            for name in ("TileOffsets", "TileByteCounts"):
                values = list(tags[name].value)
                values[2] = 0
                tags[name].overwrite(values)
        frame = read(stream.getvalue())
        assert frame.taken.ignored_for == ("missing",)
        assert not frame.image[:64, 128:192].any()


@pytest.mark.parametrize(
    "xml",
    [
        b'<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06"><Image Name="A & B"></OME>',
        b'<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06"><Image Name="\x02"/></OME>',
        b'<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06"><Image><Pixels SizeX="3',
    ],
)
def test_pixels_are_read_when_their_header_cannot_be(xml):
    frame = read(ome_xml(xml, GREY))
    assert same(frame)
    assert frame.pixel_size_um is None


@pytest.mark.parametrize("number", ["0,5", "", "nan", "-1", "half"])
def test_odd_numbers_in_a_header_are_unknown_or_understood(number):
    data = ome(GREY, "YX", PhysicalSizeX=0.5, PhysicalSizeY=0.5)
    data = data.replace(
        b'PhysicalSizeX="0.5"', f'PhysicalSizeX="{number:3.3}"'.encode().ljust(19, b" ")
    )
    frame = read(data)
    assert same(frame)
    assert frame.pixel_size_um in (None, 0.5)


MICRON = {"description": "ImageJ=1.53t\nunit=micron\n", "metadata": None}


@pytest.mark.parametrize(
    ("options", "size_um", "aspect"),
    [
        ({"resolution": (1200, 1200), "resolutionunit": "INCH"}, None, 1),
        ({"resolution": (4800, 4800), "resolutionunit": "INCH"}, None, 1),
        ({"resolution": (472.44, 472.44), "resolutionunit": "CENTIMETER"}, None, 1),
        ({"resolution": (20000, 10000), "resolutionunit": "CENTIMETER"}, 0.5**0.5, 2),
        ({"ome": True, "metadata": {"axes": "YX", "PhysicalSizeX": 0.5, "PhysicalSizeY": 1.0}}, 0.5**0.5, 2),
        ({**MICRON, "resolution": (20000, 20000), "resolutionunit": "CENTIMETER"}, 0.5, 1),
        ({**MICRON, "resolution": (2, 2)}, 0.5, 1),
    ],
)  # fmt: skip
def test_pixel_sizes(options, size_um, aspect):
    frame = read(tiff(GREY, **options))
    assert frame.pixel_size_um == (None if size_um is None else pytest.approx(size_um, rel=1e-3))
    assert frame.taken.pixel_aspect == pytest.approx(aspect, rel=1e-3)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_photograph_stands_upright(orientation):
    picture = Image.fromarray(COLOUR)
    exif = Image.Exif()
    exif[0x0112] = orientation
    stream = io.BytesIO()
    picture.save(stream, "PNG", exif=exif)
    from PIL import ImageOps

    upright = np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(stream.getvalue()))))
    assert np.array_equal(read(stream.getvalue()).image, upright)


@pytest.mark.parametrize("image", [GREY, DEEP])
def test_one_table_of_imagej_for_display_changes_no_sample(image):
    table = np.stack([np.arange(256), np.arange(256) // 2, np.zeros(256)]).astype(np.uint8)
    stream = io.BytesIO()
    tifffile.imwrite(stream, image, imagej=True, metadata={"LUTs": [table], "Labels": ["a"]})
    frame = decode_frame(stream.getvalue(), "a.tif")
    assert (frame.image[..., 0] == image).all()
