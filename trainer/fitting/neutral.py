"""The confidence section of a card whose network has no cross-validation yet: wide, and it says so."""

import msgspec

from device.assays.evidence import UNJUDGED
from device.counting.card import Confidence, ObjectFeature, Range

NOT_CALIBRATED = "not calibrated: probabilities are the network's own, intervals a guess"

_ABSENT = ObjectFeature(mean=0.0, sd=1.0, coefficient=0.0)
_NETWORK_LOG_ODDS = ObjectFeature(mean=0.0, sd=1.0, coefficient=1.0)
_GUESSED_FRAME_SD = 1.5
"""Twice to three times what calibrated models reach."""


def neutral_confidence(threshold: float, lone_peak: float = 0.0) -> Confidence:
    """Confidence without any evidence for a model with this threshold and least peak of unusual frames.

    Only blank or saturated frames are flagged, by limits that are valid for any stain.
    """
    limits = msgspec.structs.replace(
        UNJUDGED,
        contrast=Range(low=1.0, high=None),
        saturated_share=Range(low=None, high=0.01),
    )
    return Confidence(
        fitted_on=NOT_CALIBRATED,
        frames=0,
        coverage=None,
        candidate_threshold=round(threshold / 3, 4),
        least_probability=0.0,
        lone_peak=lone_peak,
        intercept=0.0,
        score=_NETWORK_LOG_ODDS,
        size=_ABSENT,
        contrast=_ABSENT,
        brightness=_ABSENT,
        detail=_ABSENT,
        blob=_ABSENT,
        frame_sd=_GUESSED_FRAME_SD,
        normal_frame=limits,
    )
