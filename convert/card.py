"""The model card of a converted network."""

import hashlib

import msgspec

from convert.quantize import ends_of
from device.counting.card import Metrics, ModelCard


def card_of_tflite(
    float_card: ModelCard, tflite: bytes, metrics: tuple[Metrics, ...] = ()
) -> ModelCard:
    """The float network's card with the file's own hash and ends, and added metrics.

    Raises:
        ModelError: the file's ends are not those that the device expects.
    """
    return msgspec.structs.replace(
        float_card,
        sha256=hashlib.sha256(tflite).hexdigest(),
        normalisation=ends_of(tflite),
        metrics=(*float_card.metrics, *metrics),
    )
