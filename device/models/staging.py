"""How the stages of a network are cut into tiles, and what overlaps cost, from the card only."""

from device.counting.card import ModelCard, StageTiling
from device.counting.tiles import TilePlan, cut_canvas

STAGE_TILE_PX = 90_000
"""Pixels of a stage's tile at its finest level; limits the memory and keeps the tensors in the caches."""
DEEP_TILE_PX = 125_000
"""The same for a stage with a wide margin: the deepest level of a 1600 x 1200 frame fits in one tile."""
_FAR_PX = 32
"""Margins above this are wide."""


def plan_stage(shape: tuple[int, int], stage: StageTiling, wide_columns: int = 1) -> TilePlan:
    """The cut of a (height, width) image, multiples of the network's stride, for one stage.

    `wide_columns` is that of the form that runs, 1 for the plain one.
    """
    return cut_canvas(
        shape,
        stride_px=stage.stride_px,
        margin_px=stage.margin_px,
        max_tile_px=stage_tile_px(stage) * stage.step_px**2,
        wide_columns=wide_columns,
    )


def stage_tile_px(stage: StageTiling) -> int:
    """Pixels in the largest tile of a stage, at its finest level."""
    return DEEP_TILE_PX if stage.margin_px > _FAR_PX else STAGE_TILE_PX


def computed_px(plan: TilePlan, card: ModelCard) -> float:
    """Pixels a network computes for a plan, overlaps included: of its tiles and of its stages' within each.

    A stage counts with its share of the network's work.
    """
    if not card.tiling.stages:
        return plan.computed_px
    within = sum(
        stage.share * plan_stage(plan.tile_shape, stage).computed_px for stage in card.tiling.stages
    )
    return len(plan.tiles) * within


def gmac_of(plan: TilePlan, standard: TilePlan, card: ModelCard) -> float:
    """Multiply-accumulates of a plan in 1e9, overlaps included: convolutions cost the same at every pixel.

    Args:
        plan: of the frame.
        standard: of the frame that the card's `gmac_per_frame` stands for.
        card: of the network.
    """
    height, width = standard.canvas_shape
    return card.gmac_per_frame * computed_px(plan, card) / (height * width)
