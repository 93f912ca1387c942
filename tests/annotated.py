"""Annotated frames of a few discs, in memory and on disk: what the tests of the trainer share."""

import numpy as np
from conftest import make_frame
from PIL import Image

from trainer.frames.example import Example
from trainer.scores.evaluate import FrameScore


def discs(shape, *circles):
    labels = np.zeros(shape, np.int32)
    y, x = np.ogrid[: shape[0], : shape[1]]
    for number, (row, column, radius) in enumerate(circles, start=1):
        labels[(y - row) ** 2 + (x - column) ** 2 <= radius**2] = number
    return labels


def example_of(labels, image=None, scale=1.0, name="a.png"):
    image = ((labels > 0) * 200).astype(np.uint8) if image is None else image
    return Example(make_frame(image, source=name), labels, scale, name, "test")


def frame_score(name="a", **changes):
    values = {
        "name": name, "source": "s", "kind": "whole_frame", "width": 400, "targets": 10,
        "detections": 10, "found": 8, "merged_detections": 10, "merged_found": 8, "cell_iou": 0.5,
        "background_iou": 0.98,
    }  # fmt: skip
    return FrameScore(**{**values, **changes})


def write_pair(folder, name, images="images", masks="masks", circles=((30, 40, 9),)):
    labels = discs((75, 100), *circles)
    for sub, array in (
        (images, np.dstack([(labels > 0) * 120] * 3).astype(np.uint8)),
        (masks, ((labels > 0) * 255).astype(np.uint8)),
    ):
        (folder / sub).mkdir(parents=True, exist_ok=True)
        Image.fromarray(array).save(folder / sub / f"{name}.png")
