"""Pictures that justify a count."""

import io

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from device.counting.records import CountResult, Frame, LabelImage
from device.counting.scale import to_8_bit

OUTLINE_RGB = (0, 255, 170)
_HALO_RGB = (0, 0, 0)
_BAR_LENGTHS_UM = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000)


def outline_mask(labels: LabelImage) -> np.ndarray:
    """(height, width) bool: the cells' own pixels that touch another label or the background."""
    edge = np.zeros(labels.shape, dtype=bool)
    rows = labels[1:] != labels[:-1]
    columns = labels[:, 1:] != labels[:, :-1]
    edge[1:] |= rows
    edge[:-1] |= rows
    edge[:, 1:] |= columns
    edge[:, :-1] |= columns
    return edge & (labels > 0)


def outline_png(labels: LabelImage) -> bytes:
    """A transparent picture of the outlines as a palette PNG: milliseconds, a few kilobytes."""
    picture = Image.fromarray(outline_mask(labels).astype(np.uint8), mode="P")
    picture.putpalette([0, 0, 0, *OUTLINE_RGB])
    stream = io.BytesIO()
    picture.save(stream, format="PNG", transparency=0, bits=1, compress_level=1)
    return stream.getvalue()


def overlay_image(frame: Frame, result: CountResult, labels: LabelImage) -> Image.Image:
    """The image with outlines, numbers, the count and a scale bar where the pixel size is known.

    Args:
        frame: the capture; 16-bit samples are shown at 8 bits.
        result: what was counted.
        labels: (height, width) int32.

    Returns:
        RGB picture of the frame's size. Lines and text have a dark halo, so that they show on any image.
    """
    pixels = np.array(to_8_bit(frame.image, frame.bits))
    edge = outline_mask(labels)
    pixels[edge] = OUTLINE_RGB
    picture = Image.fromarray(pixels)
    draw = ImageDraw.Draw(picture)
    size = max(10, min(frame.height, frame.width) // 60)
    number_font = ImageFont.load_default(size)
    for cell in result.cells:
        right, top = cell.bbox[2] + 1, cell.bbox[1]
        _text(draw, (min(right, frame.width - size), top), str(cell.id), number_font)
    _text(draw, (size // 2, size // 2), _headline(result), ImageFont.load_default(2 * size))
    if result.pixel_size_um is not None:
        _scale_bar(draw, frame, result.pixel_size_um, number_font)
    return picture


def encode_jpeg(picture: Image.Image, quality: int = 85) -> bytes:
    """JPEG for a quick look."""
    stream = io.BytesIO()
    picture.save(stream, format="JPEG", quality=quality)
    return stream.getvalue()


def encode_png(picture: Image.Image) -> bytes:
    """PNG, rendered only when asked for: it costs more than the network."""
    stream = io.BytesIO()
    picture.save(stream, format="PNG", compress_level=3)
    return stream.getvalue()


def _headline(result: CountResult) -> str:
    return f"{result.count} {'cell' if result.count == 1 else 'cells'}"


def _text(
    draw: ImageDraw.ImageDraw,
    position: tuple[float, float],
    text: str,
    font: ImageFont.FreeTypeFont | ImageFont.ImageFont,
) -> None:
    draw.text(
        position, text, fill=(255, 255, 255), font=font, stroke_width=2, stroke_fill=_HALO_RGB
    )


def _scale_bar(
    draw: ImageDraw.ImageDraw,
    frame: Frame,
    pixel_size_um: float,
    font: ImageFont.FreeTypeFont | ImageFont.ImageFont,
) -> None:
    """A bar of a round length, at most a quarter of the width, at the bottom right."""
    room_um = frame.width * pixel_size_um / 4
    fitting = [length for length in _BAR_LENGTHS_UM if length <= room_um]
    if not fitting:
        return
    length_px = fitting[-1] / pixel_size_um
    thick = max(3, frame.height // 200)
    right, bottom = frame.width - 4 * thick, frame.height - 4 * thick
    box = (right - length_px, bottom - thick, right, bottom)
    draw.rectangle((box[0] - 2, box[1] - 2, box[2] + 2, box[3] + 2), fill=_HALO_RGB)
    draw.rectangle(box, fill=(255, 255, 255))
    _text(draw, (box[0], box[1] - 6 * thick), f"{fitting[-1]} \u00b5m", font)
