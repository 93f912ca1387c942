"""The files of one counted image in the store (device.store.results.PRODUCTS)."""

import io

import msgspec
import numpy as np
from PIL import Image

from device.counting.records import Counted, CountResult, Frame, to_json
from device.counting.scale import to_8_bit
from device.drawing.overlay import encode_jpeg, outline_pixels, outline_png, overlay_image
from device.export.maps import decode_probability as decode_probability
from device.export.ometiff import labels_ome_tiff
from device.machine.clock import Stopwatch
from device.machine.provenance import software_versions

THUMBNAIL_PX = 320


def encode_products(
    frame: Frame, counted: Counted, watch: Stopwatch
) -> tuple[CountResult, dict[str, bytes]]:
    """Encode all products; the result gets the seconds measured so far.

    Returns:
        The result as it is stored, and file contents by name.
    """
    with watch.stage("write"):
        edges = outline_pixels(counted.labels)
        overlay = overlay_image(frame, counted.result, counted.labels, edges)
        products = {
            "probability.png": _png(Image.fromarray(counted.probability)),
            "labels.tiff": labels_ome_tiff(counted.labels, counted.result.pixel_size_um),
            "outlines.png": outline_png(counted.labels, edges),
            "overlay.jpg": encode_jpeg(overlay),
            "image.jpg": view_jpeg(frame),
        }
        products["thumbnail.jpg"] = _thumbnail(overlay)
    result = msgspec.structs.replace(
        counted.result, seconds=watch.seconds(), versions=software_versions()
    )
    return result, products | {"result.json": to_json(result)}


def view_jpeg(frame: Frame) -> bytes:
    """The image as a browser can show it: 8 bits, full size."""
    return encode_jpeg(to_8_bit(frame.image, frame.full_scale), quality=92)


def _thumbnail(overlay: np.ndarray) -> bytes:
    """The overlay, at most THUMBNAIL_PX wide and high."""
    picture = Image.fromarray(overlay)
    picture.thumbnail((THUMBNAIL_PX, THUMBNAIL_PX))
    return encode_jpeg(np.asarray(picture))


def _png(picture: Image.Image) -> bytes:
    stream = io.BytesIO()
    picture.save(stream, format="PNG", compress_level=1)
    return stream.getvalue()
