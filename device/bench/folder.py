"""A folder of frames, one by one and in parallel: `python -m device.bench.folder MODEL FOLDER OUT WORKERS THREADS`."""

import sys
import time
from functools import partial
from pathlib import Path

import msgspec

from device import sandbox
from device.batch.folder import write_image_files
from device.batch.items import Item, count_item, find_images
from device.batch.sidebyside import in_order
from device.bench.children import BenchError, run_child
from device.bench.protocol import own_stdout, peak_memory_mb
from device.counting.records import CountSettings
from device.counting.segmenter import Segmenter
from device.counting.tiles import Progress
from device.machine.cores import share_cores
from device.models.interpreter import load_segmenter


class FolderTiming(msgspec.Struct, frozen=True, kw_only=True):
    """One way through a folder.

    Attributes:
        workers, threads: images at once, and interpreter threads of each.
        seconds: from the first file to the last result, opening the model not included.
        frames: counted.
        early_mb, peak_mb: largest resident memory of the process after a quarter of the frames, and at the end.
    """

    workers: int
    threads: int
    seconds: float
    frames: int
    early_mb: float
    peak_mb: float

    @property
    def frames_per_minute(self) -> float:
        """Throughput."""
        return 60 * self.frames / self.seconds


def measure_folder(
    model: Path, folder: Path, out: Path, cores: int
) -> tuple[FolderTiming, FolderTiming]:
    """One by one with all cores in the network, then in parallel as `fluocount count` does it.

    Raises:
        BenchError: a process stopped.
    """
    frames = len(find_images([folder]))
    ways = ((1, cores), share_cores(frames, cores))
    one_by_one, side_by_side = (
        _in_a_process(model, folder, out / str(number), *way) for number, way in enumerate(ways)
    )
    return one_by_one, side_by_side


def _in_a_process(model: Path, folder: Path, out: Path, workers: int, threads: int) -> FolderTiming:
    words = (model, folder, out, workers, threads)
    printed = run_child("a folder", ["-m", "device.bench.folder", *map(str, words)])
    return msgspec.json.decode(printed, type=FolderTiming)


def as_table(one_by_one: FolderTiming, side_by_side: FolderTiming) -> str:
    """Markdown for people."""
    from tabulate import tabulate

    rows = [
        [
            f"{way.workers} x {way.threads} threads",
            f"{way.seconds / way.frames:.3f}",
            f"{way.frames_per_minute:.0f}",
            f"{way.frames_per_minute / one_by_one.frames_per_minute:.2f} x",
            f"{way.early_mb:.0f}",
            f"{way.peak_mb:.0f}",
        ]
        for way in (one_by_one, side_by_side)
    ]
    header = ["at once", "s a frame", "frames/min", "faster", "MB after a quarter", "MB at the end"]
    table: str = tabulate(rows, header, "github", disable_numparse=True)
    return table


def _count(out: Path, item: Item, segmenter: Segmenter, progress: Progress) -> str:
    write = partial(write_image_files, out)
    settings = CountSettings(cell_diameter_px=segmenter.card.frame_cell_diameter_px)
    return count_item(item, segmenter, settings, write=write, progress=progress).error


def main(model: Path, folder: Path, out: Path, workers: int, threads: int) -> None:
    """Count a folder and print a FolderTiming."""
    conversation = own_stdout()
    items = find_images([folder])
    segmenters = [load_segmenter(model, threads) for _ in range(workers)]
    begin, early_mb = time.perf_counter(), 0.0
    for number, error in enumerate(in_order(items, segmenters, partial(_count, out)), start=1):
        if error:
            raise BenchError(error)
        if 4 * number <= len(items):
            early_mb = peak_memory_mb() + sandbox.peak_memory_mb()
    timing = FolderTiming(
        workers=workers,
        threads=threads,
        seconds=time.perf_counter() - begin,
        frames=len(items),
        early_mb=early_mb,
        peak_mb=peak_memory_mb() + sandbox.peak_memory_mb(),
    )
    conversation.write(msgspec.json.encode(timing).decode())
    conversation.flush()


if __name__ == "__main__":
    words = sys.argv[1:]
    main(Path(words[0]), Path(words[1]), Path(words[2]), int(words[3]), int(words[4]))
