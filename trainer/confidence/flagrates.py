"""How often flags are raised: on normal frames (too often) and on spoilt ones (too seldom)."""

from collections import Counter

import msgspec

from device.assays.evidence import Evidence
from device.assays.usual import normal_frame
from device.counting.card import ModelCard, NormalFrame
from device.counting.confidence.flags import frame_flags
from device.counting.confidence.statistics import MeasuredFrame, frame_statistics
from device.counting.records import Frame
from device.counting.view import network_view
from device.synthetic import SyntheticSettings, make_frame, vary_settings
from trainer.confidence.evidence import UnseenFrame
from trainer.frames.corrupt import CORRUPTIONS, corrupt

FULL_WIDTH_PX = 1600


class Rate(msgspec.Struct, frozen=True, kw_only=True):
    """How many of some frames were flagged, and with which codes."""

    frames: int
    flagged: int
    codes: dict[str, int]


Seen = tuple[MeasuredFrame, NormalFrame]
"""A frame, counted or not, and the ranges that judge it."""


def rate(seen: list[Seen], code: str | None = None) -> Rate:
    """Flags over frames; with a code, only frames that raise this one count as flagged."""
    codes: Counter[str] = Counter()
    flagged = 0
    for statistics, normal in seen:
        raised = {flag.code for flag in frame_flags(statistics, normal)}
        codes.update(raised)
        flagged += bool(raised) if code is None else code in raised
    return Rate(frames=len(seen), flagged=flagged, codes=dict(codes.most_common()))


def ranges_without_fold(evidence: list[Evidence]) -> dict[int, NormalFrame]:
    """For each fold the ranges of the other folds' frames."""
    return {
        fold: normal_frame([frame.statistics for frame in evidence if frame.fold != fold])
        for fold in {frame.fold for frame in evidence}
    }


def normal_rates(evidence: list[Evidence], card: ModelCard, synthetic: int) -> dict[str, Rate]:
    """False flags: real frames by ranges that have not seen them, synthetic ones by those of all."""
    ranges = ranges_without_fold(evidence)
    seen = [(frame.width, (frame.statistics, ranges[frame.fold])) for frame in evidence]
    everything = normal_frame([frame.statistics for frame in evidence])
    made: list[Seen] = [
        (light_statistics(frame, card, card.frame_cell_diameter_px), everything)
        for frame in _made(synthetic)
    ]
    return {
        "reduced frames": rate([own for width, own in seen if width < FULL_WIDTH_PX]),
        "full-size frames": rate([own for width, own in seen if width >= FULL_WIDTH_PX]),
        "synthetic full-size frames (light and colour only)": rate(made),
    }


def _made(number: int) -> list[Frame]:
    base = SyntheticSettings()
    return [
        make_frame(seed, vary_settings(seed, base)).frame for seed in range(5000, 5000 + number)
    ]


def corrupted_rates(
    frames: list[UnseenFrame], evidence: list[Evidence], card: ModelCard
) -> dict[str, Rate]:
    """True flags: each frame spoilt in each way, judged by ranges that have not seen it."""
    ranges = ranges_without_fold(evidence)
    rates = {}
    for name, (code, spoil) in CORRUPTIONS.items():
        seen: list[Seen] = []
        for seed, frame in enumerate(frames):
            diameter = card.frame_cell_diameter_px / frame.example.scale
            spoilt = corrupt(frame.example.frame, spoil, diameter, seed)
            seen.append((light_statistics(spoilt, card, diameter), ranges[frame.fold]))
        rates[name] = rate(seen, code)
    return rates


def light_statistics(frame: Frame, card: ModelCard, diameter_px: float) -> MeasuredFrame:
    """What can be said of a frame before anything is counted in it."""
    image = network_view(frame, card.cell_diameter_px / diameter_px, card.view)
    return frame_statistics(frame, image, card.cell_diameter_px)
