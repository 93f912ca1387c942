"""The story of a count, from a frame to its result. Every score that is published comes from these functions."""

from dataclasses import replace

import numpy as np

from device import __version__
from device.counting.blocks import LARGE_FRAME_PX, examine_blocks
from device.counting.card import ModelCard
from device.counting.confidence import count_interval
from device.counting.flags import frame_flags, is_usual, model_flags
from device.counting.records import Counted, CountResult, CountSettings, Frame, ProbabilityMap
from device.counting.resolved import Resolved, resolve
from device.counting.scale import to_working_scale
from device.counting.segmenter import Releasable, Segmenter
from device.counting.stages import Stage, no_stage
from device.counting.statistics import frame_statistics, with_cells
from device.counting.tiles import Progress, TilePlan, plan_tiles, segment


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
    stage: Stage = no_stage,
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
    chosen = resolve(settings, segmenter.card)
    with stage("network"):
        image = to_working_scale(frame, chosen.scale)
        plan = plan_for(image.shape[0], image.shape[1], segmenter.card)
        probability = segment(image, segmenter, plan, progress)
        if frame.height * frame.width > LARGE_FRAME_PX and isinstance(segmenter, Releasable):
            segmenter.release()
    return _result(frame, image, probability, segmenter.card, chosen, stage)


def relabel(
    frame: Frame,
    probability: ProbabilityMap,
    card: ModelCard,
    settings: CountSettings,
    *,
    stage: Stage = no_stage,
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
    image = to_working_scale(frame, chosen.scale)
    return _result(frame, image, probability, card, chosen, stage)


def _result(
    frame: Frame,
    image: np.ndarray,
    probability: ProbabilityMap,
    card: ModelCard,
    chosen: Resolved,
    stage: Stage,
) -> Counted:
    """From the network's map to the result; image is (h, w, 3) uint8 at the working scale."""
    with stage("measure"):
        seen = frame_statistics(frame, image, card.cell_diameter_px)
        usual = is_usual(seen, card.confidence.normal_frame)
    examined = examine_blocks(frame, image, probability, card, replace(chosen, usual=usual), stage)
    with stage("measure"):
        seen = with_cells(seen, frame, examined.cells, chosen.cell_diameter_px)
        count = len(examined.cells)
        interval = count_interval(examined.chances, card.confidence.frame_sd, count)
    result = CountResult(
        image=frame.source,
        image_sha256=frame.sha256,
        count=count,
        cells=examined.cells,
        doubtful=examined.doubtful,
        interval=interval,
        flags=(*model_flags(card), *frame_flags(seen, card.confidence.normal_frame)),
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
    return Counted(result=result, probability=probability, labels=examined.labels)
