"""Started by test_watch*.py as a process of its own: `fluocount watch` with the fake network.

Usage: watch_child.py DATA_DIR FOLDER OUT [--once] [--recount] [--recursive] [--poll] [--slow SECONDS]
"""

import argparse
import time
from dataclasses import replace
from pathlib import Path

from conftest import FakeSegmenter

from device.config import CountingSettings, Settings, StorageSettings, WatchSettings
from device.watch import make_plan
from device.watch.standalone import watch_folder


class SlowSegmenter(FakeSegmenter):
    def __init__(self, seconds: float) -> None:
        super().__init__()
        self._seconds = seconds

    def __call__(self, tile):
        time.sleep(self._seconds)
        return super().__call__(tile)


def main() -> None:
    parser = argparse.ArgumentParser()
    for name in ("data_dir", "folder", "out"):
        parser.add_argument(name, type=Path)
    for name in ("--once", "--recount", "--recursive", "--poll"):
        parser.add_argument(name, action="store_true")
    parser.add_argument("--slow", type=float, default=0.0)
    parser.add_argument("--settle", type=float, default=0.3)
    parser.add_argument("--refuse-free-mb", type=int, default=1)
    options = parser.parse_args()
    settings = Settings(
        counting=CountingSettings(model="fake"),
        storage=StorageSettings(
            data_dir=str(options.data_dir), refuse_free_mb=options.refuse_free_mb, warn_free_mb=1
        ),
        watch=WatchSettings(poll_interval_s=0.5),
    )
    plan = replace(
        make_plan(settings, options.folder, options.out),
        poll=options.poll,
        recursive=options.recursive,
        settle_s=options.settle,
        recount=options.recount,
        retry_s=0.3,
    )

    def say(sentence: str) -> None:
        print(sentence, flush=True)

    segmenter = SlowSegmenter(options.slow)
    watch_folder(
        settings,
        plan,
        once=options.once,
        say=say,
        load_segmenter=lambda name: segmenter,
    )


if __name__ == "__main__":
    main()
