"""The settings of one count: what a person chose, and the card's values for the rest."""

import math
from dataclasses import dataclass
from typing import TypeVar

import msgspec

from device.counting.assay import PIXEL_SIZE_RANGE_UM, Assay, Objective
from device.counting.card import ModelCard, Postprocessing
from device.counting.diameter import Diameter
from device.counting.records import CountSettings, DiameterFrom, disc_area
from device.errors import InputError

THRESHOLD_RANGE = (0.0, 1.0)
"""Exclusive: at either end everything or nothing would be a cell."""
DIAMETER_RANGE_PX = (2.0, 1000.0)
"""Below 2 px a cell has no shape left; above 1000 px hardly one fits into a frame."""


@dataclass(frozen=True, slots=True)
class ResolvedSettings:
    """The settings of one count, with the assay's or the card's values where a person chose nothing.

    Attributes:
        threshold: cut-off on the probability map, 0 to 1, exclusive.
        cell_diameter_px: of a typical cell, in original pixels.
        cell_diameter_from, cell_diameter_range_px: as of device.counting.records.CountResult.
        min_area_px: smallest object that counts, in original pixels.
        exclude_border: leave out cells that touch the frame's edge.
        scale: working pixels per original pixel.
        assay, objective: None where none was used or chosen.
    """

    threshold: float
    cell_diameter_px: float
    min_area_px: float
    exclude_border: bool
    scale: float
    assay: Assay | None = None
    objective: Objective | None = None
    cell_diameter_from: DiameterFrom = "set"
    cell_diameter_range_px: tuple[float, float] | None = None


def set_diameter_px(settings: CountSettings, pixel_size_um: float | None) -> float | None:
    """The cell diameter that a person or the assay set, in original pixels; None where it is open.

    Raises:
        InputError: it is in micrometres and the pixel size is unknown.
    """
    if settings.cell_diameter_px is not None or settings.assay is None:
        return settings.cell_diameter_px
    if pixel_size_um is None and settings.objective is not None:
        pixel_size_um = settings.objective.pixel_size_um
    return settings.assay.diameter_px(pixel_size_um)


def resolve(
    settings: CountSettings,
    card: ModelCard,
    pixel_size_um: float | None = None,
    estimated: Diameter | None = None,
) -> ResolvedSettings:
    """Fill in the assay's values, what was estimated and the card's values, and check the ranges.

    Args:
        settings: what a person chose.
        card: of the model, adapted to the assay (device.counting.assay.adapt_card).
        pixel_size_um: of the image, where it says so.
        estimated: cell diameter of the frame; takes the place of what is open.

    Raises:
        InputError: a value outside its range, or a diameter in micrometres for pixels of unknown size.
    """
    assay = settings.assay or _NO_ASSAY
    threshold = _first(settings.threshold, assay.threshold, card.threshold)
    diameter, origin = _diameter(set_diameter_px(settings, pixel_size_um), estimated, card)
    if not THRESHOLD_RANGE[0] < threshold < THRESHOLD_RANGE[1]:
        raise InputError(f"The threshold must lie between 0 and 1 (exclusive), not {threshold:g}.")
    low, high = DIAMETER_RANGE_PX
    if not low <= diameter <= high:
        raise InputError(f"The cell diameter must be {low:g} to {high:g} px, not {diameter:g}.")
    least = card.postprocessing.min_area_ratio * disc_area(diameter)
    min_area = _first(settings.min_area_px, assay.min_area_px, least)
    if min_area < 0:
        raise InputError(f"The minimum area must be 0 px or more, not {min_area:g}.")
    return ResolvedSettings(
        threshold=threshold,
        cell_diameter_px=diameter,
        min_area_px=min_area,
        exclude_border=_first(settings.exclude_border, None, assay.exclude_border),
        scale=card.cell_diameter_px / diameter,
        assay=settings.assay,
        objective=settings.objective,
        cell_diameter_from=origin,
        cell_diameter_range_px=_range(estimated) if origin == "estimated" else None,
    )


def _range(estimated: Diameter | None) -> tuple[float, float] | None:
    return None if estimated is None else (estimated.low_px, estimated.high_px)


def _diameter(
    said_px: float | None, estimated: Diameter | None, card: ModelCard
) -> tuple[float, DiameterFrom]:
    """The cell diameter, and who said it."""
    if said_px is not None:
        return said_px, "set"
    if estimated is not None:
        return estimated.px, "estimated"
    return card.frame_cell_diameter_px, "usual"


T = TypeVar("T", bool, float)

_NO_ASSAY = Assay(name="none")


def require_sane(assay: Assay) -> None:
    """Raise for an assay that no image could be counted with, before it is kept.

    Raises:
        InputError: a number outside its range.
    """
    (low_um, high_um), (low, high) = PIXEL_SIZE_RANGE_UM, DIAMETER_RANGE_PX
    ranges = (
        ("pixel size", assay.pixel_size_um, low_um, high_um, "µm"),
        ("cell diameter", assay.cell_diameter_px, low, high, "px"),
        ("cell diameter", assay.cell_diameter_um, low * low_um, high * high_um, "µm"),
        ("smallest cell", assay.min_area_px, 0, disc_area(high), "px²"),
    )
    for name, value, least, most, unit in ranges:
        if value is not None and not least <= value <= most:
            raise InputError(
                f"The {name} of the assay {assay.name} must be {least:g} to {most:.6g} {unit}, not {value:g}."
            )


def _first(chosen: T | None, assays: T | None, cards: T) -> T:
    """The first value that is known."""
    if chosen is not None:
        return chosen
    return cards if assays is None else assays


def postprocessing_at(
    card: ModelCard, settings: ResolvedSettings, is_usual: bool
) -> Postprocessing:
    """The card's post-processing under the chosen threshold.

    Where the calibration does not know such frames, the network alone decides: by a higher least peak. Either moves by
    the same log odds as the threshold, so that a lower threshold admits fainter cells and a higher one refuses more,
    however wide the masks are.

    Args:
        card: of the model.
        settings: of this count.
        is_usual: whether the calibration knows such frames (device.counting.confidence.flags.is_usual).
    """
    own = card.postprocessing
    peak = own.min_peak if is_usual else max(own.min_peak, card.confidence.lone_peak)
    return msgspec.structs.replace(own, min_peak=_shift(peak, card, settings.threshold))


def least_probability_at(card: ModelCard, settings: ResolvedSettings, is_usual: bool) -> float:
    """How likely a cell an object must be under the chosen threshold; it moves like the least peak."""
    if not is_usual:
        return 0.0
    return _shift(card.confidence.least_probability, card, settings.threshold)


def _shift(limit: float, card: ModelCard, threshold: float) -> float:
    """A limit of the card's threshold, shifted by as many log odds as another one lies from it; 0 and 1 stay."""
    if threshold == card.threshold or not 0 < limit < 1:
        return limit
    shifted = _log_odds(limit) + _log_odds(threshold) - _log_odds(card.threshold)
    return 1 / (1 + math.exp(-shifted))


def _log_odds(probability: float) -> float:
    return math.log(probability / (1 - probability))
