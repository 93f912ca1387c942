"""Frames of fluorescent neurons with exact labels: tests, demo, simulated camera, pre-training."""

import hashlib
from dataclasses import dataclass

from device.counting.records import Frame, LabelImage
from device.synthetic.scene import Scene, make_scene
from device.synthetic.sensor import expose
from device.synthetic.settings import SyntheticSettings, vary_settings

__all__ = [
    "Scene",
    "SyntheticFrame",
    "SyntheticSettings",
    "expose",
    "make_frame",
    "make_scene",
    "vary_settings",
]


@dataclass(frozen=True, slots=True, eq=False)
class SyntheticFrame:
    """A frame and the truth about it.

    Attributes:
        frame: the picture; its sha256 is that of the pixels' bytes.
        labels: (H, W) int32, 0 background, 1..count the cells, which never touch each other.
        count: number of cells, equal to labels.max().
    """

    frame: Frame
    labels: LabelImage
    count: int


def make_frame(seed: int, settings: SyntheticSettings | None = None) -> SyntheticFrame:
    """Draw one frame; same seed and settings, same pixels.

    Args:
        seed: any non-negative integer.
        settings: None means the defaults; `vary_settings(seed)` draws a varied set.

    Raises:
        InputError: so many cells do not fit into the frame.
    """
    settings = settings or SyntheticSettings()
    scene = make_scene(seed, settings)
    image = expose(scene, settings, seed)
    digest = hashlib.sha256(image.tobytes()).hexdigest()
    frame = Frame(image, f"synthetic-{seed}", digest, bits=settings.bits)
    return SyntheticFrame(frame, scene.labels, scene.count)
