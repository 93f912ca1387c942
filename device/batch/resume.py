"""Continues an interrupted batch: finds the images that were counted with the same settings before."""

from pathlib import Path

import msgspec

from device import __version__
from device.batch.folder import result_file
from device.batch.items import Item
from device.counting.assay import adapt_card
from device.counting.diameter import Diameter
from device.counting.records import DECODE_ERRORS, CountResult, CountSettings, settings_of
from device.counting.segmenter import Segmenter
from device.counting.settings import resolve, set_diameter_px
from device.machine.files import sha256_of
from device.models.auto import card_for


def done_before(
    out_dir: Path, item: Item, settings: CountSettings, segmenter: Segmenter
) -> tuple[CountResult, float] | None:
    """The result of an earlier run into `out_dir` and its time, if counting again would give the same.

    This means the same bytes of the image, the same model and card, the same settings, the same version of
    fluocount, and a complete result file. It is written last, so the other files exist too.

    Args:
        out_dir: of the batch.
        item: the image.
        settings: of this run.
        segmenter: the model of this run.

    Returns:
        The result and the time it was written, in seconds since 1970.

    Raises:
        InputError: a setting outside its range.
    """
    file = result_file(out_dir, item.name)
    try:
        result = msgspec.json.decode(file.read_bytes(), type=CountResult)
        digest = sha256_of(item.path)
    except (OSError, *DECODE_ERRORS):
        return None
    card = adapt_card(card_for(segmenter, result), settings.assay)
    # A diameter that is not set is estimated, from the same image always alike.
    is_open = set_diameter_px(settings, result.pixel_size_um) is None
    estimated = Diameter(*(3 * (result.cell_diameter_px,)))
    resolved = settings_of(resolve(settings, card, result.pixel_size_um, estimated))
    wanted = msgspec.structs.replace(resolved, reading=settings.reading)
    agrees = (
        result.image_sha256 == digest
        and result.model == card.ref
        and result.software == __version__
        and is_open == (result.cell_diameter_from != "set")
        and settings_of(result) == wanted
    )
    return (result, file.stat().st_mtime) if agrees else None
