"""What is said about a count besides the number: probabilities, doubtful objects, interval, flags."""

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec
import numpy as np

from device.counting.card import ModelCard
from device.counting.confidence import calibrated, count_interval, near_decision
from device.counting.features import object_features
from device.counting.flags import frame_flags
from device.counting.labels import renumber
from device.counting.measure import measure_pixels
from device.counting.objects import Objects
from device.counting.outline import pixels_in_frame
from device.counting.records import Cell, Flag, Frame, ProbabilityMap
from device.counting.resolved import Resolved
from device.counting.statistics import frame_statistics


@dataclass(frozen=True, slots=True)
class Judged:
    """The cells with their probabilities, and what belongs beside them; see CountResult."""

    cells: tuple[Cell, ...]
    doubtful: tuple[Cell, ...]
    interval: tuple[int, int]
    flags: tuple[Flag, ...]


def judge(
    frame: Frame,
    image: np.ndarray,
    probability: ProbabilityMap,
    at_frame: ProbabilityMap,
    objects: Objects,
    cells: Sequence[Cell],
    card: ModelCard,
    chosen: Resolved,
) -> Judged:
    """Judge a count.

    Args:
        frame: the capture.
        image: (h, w, 3) uint8, the frame at the working scale.
        probability: (h, w) uint8 codes at the working scale.
        at_frame: (height, width) the same map at the original pixels.
        objects: counted ones and candidates.
        cells: the counted ones as measured, ids 1..count.
        card: of the model that made the map.
        chosen: the settings of this count.
    """
    features = object_features(image, probability, objects.working, card.cell_diameter_px)
    chances = calibrated(features, card.confidence)
    near = near_decision(chances, objects.count)
    counted = tuple(
        with_probability(cell, chance) for cell, chance in zip(cells, chances, strict=False)
    )
    doubtful = [cell for cell, unsure in zip(counted, near, strict=False) if unsure]
    seen = frame_statistics(frame, image, card.cell_diameter_px, counted, chosen.cell_diameter_px)
    return Judged(
        cells=counted,
        doubtful=(*doubtful, *_candidates(frame, at_frame, objects, chances, near)),
        interval=count_interval(chances, card.confidence.frame_sd, objects.count),
        flags=frame_flags(seen, card.confidence.normal_frame),
    )


def with_probability(cell: Cell, chance: float) -> Cell:
    """The cell with its calibrated probability."""
    return msgspec.structs.replace(cell, probability=round(float(chance), 4))


def _candidates(
    frame: Frame,
    at_frame: ProbabilityMap,
    objects: Objects,
    chances: np.ndarray,
    near: np.ndarray,
) -> tuple[Cell, ...]:
    """The doubtful objects that are not counted, ids above the count."""
    wanted = near & (np.arange(len(near)) >= objects.count)
    if not wanted.any():
        return ()
    labels = renumber(objects.working, wanted)
    pixels = pixels_in_frame(labels, at_frame, objects.candidate_code, objects.labels)
    present = [
        (own, chance) for own, chance in zip(pixels, chances[wanted], strict=True) if len(own)
    ]
    if not present:
        return ()
    areas = np.array([len(own) for own, _ in present])
    everything = np.concatenate([own for own, _ in present])
    measured = measure_pixels(frame, at_frame, everything, areas, first_id=objects.count + 1)
    return tuple(
        with_probability(cell, chance) for cell, (_, chance) in zip(measured, present, strict=True)
    )
