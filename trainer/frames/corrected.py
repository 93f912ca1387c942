"""Frames that a person corrected on the device, out of a training file: outlines where there are some, else discs."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from device.assays.matching import centroids
from device.export.trainingfile import CorrectedFrame, read_frames
from device.jobs.teaching import RADIUS
from trainer.frames.example import Example


def read_corrected(path: Path, frame_cell_diameter_px: float, source: str) -> list[Example]:
    """Every frame of a training file; all of them take turns as test frames.

    Args:
        path: made by `fluocount export --training`.
        frame_cell_diameter_px: of the recipe: the scale of an example is relative to it.
        source: name of the set.

    Raises:
        InputError: it is no training file, or damaged.
    """
    return [
        Example(
            frame=one.frame,
            labels=target_labels(one),
            scale=frame_cell_diameter_px / one.about.cell_diameter_px,
            group=one.about.sha256,
            source=source,
            match_px=RADIUS * one.about.cell_diameter_px,
            held_out=True,
        )
        for one in read_frames(path)
    ]


def target_labels(corrected: CorrectedFrame) -> npt.NDArray[np.int32]:
    """Outlines, and a disc of the cell diameter around every dot; (height, width) int32, 1..n.

    Where discs overlap each pixel belongs to the nearest dot. A dot within an outline says that the outline holds more
    than one cell: its pixels go to the nearest of its middle and the dots in it.
    """
    labels = corrected.labels
    dots = np.array(corrected.about.dots, float).reshape(-1, 2)[:, ::-1]
    if not len(dots):
        return labels
    places = np.rint(dots).astype(int).clip(0, np.array(labels.shape) - 1)
    split = labels[tuple(places.T)]
    middles = np.rint(centroids(labels)).astype(int).reshape(-1, 2)
    seeds = np.zeros(labels.shape, np.int32)
    shared = np.unique(split[split > 0])
    seeds[tuple(middles[shared - 1].T)] = shared
    seeds[tuple(places.T)] = np.arange(len(dots)) + 1 + corrected.about.outlines
    distance, nearest = ndimage.distance_transform_edt(seeds == 0, return_indices=True)
    owner = seeds[tuple(nearest)]
    alone = np.flatnonzero(split == 0) + 1 + corrected.about.outlines
    disc = (distance <= corrected.about.cell_diameter_px / 2) & np.isin(owner, alone)
    disc &= labels == 0
    painted = np.where(disc | np.isin(labels, shared), owner, labels)
    present = np.unique(painted[painted > 0])
    return np.searchsorted(np.r_[0, present], painted).astype(np.int32)
