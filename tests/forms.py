"""Files as people have them, made from one synthetic picture."""

import io
import json
import struct
import tempfile
import zlib
from pathlib import Path

import imagecodecs
import numpy as np
import tifffile
from PIL import Image

from device.counting.scale import to_8_bit
from device.synthetic import SyntheticSettings, make_frame

SETTINGS = SyntheticSettings(width_px=300, height_px=220, cells=4, faint_cells=2, filaments=2)
_MADE = make_frame(3, SETTINGS)
COLOUR = _MADE.frame.image
"""(220, 300, 3) uint8, four cells."""
GREY = np.ascontiguousarray(COLOUR.max(axis=2))
DEEP = GREY.astype(np.uint16) * 16 + np.random.default_rng(0).integers(0, 16, GREY.shape, np.uint16)
"""12 bits that no whole number divides."""
OTHER = np.ascontiguousarray(np.rot90(GREY, 2))


def tiff(array, **options) -> bytes:
    stream = io.BytesIO()
    tifffile.imwrite(stream, array, **{"photometric": _usual(array), **options})
    return stream.getvalue()


def _usual(array) -> str:
    return "rgb" if array.ndim >= 3 and array.shape[-1] == 3 else "minisblack"


def pages(*arrays, **options) -> bytes:
    """Each array a page of its own; `options` for all, or (array, options)."""
    stream = io.BytesIO()
    with tifffile.TiffWriter(stream) as writer:
        for each in arrays:
            array, own = each if isinstance(each, tuple) else (each, {})
            writer.write(
                array, **{"photometric": _usual(array), "metadata": None, **options, **own}
            )
    return stream.getvalue()


def ome(array, axes, **metadata) -> bytes:
    return tiff(array, ome=True, metadata={"axes": axes, **metadata})


def ome_xml(xml: bytes, array) -> bytes:
    """A TIFF with any text as its OME header."""
    stream = io.BytesIO()
    tifffile.imwrite(stream, array, photometric="minisblack", description=xml, metadata=None)
    return stream.getvalue()


def png(array) -> bytes:
    return imagecodecs.png_encode(array)


def pillow(array, kind, mode=None, **options) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(array, mode).save(stream, kind, **options)
    return stream.getvalue()


def as_shown(frame) -> np.ndarray:
    """(height, width, 3) uint8: what the network gets at scale 1."""
    return to_8_bit(frame.image, frame.full_scale)


def imagej(array, description: str, **options) -> bytes:
    return tiff(array, description=f"ImageJ=1.53t\n{description}", metadata=None, **options)


def shaped(array, shape) -> bytes:
    """One page whose header describes a stack."""
    return tiff(array, description=json.dumps({"shape": shape}), metadata=None)


def packed_12_bit(array) -> bytes:
    """A MinIsWhite TIFF of 12 bits a sample, as scanners write it."""
    return few_bits(4095 - array, 12, white_is_zero=True)


def few_bits(array, bits: int, white_is_zero: bool) -> bytes:
    """An uncompressed grey TIFF whose samples do not fill bytes; `array` as it is stored."""
    height, width = array.shape
    wide = array.astype(">u2").view(np.uint8).reshape(height, width, 2)
    stored = np.unpackbits(wide, axis=2)[:, :, 16 - bits :].reshape(height, -1)
    data = np.packbits(stored, axis=1).tobytes()
    tags = [
        (256, 4, width), (257, 4, height), (258, 3, bits), (259, 3, 1), (262, 3, int(not white_is_zero)),
        (273, 4, 0), (277, 3, 1), (278, 4, height), (279, 4, len(data)),
    ]  # fmt: skip
    start = 8 + 2 + 12 * len(tags) + 4
    entries = b"".join(
        struct.pack("<HHII", tag, kind, 1, start if tag == 273 else value)
        for tag, kind, value in tags
    )
    return b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + struct.pack("<I", 0) + data


def small_czi(stack, compression: str = "uncompressed:") -> bytes:
    """A Zeiss file of two channels, DAPI and GFP, with the planes of a stack turned on by one in the second."""
    from pylibCZIrw import czi

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.czi"
        with czi.create_czi(str(path), compression_options=compression) as document:
            for channel in range(2):
                for z in range(len(stack)):
                    plane = stack[(channel + z) % len(stack)][..., None]
                    document.write(data=plane, plane={"C": channel, "Z": z, "T": 0})
            document.write_metadata(
                "a", channel_names={0: "DAPI", 1: "GFP"}, scale_x=0.5e-6, scale_y=0.5e-6
            )
        return path.read_bytes()


