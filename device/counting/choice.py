"""Which network counts a frame where none is named."""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from device.counting.records import Frame
from device.counting.segmenter import Segmenter


@dataclass(frozen=True, slots=True)
class Choice:
    """A network, and why it was taken: half a sentence for people; empty where a person chose it."""

    segmenter: Segmenter
    reason: str = ""


@runtime_checkable
class Chooser(Protocol):
    """Several networks behind one name."""

    def choose(self, frame: Frame, cell_diameter_px: float) -> Choice:
        """The network for a frame whose cells are so large."""
        ...


def choose(segmenter: Segmenter, frame: Frame, cell_diameter_px: float) -> Choice:
    """The network itself, or the one that it chooses."""
    if isinstance(segmenter, Chooser):
        return segmenter.choose(frame, cell_diameter_px)
    return Choice(segmenter)
