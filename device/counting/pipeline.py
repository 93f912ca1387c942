"""The story of a count, from a frame to its result. Every score that is published comes from these functions."""

from device.counting.card import ModelCard
from device.counting.large import LARGE_FRAME_PX
from device.counting.records import Counted, CountSettings, Frame, ProbabilityMap
from device.counting.resolved import resolve
from device.counting.scale import to_working_scale
from device.counting.segmenter import Releasable, Segmenter
from device.counting.stages import Stage, no_stage
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
    # SciPy takes a while to import: not before the first tile.
    from device.counting.result import judged

    return judged(frame, image, probability, segmenter.card, chosen, stage)


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
    from device.counting.result import judged

    return judged(frame, image, probability, card, chosen, stage)
