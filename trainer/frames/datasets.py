"""Annotated frames from the layouts people have them in, and the numbers that make them comparable."""

import csv
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from device.counting.records import Frame
from device.errors import InputError
from device.imageio import read_frame
from device.synthetic import SyntheticSettings, make_frame, vary_settings
from trainer.frames import resources
from trainer.frames.corrected import read_corrected
from trainer.frames.example import RADIUS_PX, Example
from trainer.frames.objects import mask_objects, median_diameter
from trainer.frames.sources import Source

CROP_EDGE_PX = 512
"""Square crops of the reduced set are taken for the paper's 512x512 crops of a full-size frame."""

IMAGE_SUFFIXES = (".png", ".tif", ".tiff", ".jpg", ".jpeg")

RELATED_FRAMES = {
    "fnc_036": "fnc_009",
    "fnc_037": "fnc_011",
    "fnc_038": "fnc_012",
    "fnc_041": "fnc_017",
}
"""Crops of the reduced set that were found in whole frames of it (template matching): same side of a split."""


def image_paths(folder: Path) -> list[Path]:
    """The images of a folder, by name.

    Raises:
        InputError: no such folder, or no image in it.
    """
    paths = sorted(p for p in folder.glob("*") if p.suffix.lower() in IMAGE_SUFFIXES)
    if not paths:
        raise InputError(f"There is no image in {folder}; expected PNG, TIFF or JPEG files there.")
    return paths


def partner(image: Path, folder: Path) -> Path:
    """The mask or label image of the same name in another folder.

    Raises:
        InputError: it is missing.
    """
    for suffix in (image.suffix, *IMAGE_SUFFIXES):
        path = folder / f"{image.stem}{suffix}"
        if path.is_file():
            return path
    raise InputError(f"{image} has no partner in {folder}; masks carry the name of their image.")


def read_labels(path: Path, shape: tuple[int, int], is_mask: bool) -> npt.NDArray[np.int32]:
    """A mask's or a label image's objects, crumbs of masks left out.

    Raises:
        InputError: its size is not that of the image.
    """
    values = np.asarray(Image.open(path))
    values = values[..., 0] if values.ndim == 3 else values
    if values.shape != shape:
        raise InputError(
            f"{path} is {values.shape}, its image is {shape}; they must have one size."
        )
    return mask_objects(values > 127) if is_mask else _as_labels(values)


def _as_labels(values: np.ndarray) -> npt.NDArray[np.int32]:
    """Consecutive int32 labels of an integer image."""
    _, inverse = np.unique(values, return_inverse=True)
    labels = inverse.reshape(values.shape).astype(np.int32)
    return labels if values.min() == 0 else labels + 1


def _scale_of(source: Source, frame: Frame, diameter_px: float, cell_diameter_px: float) -> float:
    """Full-size pixels per pixel; 0 if unknown (no objects)."""
    if source.scale == "width":
        return 1600 / frame.width * source.diameter_factor
    return cell_diameter_px * source.diameter_factor / diameter_px if diameter_px else 0.0


def _pairs(
    source: Source, folder: Path, other: str, cell_diameter_px: float, names: set[str] | None = None
) -> Iterator[Example]:
    """Examples of images/ with masks/ or labels/ beside it.

    Where cells give the scale, a frame without any takes the median of the others that are as wide.
    """
    read: list[tuple[Frame, np.ndarray, float]] = []
    for path in image_paths(folder / "images"):
        if names is not None and path.name not in names:
            continue
        frame = read_frame(path)
        labels = read_labels(
            partner(path, folder / other), (frame.height, frame.width), other != "labels"
        )
        read.append((frame, labels, median_diameter(labels)))
    for frame, labels, diameter in read:
        alike = [d for f, _, d in read if d and f.width == frame.width]
        usual = diameter or (float(np.median(alike)) if alike else 0.0)
        scale = _scale_of(source, frame, usual, cell_diameter_px)
        if scale:
            yield _example(source, frame, labels, scale, group_of(source, Path(frame.source).stem))


def group_of(source: Source, stem: str) -> str:
    """What the source's regular expression finds in a file name, else the name itself."""
    found = re.search(source.group, stem) if source.group else None
    return found.group(0) if found else stem


def _example(
    source: Source,
    frame: Frame,
    labels: np.ndarray,
    scale: float,
    group: str,
    kind: str = "whole_frame",
) -> Example:
    """An example of a source.

    Where cells gave the scale, the radius is half a cell, or 50 px of a frame of 1600 px in Fluorescent Neuronal Cells.
    """
    match_px = 0.0
    if source.scale == "diameter":
        half = source.match == "half"
        match_px = median_diameter(labels) / 2 if half else RADIUS_PX * frame.width / 1600
    return Example(
        frame=frame,
        labels=labels,
        scale=scale,
        group=group,
        source=source.name,
        kind=kind,
        match_px=match_px,
        held_out=source.held_out,
        recolour=source.recolour,
    )


