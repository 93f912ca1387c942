"""A million images of a list through everything of `fluocount count` but the counting: memory must not grow."""

import csv
import os
from pathlib import Path

from conftest import FakeSegmenter, draw_discs, make_frame

from attacks.figures import Figures
from device.batch.counting import Done
from device.batch.gather import gather
from device.batch.report import BatchReport
from device.batch.sidebyside import in_order
from device.counting.pipeline import count_frame
from device.counting.records import CountSettings

DEFAULT_SIZE = 1_000_000
_WORKERS = 4
_GROWTH_MB = 20
"""From a tenth of the images to the last: what allocators keep, and the caches of the table of names."""
_PAGE_MB = os.sysconf("SC_PAGE_SIZE") / 1e6


def attack(folder: Path, size: int) -> Figures:
    """`size` names, the count replaced by the result of one image."""
    figures = Figures(tried=size)
    listed = folder / "list.txt"
    with listed.open("w") as stream:
        stream.writelines(f"/archive/plate{n // 1000:05d}/field{n:08d}.tif\n" for n in range(size))
    image = draw_discs((120, 400), [(60, 60, 37), (60, 200, 37)])
    result = count_frame(make_frame(image), FakeSegmenter(), CountSettings()).result
    report, done, early_mb = BatchReport(), 0, 0.0
    begin_mb = held_mb()
    with gather([], listed, None, recursive=False) as spool:
        found_mb = held_mb()
        outcomes = in_order(
            spool.items(), range(_WORKERS), lambda item, *_: Done(item, result), None
        )
        for done, outcome in enumerate(outcomes, start=1):
            report.add(outcome.item, outcome.result)
            if done == max(1, size // 10):
                early_mb = held_mb()
    report.write(folder / "out")
    end_mb = held_mb()
    figures.lost = size - done
    _check_table(folder / "out" / "counts.csv", size, figures)
    figures.check(end_mb - early_mb < _GROWTH_MB, "memory grows")
    figures.notes.append(
        f"memory of the program {begin_mb:.0f} MB, with all names {found_mb:.0f}, after a tenth {early_mb:.0f}, "
        f"at the end {end_mb:.0f}"
    )
    return figures


def held_mb() -> float:
    """Memory of this process."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * _PAGE_MB


def _check_table(path: Path, size: int, figures: Figures) -> None:
    """Every name once and in order."""
    last, lines = "", 0
    with path.open(newline="", encoding="utf-8") as stream:
        for row in csv.DictReader(stream):
            figures.doubled += row["image"] <= last
            last, lines = row["image"], lines + 1
    figures.lost += size - lines
