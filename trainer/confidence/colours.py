"""Which colours a stain has: the range that tells `auto`, and the flag `wrong_stain`, a specialist's own images.

The range belongs to the frames and not to the network, so that annotated frames it never saw count as well.
"""

from collections.abc import Iterable
from pathlib import Path

import msgspec

from device.assays.usual import normal_frame
from device.counting.card import ModelCard
from trainer.confidence.flagrates import light_statistics
from trainer.fitting.segmenter import save_card
from trainer.frames.example import Example


def fit_colours(examples: Iterable[Example], card_path: Path) -> str:
    """Write the ranges of green and blue into a card's normal frame; the others stay.

    Args:
        examples: frames of the card's stain.
        card_path: JSON file, changed in place.

    Returns:
        One line for people.
    """
    card = msgspec.json.decode(card_path.read_bytes(), type=ModelCard)
    diameter_px = card.frame_cell_diameter_px
    seen = [light_statistics(own.frame, card, diameter_px / own.scale) for own in examples]
    fitted, usual = normal_frame(seen), card.confidence.normal_frame
    usual = msgspec.structs.replace(
        usual, green_share=fitted.green_share, blue_share=fitted.blue_share
    )
    confidence = msgspec.structs.replace(card.confidence, normal_frame=usual)
    save_card(msgspec.structs.replace(card, confidence=confidence), card_path)
    return (
        f"{len(seen)} frames: green {usual.green_share.low} to {usual.green_share.high}, "
        f"blue up to {usual.blue_share.high}"
    )
