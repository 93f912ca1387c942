"""The story of a count, from a frame to its result. Every score that is published comes from these functions."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

from device import __version__
from device.counting.card import ModelCard
from device.counting.labels import label_cells, threshold_code
from device.counting.measure import measure
from device.counting.outline import outline_in_frame, without_border
from device.counting.records import (
    Counted,
    CountResult,
    CountSettings,
    Frame,
    LabelImage,
    ProbabilityMap,
    disc_area,
)
from device.counting.scale import probability_at_frame_scale, to_working_scale
from device.counting.segmenter import Segmenter
from device.counting.tiles import Progress, TilePlan, plan_tiles, segment
from device.errors import InputError

Stage = Callable[[str], AbstractContextManager[object]]
"""Opens a context around a stage (network, label, measure); a caller that has a clock measures there."""


def _no_stage(name: str) -> AbstractContextManager[object]:
    return nullcontext()


@dataclass(frozen=True, slots=True)
class Resolved:
    """The settings of one count with the card's values where a person chose nothing."""

    threshold: float
    cell_diameter_px: float
    min_area_px: float
    exclude_border: bool
    scale: float


def resolve(settings: CountSettings, card: ModelCard) -> Resolved:
    """Fill in the card's values and check the ranges.

    Raises:
        InputError: a value outside its range.
    """
    threshold = card.threshold if settings.threshold is None else settings.threshold
    diameter = settings.cell_diameter_px or card.frame_cell_diameter_px
    if not 0 < threshold < 1:
        raise InputError(f"The threshold must lie between 0 and 1 (exclusive), not {threshold:g}.")
    if not 2 <= diameter <= 1000:
        raise InputError(f"The cell diameter must be 2 to 1000 px, not {diameter:g}.")
    least = card.postprocessing.min_area_ratio * disc_area(diameter)
    min_area = least if settings.min_area_px is None else settings.min_area_px
    if min_area < 0:
        raise InputError(f"The minimum area must be 0 px or more, not {min_area:g}.")
    return Resolved(
        threshold=threshold,
        cell_diameter_px=diameter,
        min_area_px=min_area,
        exclude_border=settings.exclude_border,
        scale=card.cell_diameter_px / diameter,
    )


def plan_for(height: int, width: int, card: ModelCard) -> TilePlan:
    """The cut of an (height, width) image at the working scale with the card's tiling."""
    tiling = card.tiling
    return plan_tiles(
        height,
        width,
        stride_px=tiling.stride_px,
        margin_px=tiling.margin_px,
        max_tile_px=tiling.max_tile_px,
    )


def count_frame(
    frame: Frame,
    segmenter: Segmenter,
    settings: CountSettings,
    *,
    progress: Progress | None = None,
    stage: Stage = _no_stage,
) -> Counted:
    """Count the cells of a frame.

    Args:
        frame: the capture.
        segmenter: the network with its card.
        settings: what a person chose.
        progress: told after each tile.
        stage: opened around each stage.

    Raises:
        InputError: a setting outside its range.
    """
    with stage("network"):
        image = to_working_scale(frame, resolve(settings, segmenter.card).scale)
        plan = plan_for(image.shape[0], image.shape[1], segmenter.card)
        probability = segment(image, segmenter, plan, progress)
    return relabel(frame, probability, segmenter.card, settings, stage=stage)


def relabel(
    frame: Frame,
    probability: ProbabilityMap,
    card: ModelCard,
    settings: CountSettings,
    *,
    stage: Stage = _no_stage,
) -> Counted:
    """Count again from a probability map, without the network.

    Args:
        frame: the capture the map belongs to.
        probability: (h, w) uint8 codes at the working scale.
        card: of the model that made the map.
        settings: what a person chose; the cell diameter must be the one the map was made with.
        stage: opened around each stage.
    """
    chosen = resolve(settings, card)
    with stage("label"):
        at_frame = probability_at_frame_scale(probability, frame.height, frame.width)
        labels = _labels(frame, probability, at_frame, card, chosen)
    with stage("measure"):
        cells = measure(frame, labels, at_frame)
    result = CountResult(
        image=frame.source,
        image_sha256=frame.sha256,
        count=len(cells),
        cells=cells,
        interval=(len(cells), len(cells)),
        model=card.ref,
        threshold=chosen.threshold,
        cell_diameter_px=chosen.cell_diameter_px,
        min_area_px=chosen.min_area_px,
        exclude_border=chosen.exclude_border,
        width=frame.width,
        height=frame.height,
        bits=frame.bits,
        channels=frame.channels,
        pixel_size_um=frame.pixel_size_um,
        software=__version__,
    )
    return Counted(result=result, probability=probability, labels=labels)


def _labels(
    frame: Frame,
    probability: ProbabilityMap,
    at_frame: ProbabilityMap,
    card: ModelCard,
    chosen: Resolved,
) -> LabelImage:
    """Label at the working scale, then give each cell its outline in original pixels."""
    labels = label_cells(
        probability,
        chosen.threshold,
        card.cell_diameter_px,
        chosen.min_area_px * chosen.scale**2,
        card.postprocessing,
    )
    labels = outline_in_frame(labels, probability, at_frame, threshold_code(chosen.threshold))
    return without_border(labels) if chosen.exclude_border else labels
