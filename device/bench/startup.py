"""Time from the start of `fluocount count` to its first tile: `python -m device.bench.startup MODEL IMAGE`.

The command itself runs; only the network it opens tells when its first tile is done.
"""

import os
import runpy
import sys
import time
from pathlib import Path

import numpy as np

from device.bench.children import run_child
from device.counting.card import ModelCard
from device.counting.records import ProbabilityMap
from device.counting.segmenter import Segmenter
from device.models import interpreter


def seconds_to_first_tile(model: Path, image: Path, runs: int = 3) -> float:
    """Median over some runs of `fluocount count IMAGE`; the files are in the system's cache.

    Raises:
        BenchError: the command failed.
    """
    return float(np.median([_once(model, image) for _ in range(runs)]))


def _once(model: Path, image: Path) -> float:
    begin = time.monotonic()
    printed = run_child("the start-up", ["-m", "device.bench.startup", str(model), str(image)])
    # The monotonic clock is one for all processes.
    return float(printed.partition("\n")[0]) - begin


class _Telling:
    """A network that writes the time of its first tile to standard output."""

    def __init__(self, segmenter: Segmenter) -> None:
        self._segmenter = segmenter
        self._told = False

    @property
    def card(self) -> ModelCard:
        """The network's."""
        return self._segmenter.card

    def __call__(self, tile: np.ndarray) -> ProbabilityMap:
        """Segment one tile."""
        codes = self._segmenter(tile)
        if not self._told:
            os.write(1, f"{time.monotonic()}\n".encode())
            self._told = True
        return codes


def main(model: str, image: str) -> None:
    """`fluocount count` with a network that tells."""
    load_segmenter = interpreter.load_segmenter

    def load_telling(path: Path, threads: int) -> Segmenter:
        return _Telling(load_segmenter(path, threads))

    setattr(interpreter, "load_segmenter", load_telling)  # noqa: B010 - another type than the shipped one
    sys.argv = ["fluocount", "count", "--model", model, image]
    runpy.run_module("device.cli", run_name="__main__")


if __name__ == "__main__":
    main(*sys.argv[1:])
