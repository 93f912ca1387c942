"""A watched folder with store and worker in the test's own process."""

import csv
from dataclasses import replace

import numpy as np
from conftest import FakeSegmenter, draw_discs
from PIL import Image

from device.config import CountingSettings, Settings, StorageSettings, WatchSettings, WebSettings
from device.jobs import Segmenters, Worker
from device.jobs.intake import Intake
from device.store import open_store
from device.watch import FolderWatch, make_plan


class Bench:
    """A watch with store and worker in this process."""

    def __init__(self, tmp_path):
        self.folder, self.out = tmp_path / "in", tmp_path / "out"
        self.folder.mkdir()
        self.settings = Settings(
            counting=CountingSettings(model="fake"),
            storage=StorageSettings(
                data_dir=str(tmp_path / "data"), refuse_free_mb=1, warn_free_mb=1
            ),
            watch=WatchSettings(settle_s=0.05, poll_interval_s=0.2),
            web=WebSettings(max_upload_mb=1),
        )
        self.store = open_store(self.settings.storage)
        self.segmenter = FakeSegmenter()
        self.segmenters = Segmenters(self.settings.counting, lambda name: self.segmenter)
        self.worker = Worker(self.store, self.segmenters)
        self.worker.start()
        self.said = []

    def watch(self, **options):
        plan = replace(make_plan(self.settings, self.folder, self.out), retry_s=0.1, **options)
        intake = Intake(self.store, self.segmenters, "fake")
        return FolderWatch(self.store, intake, plan, say=self.said.append)

    def once(self, **options):
        return self.watch(**options).run(once=True)

    def image(self, name, seed=0, cells=1):
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        discs = [(40 + 60 * index, 50, 37) for index in range(cells)]
        noise = np.random.default_rng(seed).integers(0, 40, (100, 40 + 60 * 3), dtype=np.uint8)
        Image.fromarray(np.maximum(draw_discs(noise.shape, discs), noise)).save(path)
        return path

    def lines(self, table="counts.csv"):
        path = self.out / table
        if not path.exists():
            return []
        with path.open(newline="", encoding="utf-8") as stream:
            return list(csv.DictReader(stream))

    def images(self, table="counts.csv"):
        return [line["image"] for line in self.lines(table)]
