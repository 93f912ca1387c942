"""One model in its own process: `python -m device.bench.worker MODEL.tflite THREADS`."""

import sys
import time
from pathlib import Path

import msgspec

from device import sandbox
from device.batch.folder import folder_writer
from device.batch.items import Item, count_item
from device.bench.limit import int8_limit_gmac_s
from device.bench.protocol import Hello, Job, Timing, answer_jobs, own_stdout, peak_memory_mb
from device.counting.card import ModelCard
from device.counting.readings import size_up
from device.counting.records import CountResult, CountSettings
from device.counting.scale import working_shape
from device.counting.settings import resolve
from device.counting.tiles import TilePlan, plan_for
from device.errors import InputError
from device.models.interpreter import load_segmenter
from device.models.staging import computed_px, gmac_of

STANDARD_FRAME_PX = (1200, 1600)
"""The frame size that gmac_per_frame in a card refers to."""


def plan_of(height: int, width: int, card: ModelCard) -> TilePlan:
    """The cut of a (height, width) frame with the card's own cell diameter."""
    scale = resolve(CountSettings(), card).scale
    return plan_for(*working_shape(height, width, scale), card)


def _timing(result: CountResult, cpu_s: float, card: ModelCard) -> Timing:
    plan = plan_of(result.height, result.width, card)
    return Timing(
        seconds=result.seconds,
        cpu_s=cpu_s,
        count=result.count,
        peak_mb=peak_memory_mb() + sandbox.peak_memory_mb(),
        gmac=gmac_of(plan, plan_of(*STANDARD_FRAME_PX, card), card),
        computed_px=round(computed_px(plan, card)),
        frame_px=plan.canvas_shape[0] * plan.canvas_shape[1],
    )


def _estimating_s(image: Path, card: ModelCard) -> float | None:
    """Seconds that the estimate of the cell diameter takes; None where the model has none."""
    if card.diameter_reader is None:
        return None
    frame = sandbox.read_frame(image)
    begin_s = time.perf_counter()
    size_up(frame, None, card)
    return time.perf_counter() - begin_s


def main(model: Path, threads: int) -> None:
    """Serve jobs on standard input."""
    conversation = own_stdout()
    segmenter = load_segmenter(model, threads)
    # The diameter is set, as in a laboratory that measures every day; what estimating it adds is measured apart.
    settings = CountSettings(cell_diameter_px=segmenter.card.frame_cell_diameter_px)

    def count(job: Job) -> Timing:
        begin_s = time.process_time()
        image = Path(job.image)
        outcome = count_item(
            Item(image, image.name), segmenter, settings, write=folder_writer(Path(job.out))
        )
        if outcome.counted is None:
            raise InputError(outcome.error)
        timing = _timing(outcome.counted.result, time.process_time() - begin_s, segmenter.card)
        return msgspec.structs.replace(timing, diameter_s=_estimating_s(image, segmenter.card))

    limit = int8_limit_gmac_s(threads, runs=300)
    answer_jobs(conversation, Hello(name=segmenter.card.name, limit_gmac_s=limit), count)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
