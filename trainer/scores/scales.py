"""A count without a set cell diameter: frames at a quarter to four times their size."""

from collections.abc import Callable
from dataclasses import replace

import msgspec
import numpy as np
from PIL import Image
from tabulate import tabulate

from device.counting.confidence.promise import holds
from device.counting.pipeline import count_frame
from device.counting.records import CountResult, CountSettings, Frame
from device.counting.segmenter import Segmenter
from trainer.frames.example import Example

ZOOMS = (0.25, 0.5, 1.0, 2.0, 4.0)
NEAR = 0.15
"""A count is near another within this part of it, or within one cell."""
LARGEST_PX = 4_000_000
"""Frames are not enlarged beyond this."""


class Reading(msgspec.Struct, frozen=True, kw_only=True):
    """One frame at one size.

    Attributes:
        source: name of its set.
        zoom: how many times its own size.
        reference: count at its own size with the right diameter.
        count, interval: with the diameter estimated.
        flags: codes of the warnings.
        diameter_ratio: estimated per right diameter.
    """

    source: str
    zoom: float
    reference: int
    count: int
    interval: tuple[int, int | None]
    flags: tuple[str, ...]
    diameter_ratio: float

    @property
    def is_near(self) -> bool:
        """Whether the count is about that with the right diameter."""
        return abs(self.count - self.reference) <= max(1.0, NEAR * self.reference)

    @property
    def is_silently_wrong(self) -> bool:
        """A wrong count without a warning whose interval does not hold the right one."""
        return not (self.is_near or self.flags or holds(self.interval, self.reference))


def zoom_frame(frame: Frame, zoom: float) -> Frame:
    """The same picture at another size, each channel area-averaged where it shrinks."""
    size = max(8, round(frame.width * zoom)), max(8, round(frame.height * zoom))
    planes = [
        Image.fromarray(frame.image[..., channel].astype(np.float32)).resize(
            size, Image.Resampling.BILINEAR
        )
        for channel in range(3)
    ]
    image = np.rint(np.stack([np.asarray(plane) for plane in planes], axis=2))
    return replace(frame, image=image.astype(frame.image.dtype))


def read_at_scales(
    example: Example,
    segmenter: Segmenter,
    frame_cell_diameter_px: float,
    note: Callable[[str], None] = print,
) -> list[Reading]:
    """Count a frame with the right diameter, then at every size with the diameter left open."""
    diameter = frame_cell_diameter_px / example.scale
    known = CountSettings(cell_diameter_px=max(2.0, diameter))
    reference = count_frame(example.frame, segmenter, known).result.count
    readings = []
    for zoom in ZOOMS:
        if example.frame.height * example.frame.width * zoom**2 > LARGEST_PX and zoom > 1:
            continue
        result = count_frame(zoom_frame(example.frame, zoom), segmenter, CountSettings()).result
        readings.append(_reading(example, zoom, reference, result, diameter))
        note(f"{example.name} x{zoom:g}: {reference}, {result.count} {result.interval}")
    return readings


def _reading(
    example: Example, zoom: float, reference: int, result: CountResult, diameter_px: float
) -> Reading:
    return Reading(
        source=example.source,
        zoom=zoom,
        reference=reference,
        count=result.count,
        interval=result.interval,
        flags=tuple(flag.code for flag in result.flags),
        diameter_ratio=result.cell_diameter_px / (diameter_px * zoom),
    )


def scale_table(readings: list[Reading]) -> str:
    """Markdown: one row per set and one per zoom."""
    groups = {"all": readings}
    for source in sorted({reading.source for reading in readings}):
        groups[source] = [own for own in readings if own.source == source]
    for zoom in ZOOMS:
        groups[f"at {zoom:g} times their size"] = [own for own in readings if own.zoom == zoom]
    rows = [
        [
            name,
            len(some),
            f"{np.mean([own.is_near for own in some]):.0%}",
            f"{np.mean([bool(own.flags) for own in some]):.0%}",
            f"{np.mean([own.is_silently_wrong for own in some]):.1%}",
            f"{np.median([own.diameter_ratio for own in some]):.2f}",
        ]
        for name, some in groups.items()
        if some
    ]
    head = [
        "frames of",
        "counts",
        "within 15 %",
        "flagged",
        "silently wrong",
        "median diameter ratio",
    ]
    return tabulate(rows, head, tablefmt="github", disable_numparse=True)