def _load_reduced(source: Source, folder: Path, cell_diameter_px: float) -> Iterator[Example]:
    """Pairs with an index.csv that knows kinds, crops, twins, and the picture a frame was cut from."""
    with (folder / "index.csv").open(newline="", encoding="utf-8") as stream:
        rows = {_stem_of(row): row for row in csv.DictReader(stream)}
    other = "masks" if (folder / "masks").is_dir() else "labels"
    for example in _pairs(source, folder, other, cell_diameter_px):
        row = rows[example.name]
        kind = row.get("kind") or "whole_frame"
        scale = CROP_EDGE_PX / example.frame.width if kind.startswith("crop") else example.scale
        twin = Path(row.get("same_frame_as") or "").stem
        cut_from = (row.get("source") or "").partition("@")
        group = twin or (cut_from[0] if cut_from[1] else RELATED_FRAMES.get(example.name))
        yield _example(source, example.frame, example.labels, scale, group or example.group, kind)


def _stem_of(row: dict[str, str]) -> str:
    """Name of a row's frame without suffix."""
    return Path(row.get("name") or row["file"]).stem


def paper_test_names() -> set[str]:
    """The 70 file names that the Scientific Reports paper held out of version 1."""
    return set(resources.text("data", "fnc_v1_paper_test_split.txt").split())


def archive_split(root: Path) -> dict[str, tuple[Path, set[str] | None]]:
    """Where "train" and "test" lie in the original archive: (folder with images/ and masks/, names).

    Version 1 holds `all_images/images` and `all_masks/masks` (the paper's names decide), version 2
    `yellow/{trainval,test}/{images,masks}`.

    Raises:
        InputError: neither layout is there.
    """
    if (root / "all_images" / "images").is_dir():
        everything = {path.name for path in image_paths(root / "all_images" / "images")}
        test = everything & paper_test_names()
        return {"train": (root, everything - test), "test": (root, test)}
    if (root / "yellow" / "trainval").is_dir():
        return {
            "train": (root / "yellow" / "trainval", None),
            "test": (root / "yellow" / "test", None),
        }
    raise InputError(
        f"{root} is neither version 1 (all_images/images, all_masks/masks) nor version 2 "
        "(yellow/trainval, yellow/test) of the Fluorescent Neuronal Cells archive."
    )


def read_archive(
    source: Source, root: Path, part: str, cell_diameter_px: float
) -> Iterator[Example]:
    """Frames of one part ("train" or "test") of the original archive."""
    folder, names = archive_split(root)[part]
    if names is None:
        yield from _pairs(source, folder, "masks", cell_diameter_px)
        return
    for path in image_paths(folder / "all_images" / "images"):
        if path.name in names:
            frame = read_frame(path)
            mask = partner(path, folder / "all_masks" / "masks")
            labels = read_labels(mask, (frame.height, frame.width), True)
            scale = _scale_of(source, frame, median_diameter(labels), cell_diameter_px)
            yield _example(source, frame, labels, scale, path.stem)


def synthetic_example(source: Source, index: int, cell_diameter_px: float) -> Example:
    """The index-th frame of a varied synthetic set, at the source's size."""
    base = SyntheticSettings(
        width_px=source.width_px,
        height_px=source.width_px * 3 // 4,
        cell_diameter_px=cell_diameter_px * source.width_px / 1600,
    )
    seed = source.seed * 1_000_003 + index
    made = make_frame(seed, vary_settings(seed, base))
    return _example(source, made.frame, made.labels, 1600 / source.width_px, made.frame.source)


def load_source(source: Source, data: Path, cell_diameter_px: float, seed: int) -> list[Example]:
    """Every frame of one source; of the archives the training part.

    Args:
        source: what to read.
        data: folder that `source.path` is relative to.
        cell_diameter_px: typical cell of a full-size frame (for scale = "diameter").
        seed: for the choice of frames if `source.frames` limits a folder.

    Raises:
        InputError: a folder or a mask is missing or unreadable.
    """
    folder = data / source.path
    if source.kind == "synthetic":
        return [
            synthetic_example(source, index, cell_diameter_px)
            for index in range(source.frames or 100)
        ]
    if source.kind == "corrected":
        return read_corrected(folder, cell_diameter_px, source.name)
    readers = {
        "reduced": lambda: _load_reduced(source, folder, cell_diameter_px),
        "pairs": lambda: _pairs(source, folder, "masks", cell_diameter_px),
        "labels": lambda: _pairs(source, folder, "labels", cell_diameter_px),
        "fnc_v1": lambda: read_archive(source, folder, "train", cell_diameter_px),
        "fnc_v2": lambda: read_archive(source, folder, "train", cell_diameter_px),
    }
    examples = list(readers[source.kind]())
    if source.frames is not None and source.frames < len(examples):
        chosen = np.random.default_rng(seed).permutation(len(examples))[: source.frames]
        examples = [examples[index] for index in sorted(chosen)]
    return examples
