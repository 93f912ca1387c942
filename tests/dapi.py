"""DAPI-like frames with exact places: sharp nuclei that a person counts, blurred ones of another plane that do not."""

import io
from dataclasses import dataclass

import numpy as np
import tifffile
from PIL import Image
from scipy import ndimage

NUCLEUS_PX = 22.0


@dataclass(frozen=True)
class Dapi:
    """A frame (height, width) uint8, the (x, y) of the nuclei that count, and of those that do not."""

    image: np.ndarray
    nuclei: list[tuple[float, float]]
    blurred: list[tuple[float, float]]

    @property
    def png(self) -> bytes:
        """As a grey PNG."""
        stream = io.BytesIO()
        Image.fromarray(self.image).save(stream, "PNG")
        return stream.getvalue()

    @property
    def ome_tiff(self) -> bytes:
        """As the second of two channels, with their names, as microscopes write them."""
        other = np.roll(self.image[::-1], 40, axis=1) // 2
        stream = io.BytesIO()
        metadata = {"axes": "CYX", "Channel": {"Name": ["FITC", "DAPI"]}}
        planes = np.stack([other, self.image])
        tifffile.imwrite(stream, planes, ome=True, photometric="minisblack", metadata=metadata)
        return stream.getvalue()


def dapi_frame(seed: int, nuclei: int = 12, blurred: int = 9, level: float = 0.45) -> Dapi:
    """240 x 320 pixels; `level`: brightness of the blurred nuclei relative to the sharp ones."""
    random = np.random.default_rng(seed)
    height, width = 240, 320
    places = _places(random, nuclei + blurred, height, width)
    sharp, soft = np.zeros((height, width)), np.zeros((height, width))
    for number, (x, y) in enumerate(places):
        shape = _ellipse(random, x, y, height, width)
        if number < nuclei:
            sharp += shape * random.uniform(120, 190)
        else:
            soft += shape * level * random.uniform(120, 190)
    texture = ndimage.gaussian_filter(random.normal(0, 1, (height, width)), 1.5)
    sharp *= 1 + 0.5 * texture
    image = 12 + ndimage.gaussian_filter(sharp, 0.9) + ndimage.gaussian_filter(soft, 3.0)
    image += random.normal(0, 2.0, image.shape)
    pixels = np.clip(image, 0, 255).astype(np.uint8)
    return Dapi(pixels, places[:nuclei], places[nuclei:])


def _places(random, number, height, width):
    """Centres at least a nucleus and a half apart."""
    places: list[tuple[float, float]] = []
    while len(places) < number:
        x, y = random.uniform(14, width - 14), random.uniform(14, height - 14)
        if all(np.hypot(x - a, y - b) > 1.4 * NUCLEUS_PX for a, b in places):
            places.append((float(x), float(y)))
    return places


def _ellipse(random, x, y, height, width):
    rows, columns = np.mgrid[:height, :width]
    angle, long = random.uniform(0, np.pi), NUCLEUS_PX / 2 * random.uniform(0.95, 1.2)
    short = long * random.uniform(0.75, 0.95)
    along = (columns - x) * np.cos(angle) + (rows - y) * np.sin(angle)
    across = (rows - y) * np.cos(angle) - (columns - x) * np.sin(angle)
    return ((along / long) ** 2 + (across / short) ** 2 <= 1).astype(float)
