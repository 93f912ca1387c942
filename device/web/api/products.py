"""Pictures and files below /counts/{id}/."""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, get_args

import numpy as np
from apiflask import APIBlueprint
from flask import Response, send_file

from device.counting.records import Frame
from device.drawing.overlay import encode_png, overlay_image
from device.errors import NotFoundError, StorageError
from device.export.pictures import draw_corrected, draw_corrected_overlay
from device.export.stored import (
    FileFormat,
    StoredCount,
    export_file,
    load_count,
    stored_labels,
)
from device.jobs.products import view_jpeg
from device.models.estimate import drawing_mb
from device.sandbox import open_image
from device.store import CountRow, Store
from device.web.api.answers import BINARY, answers
from device.web.api.corrections import preview_outlines
from device.web.current import service
from device.web.inputs import OutlinesQuery

products = APIBlueprint("products", __name__, url_prefix="/api/v1")

_MEDIA = {
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".png": "image/png",
    ".tif": "image/tiff",
    ".tiff": "image/tiff",
    ".csv": "text/csv",
    ".zip": "application/zip",
    ".geojson": "application/geo+json",
    "": "application/octet-stream",
}


_GEOJSON = {
    "type": "object",
    "properties": {"type": {"const": "FeatureCollection"}, "features": {"type": "array"}},
    "required": ["type", "features"],
}


def _find(count_id: str) -> tuple[Store, CountRow]:
    store = service().require_store()
    return store, store.counts.get(count_id)


@contextmanager
def _frame(store: Store, row: CountRow) -> Iterator[Frame]:
    """The stored image, with the memory that a picture of it takes."""
    path = store.counts.original_path(row)
    with (
        open_image(path, row.image, row.settings.reading, request=True) as image,
        image.reserve(drawing_mb(image.header())),
    ):
        yield image.frame()


@products.get("/counts/<count_id>/image")
@answers(products, BINARY, 404, media="*/*")
def image(count_id: str) -> Response:
    """The original image, byte for byte."""
    store, row = _find(count_id)
    path = store.counts.original_path(row)
    return _file(path, download_name=row.image, as_attachment=True)


@products.get("/counts/<count_id>/image.jpg")
@answers(products, BINARY, 400, 404, media="image/jpeg")
def viewable(count_id: str) -> Response:
    """The image as a browser can show it: 8 bits, full size."""
    store, row = _find(count_id)
    if row.status == "done":
        return _file(store.product(count_id, "image.jpg"))
    with _frame(store, row) as frame:
        return Response(view_jpeg(frame), mimetype="image/jpeg")


@products.get("/counts/<count_id>/overlay.jpg")
@answers(products, BINARY, 404, 409, media="image/jpeg")
def overlay_jpg(count_id: str) -> Response:
    """The image with outlines, numbers, the count and the named regions, corrections by hand included."""
    return _send_corrected(count_id, "overlay.jpg")


@products.get("/counts/<count_id>/overlay.png")
@answers(products, BINARY, 400, 404, 409, media="image/png")
def overlay_png(count_id: str) -> Response:
    """The same without compression loss, rendered on request."""
    store, row = _find(count_id)
    count = load_count(store, row)
    with _frame(store, row) as frame:
        picture = _draw_overlay(store, count, frame)
        return Response(encode_png(picture), mimetype="image/png")


@products.get("/counts/<count_id>/outlines.png")
@products.input(OutlinesQuery, location="query", arg_name="query", unknown="raise")
@answers(products, BINARY, 404, 409, 503, media="image/png")
def outlines(count_id: str, query: dict[str, Any]) -> Response:
    """Outlines on a transparent ground; with a threshold or size, those of the preview."""
    corrected = query.pop("corrected")
    if query:
        return preview_outlines(count_id, query)
    return (_send_corrected if corrected else _product)(count_id, "outlines.png")


@products.get("/counts/<count_id>/thumbnail.jpg")
@answers(products, BINARY, 404, 409, media="image/jpeg")
def thumbnail(count_id: str) -> Response:
    """The overlay, at most 320 pixels wide or high."""
    return _send_corrected(count_id, "thumbnail.jpg")


@products.get("/counts/<count_id>/probability.png")
@answers(products, BINARY, 404, 409, media="image/png")
def probability(count_id: str) -> Response:
    """The network's probability map at its working scale; a code stands for code / 256."""
    return _product(count_id, "probability.png")


def _export(name: FileFormat) -> None:
    media = _MEDIA[Path(name).suffix]

    def view(count_id: str) -> Response:
        store, row = _find(count_id)
        data = io.BytesIO(export_file(store, load_count(store, row), name))
        download = f"{Path(row.image).stem or 'count'}.{name}"
        return send_file(data, mimetype=media, as_attachment=True, download_name=download)

    view.__name__ = name.replace(".", "_")
    view.__doc__ = f"{name}, with the corrections by hand."
    schema = _GEOJSON if name == "cells.geojson" else BINARY
    described = answers(products, schema, 404, 409, media=media)(view)
    products.get(f"/counts/<count_id>/{name}")(described)


for _name in get_args(FileFormat):
    _export(_name)


def _send_corrected(count_id: str, name: str) -> Response:
    """A picture with the corrections by hand and the regions; as stored where there are none."""
    store, row = _find(count_id)
    if row.status != "done":
        return _product(count_id, name)  # says so
    count = load_count(store, row)
    if not count.is_changed(name):
        return _product(count_id, name)
    answer = Response(draw_corrected(store, count, name), mimetype=_MEDIA[Path(name).suffix])
    answer.headers["Cache-Control"] = "private, no-cache"
    return answer


def _draw_overlay(store: Store, count: StoredCount, frame: Frame) -> np.ndarray:
    if count.is_changed("overlay.png"):
        return draw_corrected_overlay(store, count, frame)
    return overlay_image(frame, count.result, stored_labels(store, count.row.id))


def _product(count_id: str, name: str) -> Response:
    return _file(service().require_store().product(count_id, name))


def _file(path: Path, **options: Any) -> Response:
    try:
        answer = send_file(path.resolve(), mimetype=_MEDIA.get(path.suffix), max_age=0, **options)
    except FileNotFoundError:
        raise NotFoundError(f"{path.name} no longer exists; reload the page.") from None
    except OSError as error:
        raise StorageError(f"{path} cannot be read ({error.strerror}); see the disk.") from None
    answer.headers["Cache-Control"] = "private, no-cache"
    return answer
