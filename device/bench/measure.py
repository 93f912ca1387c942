"""Measures: every worker counts a frame before the next frame."""

import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path

import msgspec
import numpy as np

from device.bench.children import Child
from device.bench.protocol import Timing

STAGES = ("read", "network", "label", "measure", "write", "total")


class Measured(msgspec.Struct, frozen=True, kw_only=True):
    """One worker's measurements.

    Attributes:
        label: of the worker; for our models the model's name.
        limit_gmac_s: see protocol.Hello.
        timings: one per counted frame, run after run.
    """

    label: str
    limit_gmac_s: float | None
    timings: tuple[Timing, ...]

    def seconds(self, stage: str) -> float:
        """Median over all frames and runs."""
        return float(np.median([getattr(timing.seconds, stage) for timing in self.timings]))

    @property
    def diameter_s(self) -> float | None:
        """Median of protocol.Timing.diameter_s; None where nothing estimates diameters."""
        spent = [timing.diameter_s for timing in self.timings if timing.diameter_s is not None]
        return float(np.median(spent)) if spent else None

    @property
    def peak_mb(self) -> float:
        """Largest resident memory of the process, its libraries included."""
        return max(timing.peak_mb for timing in self.timings)

    @property
    def gmac(self) -> float:
        """Median per frame, overlap included."""
        return float(np.median([timing.gmac for timing in self.timings]))

    @property
    def computed_twice(self) -> float:
        """Pixels that the network computes twice because tiles overlap, as a fraction of the frame."""
        return float(np.median([t.computed_px / t.frame_px - 1 for t in self.timings]))

    @property
    def gmac_s(self) -> float:
        """Rate of the network, including everything around it in its stage."""
        return self.gmac / self.seconds("network")


def measure(
    workers: dict[str, list[str]],
    frames: Sequence[Path],
    runs: int,
    told: Callable[[int, int], None],
) -> list[Measured]:
    """Start the workers, let each count one frame unmeasured, then alternate frame by frame.

    Args:
        workers: arguments of `python` by label, see children.Child.
        frames: image files.
        runs: how often each frame is counted.
        told: called with (frames counted, frames in total).

    Raises:
        BenchError: a worker died.
    """
    timings: dict[str, list[Timing]] = {label: [] for label in workers}
    total = len(workers) * (1 + runs * len(frames))
    done = 0
    with ExitStack() as stack:
        out = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="fluocount-bench-")))
        children = [
            stack.enter_context(Child(label, arguments)) for label, arguments in workers.items()
        ]
        for number, frame in enumerate([frames[0], *(list(frames) * runs)]):
            for child in children:
                timing = child.count(frame, out / str(number) / child.label)
                if number > 0:
                    timings[child.label].append(timing)
                done += 1
                told(done, total)
    return [
        Measured(
            label=child.label,
            limit_gmac_s=child.hello.limit_gmac_s,
            timings=tuple(timings[child.label]),
        )
        for child in children
    ]
