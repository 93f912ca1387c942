"""The model card of a converted network."""

import hashlib

import msgspec

from device.counting.card import Metrics, ModelCard, Normalisation, StageTiling

STAGED_TILE_PX = 2_000_000
"""A frame of 1600 x 1200 in one tile: cut into stages, a network needs a tenth of the memory per pixel."""


def card_of_tflite(
    float_card: ModelCard,
    tflite: bytes,
    ends: Normalisation,
    stages: tuple[StageTiling, ...] = (),
    metrics: tuple[Metrics, ...] = (),
) -> ModelCard:
    """The float network's card with the file's own hash, ends and stages, and added metrics."""
    tiling = msgspec.structs.replace(float_card.tiling, stages=stages)
    if stages:
        largest = max(tiling.max_tile_px, STAGED_TILE_PX)
        tiling = msgspec.structs.replace(tiling, max_tile_px=largest)
    return msgspec.structs.replace(
        float_card,
        sha256=hashlib.sha256(tflite).hexdigest(),
        tiling=tiling,
        normalisation=ends,
        metrics=(*float_card.metrics, *metrics),
    )
