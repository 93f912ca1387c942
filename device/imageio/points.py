"""Points that a person set in another program: ImageJ and Fiji, Cell Counter, QuPath, a table.

All are given as pixels of the image with (0, 0) at the centre of its top-left pixel, as everywhere in fluocount.
ImageJ and QuPath put (0, 0) at the corner of the image; half a pixel is taken off there.
"""

import csv
import io
import math
import zipfile
from collections.abc import Iterator
from typing import Any
from xml.etree import ElementTree

import msgspec
import numpy as np

from device.errors import InputError

Point = tuple[float, float]

MAX_FILE_BYTES = 10_000_000
MAX_POINTS = 100_000
MAX_ROIS = 20_000
_FORMATS = (
    "expected ImageJ points (.roi or a .zip of them), a Cell Counter file (.xml), QuPath points (.geojson) or a table "
    "with the columns x and y (.csv)"
)
_POINT = 10
"""The type of a point or multi-point in an ImageJ ROI file."""
_COLUMNS = {"x_px": "y_px", "x": "y"}
REGION_CLASS = "Region"
"""In GeoJSON, the class of a region that a person drew: it is no cell."""
REGION_ROI = "region "
"""How the name of such a region begins in ImageJ."""


def read_points(data: bytes, name: str) -> tuple[Point, ...]:
    """The points of a file, recognised by its content.

    Args:
        data: of the file.
        name: of the file, for the sentence.

    Returns:
        (x, y) of each; outlines stand for their centre.

    Raises:
        InputError: the file holds no points, or is none of the known kinds.
    """
    if len(data) > MAX_FILE_BYTES:
        raise InputError(f"{name} is too large for a file of points; {_FORMATS}.")
    try:
        points = tuple(_points(data))
    except InputError as error:
        raise InputError(f"{name}: {error}") from None
    except Exception as error:  # noqa: BLE001 - parsers raise what they like for damaged files
        raise InputError(f"{name} cannot be read ({error}); {_FORMATS}.") from None
    if not points:
        raise InputError(f"{name} contains no points; {_FORMATS}.")
    if len(points) > MAX_POINTS:
        raise InputError(f"{name} contains {len(points)} points; at most {MAX_POINTS} are read.")
    if not all(math.isfinite(x) and math.isfinite(y) for x, y in points):
        raise InputError(f"{name} contains a point without a place; check the columns x and y.")
    return points


def _points(data: bytes) -> Iterator[Point]:
    start = data.lstrip(b"\xef\xbb\xbf \r\n\t")[:1]
    if data[:4] == b"Iout":
        return _of_roi(data)
    if data[:2] == b"PK":
        return _of_zip(data)
    if start == b"<":
        return _of_cell_counter(data)
    if start in (b"{", b"["):
        return _of_geojson(msgspec.json.decode(data.lstrip(b"\xef\xbb\xbf")))
    return _of_table(data.decode("utf-8-sig"))


def _of_roi(data: bytes) -> Iterator[Point]:
    from roifile import ImagejRoi

    roi = ImagejRoi.frombytes(data)
    if int(roi.roitype) == _POINT:
        # Whole numbers name a pixel; fractions are measured from its corner, half a pixel from its centre.
        shift = 0.5 if roi.subpixelresolution else 0.0
        for x, y in np.asarray(roi.coordinates()).tolist():
            yield x - shift, y - shift
    elif not (roi.name or "").startswith(REGION_ROI):
        yield (roi.left + roi.right - 1) / 2, (roi.top + roi.bottom - 1) / 2


def _of_zip(data: bytes) -> Iterator[Point]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        entries = [entry for entry in archive.infolist() if entry.filename.endswith(".roi")]
        if len(entries) > MAX_ROIS or sum(entry.file_size for entry in entries) > MAX_FILE_BYTES:
            raise InputError("The archive of ROIs is too large; save fewer at once.")
        for entry in entries:
            yield from _of_roi(archive.read(entry))


def _of_cell_counter(data: bytes) -> Iterator[Point]:
    if b"<!" in data:  # a declaration could make a small file enormous; Cell Counter writes none
        raise InputError(
            "This XML has declarations that Cell Counter never writes; save the markers again."
        )
    for marker in ElementTree.fromstring(data).iter("Marker"):
        x, y = marker.findtext("MarkerX"), marker.findtext("MarkerY")
        if x is not None and y is not None:
            yield float(x), float(y)


def _of_geojson(value: Any) -> Iterator[Point]:
    if isinstance(value, list):
        for one in value:
            yield from _of_geojson(one)
        return
    kind = value["type"]
    if kind == "FeatureCollection":
        yield from _of_geojson(value["features"])
    elif kind == "Feature" and not _is_region(value):
        yield from _of_geojson(value["geometry"])
    elif kind == "GeometryCollection":
        yield from _of_geojson(value["geometries"])
    elif kind == "Point":
        yield _from_corner(value["coordinates"])
    elif kind == "MultiPoint":
        yield from (_from_corner(place) for place in value["coordinates"])
    elif kind == "Polygon":
        yield _middle(value["coordinates"][0])
    elif kind == "MultiPolygon":
        yield _middle(max((rings[0] for rings in value["coordinates"]), key=len))


def _is_region(feature: dict[str, Any]) -> bool:
    classified = (feature.get("properties") or {}).get("classification") or {}
    return isinstance(classified, dict) and classified.get("name") == REGION_CLASS


def _from_corner(place: list[float]) -> Point:
    return float(place[0]) - 0.5, float(place[1]) - 0.5


def _middle(ring: list[list[float]]) -> Point:
    """Centre of the box around an outline."""
    xs, ys = [place[0] for place in ring], [place[1] for place in ring]
    return _from_corner([(min(xs) + max(xs)) / 2, (min(ys) + max(ys)) / 2])


def _of_table(text: str) -> Iterator[Point]:
    """Columns x and y (or x_px and y_px) in pixels; comma, semicolon or tab between them."""
    first = text.split("\n", 1)[0]
    delimiter = max(",;\t", key=first.count)
    table = csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter)
    names = {name.strip().lower(): name for name in table.fieldnames or ()}
    for x, y in _COLUMNS.items():
        if x in names and y in names:
            for row in table:
                yield _number(row[names[x]]), _number(row[names[y]])
            return
    raise InputError(f"The table has no columns x and y in pixels; {_FORMATS}.")


def _number(text: str) -> float:
    """With a decimal point, or the comma of a table whose columns are parted otherwise."""
    return float(text.strip().replace(",", "."))
