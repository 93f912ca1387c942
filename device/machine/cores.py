"""Distributes the processor cores."""

import os


def share_cores(images: int, threads: int) -> tuple[int, int]:
    """How many workers, and interpreter threads of each, for so many images.

    More threads than cores only wait for each other; a worker per core beats threads within one network.

    Args:
        images: to count.
        threads: the most to use, from the settings.
    """
    cores = min(threads, len(os.sched_getaffinity(0)))
    workers = max(1, min(cores, images))
    return workers, max(1, cores // workers)
