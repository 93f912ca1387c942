"""What is usual in a frame: ranges of the training frames' statistics, with room for frames not seen yet."""

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec
import numpy as np

from device.counting.card import CountStatistics, NormalFrame, Range
from device.counting.confidence.statistics import MeasuredFrame


@dataclass(frozen=True, slots=True)
class _Judgement:
    """How a statistic is judged.

    Attributes:
        low, high: whether that side means trouble.
        slack: room beyond the extreme of the training frames, as a part of their span.
        least_slack: at least so much, in the statistic's units (factors where `factors`).
        factors: the statistic is positive and its span is one of factors.
    """

    low: bool
    high: bool
    slack: float
    least_slack: float
    factors: bool = False


_JUDGEMENTS = CountStatistics[_Judgement](
    contrast=_Judgement(low=True, high=False, slack=0.15, least_slack=0.0, factors=True),
    background=_Judgement(low=False, high=True, slack=0.4, least_slack=20.0),
    noise=_Judgement(low=False, high=True, slack=0.5, least_slack=0.0, factors=True),
    sharpness=_Judgement(low=True, high=False, slack=0.15, least_slack=0.0),
    green_share=_Judgement(low=True, high=True, slack=0.25, least_slack=0.02),
    blue_share=_Judgement(low=False, high=True, slack=0.25, least_slack=0.05),
    saturated_share=_Judgement(low=False, high=True, slack=0.5, least_slack=0.005),
    cell_size_ratio=_Judgement(low=True, high=True, slack=0.35, least_slack=1.2, factors=True),
    covered_share=_Judgement(low=False, high=True, slack=1.0, least_slack=0.0),
)


def normal_frame(frames: Sequence[MeasuredFrame]) -> NormalFrame:
    """Ranges over some frames, counted or not; a statistic that no frame has is not judged."""
    ranges = {}
    for name, judgement in msgspec.structs.asdict(_JUDGEMENTS).items():
        known = (getattr(frame, name, None) for frame in frames)
        values = [value for value in known if value is not None]
        ranges[name] = _range(values, judgement) if values else Range(low=None, high=None)
    return msgspec.convert(ranges, NormalFrame)


def _range(values: list[float], judgement: _Judgement) -> Range:
    """Extremes of the values with the judgement's slack."""
    known = np.log(np.maximum(values, 1e-3)) if judgement.factors else np.array(values)
    least = (
        np.log(judgement.least_slack)
        if judgement.factors and judgement.least_slack
        else judgement.least_slack
    )
    slack = max(judgement.slack * float(np.ptp(known)), float(least))
    low, high = float(known.min()) - slack, float(known.max()) + slack
    if judgement.factors:
        low, high = float(np.exp(low)), float(np.exp(high))
    return Range(
        low=round(low, 5) if judgement.low else None,
        high=round(high, 5) if judgement.high else None,
    )