def lif(planes, names) -> bytes:
    """A Leica file of one image with several channels."""
    count, (height, width) = len(planes), planes[0].shape
    size = 2 * height * width
    channels = "".join(_lif_channel(index * size, name) for index, name in enumerate(names))
    xml = (
        '<LMSDataContainerHeader Version="2"><Element Name="a" Visibility="1" UniqueID="1"><Data/>'
        '<Memory Size="0" MemoryBlockID="MemBlock_1"/><Children>'
        '<Element Name="Series1" Visibility="1" UniqueID="2"><Data><Image TextDescription="">'
        f"<ImageDescription><Channels>{channels}</Channels><Dimensions>"
        f"{_lif_axis(1, width, 2)}{_lif_axis(2, height, 2 * width)}</Dimensions></ImageDescription>"
        f'</Image></Data><Memory Size="{count * size}" MemoryBlockID="MemBlock_2"/>'
        "</Element></Children></Element></LMSDataContainerHeader>"
    ).encode("utf-16-le")
    pixels = b"".join(plane.astype("<u2").tobytes() for plane in planes)
    text = b"\x2a" + struct.pack("<I", len(xml) // 2) + xml
    head = struct.pack("<II", 0x70, len(text)) + text
    return head + _lif_block("MemBlock_1", b"") + _lif_block("MemBlock_2", pixels)


def _lif_channel(offset: int, name: str) -> str:
    return (
        f'<ChannelDescription DataType="0" ChannelTag="0" Resolution="12" LUTName="{name}" Unit="" '
        'NameOfMeasuredQuantity="" Min="0" Max="4095" IsLUTInverted="0" '
        f'BytesInc="{offset}" BitInc="0"/>'
    )


def _lif_axis(number: int, size: int, step: int) -> str:
    return (
        f'<DimensionDescription DimID="{number}" NumberOfElements="{size}" Origin="0" Unit="m" '
        f'Length="{0.5e-6 * (size - 1)}" BitInc="0" BytesInc="{step}"/>'
    )


def _lif_block(name: str, content: bytes) -> bytes:
    head = struct.pack("<cQcI", b"\x2a", len(content), b"\x2a", len(name))
    head += name.encode("utf-16-le")
    return struct.pack("<II", 0x70, len(head)) + head + content


def interlaced(samples) -> bytes:
    """A PNG in seven passes."""
    passes = (
        (0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1),
    )  # fmt: skip
    kind = ">u2" if samples.dtype == np.uint16 else "u1"
    rows = b"".join(
        b"\0" + row.astype(kind).tobytes()
        for top, left, down, right in passes
        for row in samples[top::down, left::right]
        if row.size
    )
    height, width = samples.shape[:2]
    depth, colour = 8 * samples.itemsize, 2 if samples.ndim == 3 else 0
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 1)
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        for name, body in ((b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    )


def hidden_behind(preview, image) -> bytes:
    """A TIFF whose first page is a preview, and the image stands behind it."""
    stream = io.BytesIO()
    with tifffile.TiffWriter(stream) as writer:
        options = {"photometric": "minisblack", "metadata": None}
        writer.write(preview, subifds=1, subfiletype=1, **options)
        writer.write(image, **options)
    return stream.getvalue()


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


def olympus(stack, dyes) -> bytes:
    """An OIB of 12 bits, 0.5 micrometres a pixel.

    Args:
        stack: (channels, planes, height, width) uint16.
        dyes: of each channel.
    """
    channels, planes, height, width = stack.shape
    sizes = {"X": width, "Y": height, "C": channels, "Z": planes, "T": 1, "A": 0, "L": 0, "P": 0}
    axes = "".join(
        f'[Axis {number} Parameters Common]\r\nAxisCode="{axis}"\r\nMaxSize={size}\r\n'
        for number, (axis, size) in enumerate(sizes.items())
    )
    dye = "".join(
        f'[Channel {number} Parameters]\r\nDyeName="{name}"\r\n'
        for number, name in enumerate(dyes, start=1)
    )
    main = (
        f'[Axis Parameter Common]\r\nAxisOrder="XYCZ"\r\n{axes}{dye}[Reference Image Parameter]\r\n'
        "ValidBitCounts=12\r\nWidthConvertValue=0.5\r\nHeightConvertValue=0.5\r\n"
    )
    names, streams = ["a.oif"], [main.encode()]
    for channel, plane in np.ndindex(channels, planes):
        names.append(f"Storage00001/a_C{channel + 1:03}Z{plane + 1:03}.tif")
        streams.append(tiff(stack[channel, plane], metadata=None))
    listed = "".join(f"Stream{number:05}={name}\r\n" for number, name in enumerate(names))
    info = f"[OibSaveInfo]\r\nName=a\r\nMainFileName=Stream00000\r\n{listed}"
    contents = {f"Stream{number:05}": stream for number, stream in enumerate(streams)}
    return _compound(contents | {"OibInfo.txt": info.encode()})


def _compound(streams: dict[str, bytes]) -> bytes:
    """A compound document (Microsoft) with some streams in its root."""
    end, free, sector = 0xFFFFFFFE, 0xFFFFFFFF, 512
    table, body, starts = [], b"", []
    for content in streams.values():
        count = -(-len(content) // sector)
        starts.append(len(table))
        table += [*range(len(table) + 1, len(table) + count), end]
        body += content.ljust(count * sector, b"\0")
    entries = _entry("Root Entry", 5, (free, free, 1), end, 0)
    for number, (name, content) in enumerate(streams.items(), start=1):
        following = number + 1 if number < len(streams) else free
        entries += _entry(name, 2, (free, following, free), starts[number - 1], len(content))
    directory, count = len(table), -(-len(entries) // sector)
    table += [*range(directory + 1, directory + count), end]
    body += entries.ljust(count * sector, b"\0")
    tables = -(-len(table) // (sector // 4 - 1))
    first = len(table)
    table += [0xFFFFFFFD] * tables
    table += [free] * (tables * sector // 4 - len(table))
    places = [*range(first, first + tables), *[free] * (109 - tables)]
    head = struct.pack(
        "<8s16sHHHHHHIIIIIIIIII", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", b"", 0x3E, 3, 0xFFFE, 9, 6, 0, 0,
        0, tables, directory, 0, 0, end, 0, end, 0,
    )  # fmt: skip
    return head + struct.pack("<109I", *places) + body + struct.pack(f"<{len(table)}I", *table)


def _entry(name: str, kind: int, beside: tuple[int, int, int], start: int, size: int) -> bytes:
    text = name.encode("utf-16-le") + b"\0\0"
    return struct.pack(
        "<64sHBB3I16sIQQIQ", text, len(text), kind, 1, *beside, b"", 0, 0, 0, start, size
    )
