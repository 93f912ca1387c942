"""One annotated frame: what every layout of a data set is read into."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from device.counting.records import Frame

RADIUS_PX = 50.0
"""A detection belongs to a target closer than this at 1600 px frame width."""


@dataclass(frozen=True, slots=True, eq=False)
class Example:
    """One annotated frame.

    Attributes:
        frame: as the device reads it; reduced frames stay reduced.
        labels: (height, width) int32 target objects, 1..n, crumbs left out.
        scale: pixels of a 1600x1200 frame per pixel of this one, above 0.
        group: frames with the same group show the same tissue and are never split up.
        source: name of the data set.
        kind: "whole_frame", "crop", ...
        match_px: a detection nearer to a target's centre than this many pixels of this frame has found it; 0: the
            paper's 50 px of a full-size frame.
        held_out: takes turns as a test frame.
        recolour: whether the training sees it in the colours of the yellow frames.
    """

    frame: Frame
    labels: npt.NDArray[np.int32]
    scale: float
    group: str
    source: str
    kind: str = "whole_frame"
    match_px: float = 0.0
    held_out: bool = False
    recolour: bool = False

    @property
    def name(self) -> str:
        """File name without suffix, or the synthetic frame's name."""
        return Path(self.frame.source).stem

    @property
    def count(self) -> int:
        """Number of target objects."""
        return int(self.labels.max(initial=0))
