"""What a fit of the confidence section sees of annotated frames: their objects, and which of them are cells."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from device.assays.evidence import Evidence, Known, gather_known
from device.assays.fitting import fit_evidence
from device.assays.matching import centroids
from device.counting.card import Confidence, ModelCard
from device.counting.records import ProbabilityMap
from trainer.frames.example import Example
from trainer.scores.evaluate import radius_px, settings_for


@dataclass(frozen=True, slots=True, eq=False)
class UnseenFrame:
    """One annotated frame and what a network that had not seen it made of it.

    Attributes:
        example: frame, target objects and scale.
        probability: (h, w) uint8 codes at the working scale.
        fold: frames of one fold are left out of the fit together.
    """

    example: Example
    probability: ProbabilityMap
    fold: int


def gather(frame: UnseenFrame, card: ModelCard) -> Evidence:
    """Objects of a frame, their features and whether they are cells."""
    example = frame.example
    known = Known(
        name=example.name,
        fold=frame.fold,
        frame=example.frame,
        probability=frame.probability,
        settings=settings_for(example, card),
        targets=centroids(example.labels),
        radius_px=radius_px(example),
    )
    return replace(gather_known(known, card), source=example.source)


def fit_confidence(
    frames: list[UnseenFrame], card: ModelCard, leasts: Sequence[float] = ()
) -> Confidence:
    """Fit a card's confidence section, its coverage measured with each fold left out.

    Args:
        frames: out-of-fold maps of all held-out frames, at least two folds.
        card: threshold and post-processing are taken from it.
        leasts: least probabilities to choose from; none: the network alone decides what is counted.
    """
    return fit_evidence([gather(frame, card) for frame in frames], card, leasts)
