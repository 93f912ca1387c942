"""One count from the stored image to the stored products."""

import time
from collections.abc import Callable

# With the service, not within its first count: a third of a second here, more on a Pi.
import scipy.ndimage  # noqa: F401
from skimage.segmentation import watershed  # noqa: F401

from device.counting.pipeline import count_frame
from device.counting.records import CountResult, Frame
from device.counting.segmenter import Segmenter
from device.errors import NotFoundError
from device.jobs.products import encode_products
from device.machine.clock import Stopwatch
from device.models.estimate import PROGRAM_MB, estimate
from device.sandbox import LIMIT_S, ImageFile, open_image
from device.store import CountRow, Store

_LIMIT_S = 3 * LIMIT_S
"""It was decoded within the limit when it came, perhaps on an idle machine; now it need not hurry."""
_REPORT_EVERY_S = 0.5


class Cancelled(Exception):  # noqa: N818 - not an error: somebody asked for it
    """This count was cancelled."""


class Report:
    """Progress by tile, with the remaining time from the tiles so far; raises Cancelled on request.

    Args:
        store: receives the progress.
        row: the count as it was claimed.
        after_tile: called after each tile; may raise to end the count.
    """

    def __init__(self, store: Store, row: CountRow, after_tile: Callable[[], None]) -> None:
        self._store = store
        self._row = row
        self._after_tile = after_tile
        self._begin_s = time.monotonic()
        self._told_s = 0.0

    def __call__(self, done: int, total: int) -> None:
        """Told after each tile."""
        self._after_tile()
        now_s = time.monotonic()
        if now_s - self._told_s < _REPORT_EVERY_S and done < total:
            return
        self._told_s = now_s
        remaining_s = (now_s - self._begin_s) / done * (total - done) if done else None
        if self._store.queue.report(self._row, done / total, remaining_s):
            raise Cancelled


def run_count(
    store: Store, row: CountRow, segmenter: Segmenter, report: Report
) -> tuple[int, CountResult]:
    """Count one claimed row and store its products.

    Returns:
        The new revision and the result, which are on the disk but not yet in the row.

    Raises:
        InputError: the image or a setting cannot be used.
        NotFoundError: the stored image is gone or damaged.
        OSError: the stored image cannot be read now.
        StorageError: the products cannot be written now.
        Cancelled: the count was cancelled.
    """
    watch = Stopwatch()
    with _open(store, row) as image:
        needed = estimate(image.header(), segmenter.card, row.settings)
        with image.reserve(needed.memory_mb - PROGRAM_MB):
            with watch.stage("read"):
                frame = _read(image, row)
            report(0, 1)
            counted = count_frame(
                frame, segmenter, row.settings, progress=report, stage=watch.stage
            )
            result, products = encode_products(frame, counted, watch)
    revision = row.revision + 1
    store.folders.keep_products(row.id, revision, products)
    return revision, result


def _open(store: Store, row: CountRow) -> ImageFile:
    path = store.counts.original_path(row)
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise NotFoundError(f"The stored image {path} is gone; restore a backup.") from None
    return open_image(data, row.image, row.settings.reading, limit_s=_LIMIT_S)


def _read(image: ImageFile, row: CountRow) -> Frame:
    frame = image.frame()
    if frame.sha256 != row.image_sha256:
        raise NotFoundError(
            f"The stored image of {row.image} is not the accepted image (sha256 "
            f"{frame.sha256[:12]}... instead of {row.image_sha256[:12]}...); restore a backup."
        )
    return frame
