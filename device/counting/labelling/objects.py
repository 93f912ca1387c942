"""The objects of a frame: what may be counted, and what a lower threshold would count."""

from dataclasses import dataclass

import numpy as np

from device.counting.labelling.clumps import label_map, threshold_code
from device.counting.labelling.outline import outline_in_frame
from device.counting.labelling.regions import Regions
from device.counting.records import ProbabilityMap
from device.counting.scale import probability_around
from device.counting.segmented import Segmented


@dataclass(frozen=True, slots=True, eq=False)
class Objects:
    """Plausible objects and, after them, the candidates that threshold or least peak refuse.

    Attributes:
        working: all of them at the working scale.
        in_frame: the plausible ones in original pixels, in the same order.
        at_frame: (height, width) uint8, the probability map at the original pixels, complete around the objects only.
        candidate_code: pixels of a candidate have codes above this.
    """

    working: Regions
    in_frame: Regions
    at_frame: ProbabilityMap
    candidate_code: int

    @property
    def plausible(self) -> int:
        """Number of plausible objects."""
        return len(self.in_frame)

    def select(self, wanted: np.ndarray) -> "Objects":
        """Those whose entry in a (n,) bool is True."""
        return Objects(
            self.working.select(wanted),
            self.in_frame.select(wanted[: self.plausible]),
            self.at_frame,
            self.candidate_code,
        )


def find_objects(seen: Segmented) -> Objects:
    """Label the map, give each plausible object its outline in original pixels, and add the candidates.

    Candidates are objects of the card's low threshold that hold no pixel of a plausible one (paper, section 5: "these
    cells can still be detected").
    """
    settings = seen.settings
    low = min(seen.card.confidence.candidate_threshold, settings.threshold)
    every, is_sure = _label(seen, low)
    if low == settings.threshold:
        found, others = every.select(is_sure), every.select(~is_sure)
    else:
        higher, is_sure = _label(seen, settings.threshold)
        found = higher.select(is_sure)
        others = every.select(~every.touches(found.paint() > 0))
    # The objects of the low threshold hold those of a higher one.
    at_frame = probability_around(
        every.boxes(), seen.probability, seen.frame.height, seen.frame.width
    )
    in_frame, present = outline_in_frame(
        found, seen.probability, at_frame, threshold_code(settings.threshold)
    )
    plausible = found.select(present)
    if settings.exclude_border:
        inner = ~in_frame.touches_edge()
        in_frame, plausible = in_frame.select(inner), plausible.select(inner)
        others = others.select(~others.touches_edge())
    return Objects(plausible.concatenate(others), in_frame, at_frame, threshold_code(low))


def _label(seen: Segmented, threshold: float) -> tuple[Regions, np.ndarray]:
    settings = seen.settings
    return label_map(
        seen.probability,
        threshold,
        seen.card.cell_diameter_px,
        settings.min_area_px * settings.scale**2,
        seen.postprocessing,
    )
