"""A worker of the benchmark whose network is a fake: `python tests/bench_child.py LABEL [SLOWER_S]`."""

import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from conftest import FakeSegmenter

from device.batch.folder import folder_writer
from device.batch.items import Item, count_item
from device.bench.protocol import Hello, Job, Timing, answer_jobs, own_stdout, peak_memory_mb
from device.counting.records import CountSettings

conversation = own_stdout()
print("what a library prints must not disturb the conversation")
slower_s = float(sys.argv[2]) if len(sys.argv) > 2 else 0.0


def count(job: Job) -> Timing:
    if Path(job.image).name.startswith("deadly"):
        sys.exit("killed by the deadly image")
    image = Path(job.image)
    item = Item(image, image.name)
    writer = folder_writer(Path(job.out))
    outcome = count_item(item, FakeSegmenter(), CountSettings(), write=writer)
    time.sleep(slower_s)
    result = outcome.counted.result
    seconds = type(result.seconds)(total=result.seconds.total + slower_s, network=0.01)
    return Timing(
        seconds=seconds,
        cpu_s=0.0,
        count=result.count,
        peak_mb=peak_memory_mb(),
        gmac=2.0,
        computed_px=150,
        frame_px=100,
    )


answer_jobs(conversation, Hello(name=sys.argv[1], limit_gmac_s=400.0), count)
