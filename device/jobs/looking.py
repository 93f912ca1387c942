"""An image before it is counted: its picture, and how large its cells are taken to be."""

import msgspec

from device.counting.assay import adapt_card
from device.counting.card import ModelCard
from device.counting.readings import size_up
from device.counting.records import (
    CountSettings,
    DiameterFrom,
    Frame,
    Taken,
    with_pixel_size,
)
from device.counting.settings import resolve, set_diameter_px
from device.errors import InputError
from device.jobs.intake import CountOptions, Intake
from device.jobs.products import view_jpeg
from device.models.estimate import drawing_mb
from device.sandbox import open_image


class Look(msgspec.Struct, frozen=True, kw_only=True):
    """What would be counted with the settings that were sent; nothing is kept.

    Attributes:
        width, height: of the image.
        pixel_size_um, pixel_size_from: as of CountResult and Taken.
        channel, plane: as of Taken.
        cell_diameter_px, cell_diameter_from, cell_diameter_range_px: as of CountResult; an estimate of the first look,
            which the count may still refine.
        notes: sentences about what was chosen without being asked for.
        missing: why the set diameter cannot be used, empty if it can; nothing is missing once a person draws a size.
        picture: JPEG of the full size.
    """

    width: int
    height: int
    pixel_size_um: float | None
    pixel_size_from: str
    channel: str
    plane: str
    cell_diameter_px: float
    cell_diameter_from: DiameterFrom
    cell_diameter_range_px: tuple[float, float] | None
    notes: tuple[str, ...]
    missing: str
    picture: bytes


def look_at(data: bytes, name: str, options: CountOptions, intake: Intake) -> Look:
    """Read an image as it would be counted, and size up its cells.

    Args:
        data: the file's bytes.
        name: its name, for sentences.
        options: what the sender chose; sample, notes and owner do not matter.
        intake: knows the models and the assays.

    Raises:
        InputError: not an image, outside the limits, or a setting outside its range.
        NotFoundError: there is no such assay.
        ModelError: the model is missing or damaged.
        BusyError: others take the memory for too long.
    """
    model, settings = intake.settle(options)
    card = adapt_card(intake.card(model), settings.assay)
    with (
        open_image(data, name, settings.reading, request=True) as image,
        image.reserve(drawing_mb(image.header())),
    ):
        return _look(with_pixel_size(image.frame(), settings), settings, card)


def _look(frame: Frame, settings: CountSettings, card: ModelCard) -> Look:
    said_px, missing = _said(settings, frame.pixel_size_um)
    open_settings = msgspec.structs.replace(settings, cell_diameter_px=said_px, assay=None)
    estimated = size_up(frame, said_px, card).estimated
    chosen = resolve(open_settings, card, frame.pixel_size_um, estimated)
    taken = frame.taken or Taken(full_scale=frame.full_scale)
    return Look(
        width=frame.width,
        height=frame.height,
        pixel_size_um=frame.pixel_size_um,
        pixel_size_from=taken.pixel_size_from,
        channel=taken.channel,
        plane=taken.plane,
        cell_diameter_px=chosen.cell_diameter_px,
        cell_diameter_from=chosen.cell_diameter_from,
        cell_diameter_range_px=chosen.cell_diameter_range_px,
        notes=taken.notes,
        missing=missing,
        picture=view_jpeg(frame),
    )


def _said(settings: CountSettings, pixel_size_um: float | None) -> tuple[float | None, str]:
    """The diameter that is set; a size in micrometres without a pixel size is open here: a line can be drawn."""
    try:
        return set_diameter_px(settings, pixel_size_um), ""
    except InputError as error:
        return None, str(error)
