"""Pictures that show what was counted."""

import io

import numpy as np
from PIL import Image

from device.counting.labelling.regions import places_of
from device.counting.records import CountResult, Frame, LabelImage
from device.counting.scale import average_blocks, to_8_bit
from device.drawing.lettering import stamp_texts

OUTLINE_RGB = (0, 255, 170)
IGNORED_RGB = (255, 0, 200)
"""Around what is no picture of the sample; no stain shines in that colour."""
OVERLAY_PX = 24_000_000
"""Of larger frames the overlay shows two by two pixels as one: a browser cannot open an image of 64 million."""
_BAND_ROWS = 512
_BAR_LENGTHS_UM = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000)


def outline_pixels(labels: LabelImage) -> np.ndarray:
    """Flat indices of the cells' own pixels that touch another label or the background."""
    starts = range(0, labels.shape[0], _BAND_ROWS)
    return np.concatenate([_outline_in_band(labels, start) for start in starts])


def _outline_in_band(labels: LabelImage, start: int) -> np.ndarray:
    """Those of _BAND_ROWS rows, so that the indices of all cells never exist at the same time."""
    flat, (height, width) = labels.ravel(), labels.shape
    inside = np.flatnonzero(labels[start : start + _BAND_ROWS] > 0) + start * width
    rows, columns = places_of(inside, width)
    own = flat[inside]
    edge = np.zeros(len(inside), dtype=bool)
    # A pixel at the frame's edge is compared with itself there.
    edge |= flat[inside - width * (rows > 0)] != own
    edge |= flat[inside + width * (rows < height - 1)] != own
    edge |= flat[inside - (columns > 0)] != own
    edge |= flat[inside + (columns < width - 1)] != own
    outline: np.ndarray = inside[edge]
    return outline


def outline_png(labels: LabelImage, edges: np.ndarray | None = None) -> bytes:
    """A transparent picture of the outlines as a palette PNG of one bit: milliseconds, a few kilobytes.

    Args:
        labels: (height, width) integers.
        edges: their `outline_pixels`, if the caller has them already.
    """
    inked = np.zeros(labels.shape, dtype=np.uint8)
    inked.ravel()[outline_pixels(labels) if edges is None else edges] = 1
    picture = Image.frombuffer("P", (labels.shape[1], labels.shape[0]), inked, "raw", "P", 0, 1)
    picture.putpalette((0, 0, 0, *OUTLINE_RGB))
    stream = io.BytesIO()
    picture.save(stream, format="PNG", bits=1, transparency=0, compress_level=1)
    return stream.getvalue()


def overlay_image(
    frame: Frame, result: CountResult, labels: LabelImage, edges: np.ndarray | None = None
) -> np.ndarray:
    """The image with outlines, numbers, the count, and a scale bar if the pixel size is known.

    Args:
        frame: the capture; 16-bit samples are shown at 8 bits.
        result: what was counted.
        labels: (height, width) int32.
        edges: their `outline_pixels`, if the caller has them already.

    Returns:
        (height, width, 3) uint8; of half the size above OVERLAY_PX. Text has a dark halo, so that it shows on any
        image.
    """
    step = 1 if frame.height * frame.width <= OVERLAY_PX else 2
    image = to_8_bit(frame.image, frame.full_scale)
    pixels = np.array(image, order="C") if step == 1 else average_blocks(image, step, step)
    height, width = pixels.shape[:2]
    rows, columns = places_of(outline_pixels(labels) if edges is None else edges, frame.width)
    pixels[np.minimum(rows // step, height - 1), np.minimum(columns // step, width - 1)] = (
        OUTLINE_RGB
    )
    if frame.ignored is not None:
        _outline_ignored(pixels, frame.ignored, step)
    size = max(10, min(height, width) // 60)
    numbers = (
        (min((cell.bbox[2] + 1) // step, width - size), cell.bbox[1] // step, str(cell.id))
        for cell in result.cells
    )
    stamp_texts(pixels, numbers, size)
    stamp_texts(pixels, [(size // 2, size // 2, _headline(result))], 2 * size)
    if result.pixel_size_um is not None:
        _scale_bar(pixels, step * result.pixel_size_um, size)
    return pixels


def _outline_ignored(pixels: np.ndarray, ignored: np.ndarray, step: int) -> None:
    """Draw around what was left out: scale bars, lettering, transparent areas."""
    import scipy

    small = ignored[::step, ::step][: pixels.shape[0], : pixels.shape[1]]
    inner = scipy.ndimage.binary_erosion(small, np.ones((3, 3)), border_value=1)
    pixels[: small.shape[0], : small.shape[1]][small & ~inner] = IGNORED_RGB


def encode_jpeg(pixels: np.ndarray, quality: int = 85) -> bytes:
    """JPEG of (h, w, 3) uint8, for quick viewing."""
    import imagecodecs

    return bytes(imagecodecs.jpeg8_encode(np.ascontiguousarray(pixels), level=quality))


def encode_png(pixels: np.ndarray) -> bytes:
    """PNG of (h, w, 3) uint8, rendered on request only, because it costs more than the network."""
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, format="PNG", compress_level=3)
    return stream.getvalue()


def _headline(result: CountResult) -> str:
    return f"{result.count} {'cell' if result.count == 1 else 'cells'}"


def _scale_bar(pixels: np.ndarray, pixel_size_um: float, text_size_px: int) -> None:
    """A bar of a round length, at most a quarter of the width, at the bottom right."""
    height, width = pixels.shape[:2]
    room_um = width * pixel_size_um / 4
    fitting = [length for length in _BAR_LENGTHS_UM if length <= room_um]
    if not fitting:
        return
    length_px = round(fitting[-1] / pixel_size_um)
    thick = max(3, height // 200)
    right, bottom = width - 4 * thick, height - 4 * thick
    left, top = right - length_px, bottom - thick
    pixels[max(0, top - 2) : bottom + 3, max(0, left - 2) : right + 3] = 0
    pixels[max(0, top) : bottom + 1, max(0, left) : right + 1] = 255
    stamp_texts(pixels, [(left, top - 6 * thick, f"{fitting[-1]} \u00b5m")], text_size_px)
