"""Annotated frames from the layouts people have them in, and the numbers that make them comparable."""

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image
from scipy import ndimage

from device.counting.records import Frame
from device.errors import InputError
from device.imageio import read_frame
from device.synthetic import SyntheticSettings, make_frame, vary_settings
from trainer.fitting.runs import Source
from trainer.frames import resources

CRUMB_RATIO = 0.1
"""Objects under this part of the median area are slips of the annotator's pen."""

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


@dataclass(frozen=True, slots=True, eq=False)
class Example:
    """One annotated frame.

    Attributes:
        frame: as the device reads it; reduced frames stay reduced.
        labels: (height, width) int32 target objects, 1..n, crumbs left out.
        scale: pixels of a 1600x1200 frame per pixel of this one, above 0.
        group: frames with the same group show the same tissue and are never split up.
        source: name of the data set.
        kind: "whole_frame", "crop", ...
        held_out: takes turns as a test frame.
        recolour: whether the training sees it in the colours of the yellow frames.
    """

    frame: Frame
    labels: npt.NDArray[np.int32]
    scale: float
    group: str
    source: str
    kind: str = "whole_frame"
    held_out: bool = False
    recolour: bool = False

    @property
    def name(self) -> str:
        """File name without suffix, or the synthetic frame's name."""
        return Path(self.frame.source).stem

    @property
    def count(self) -> int:
        """Number of target objects."""
        return int(self.labels.max(initial=0))


def mask_objects(mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.int32]:
    """8-connected components without crumbs (under a tenth of the median area), numbered 1..n."""
    labels, count = ndimage.label(mask, np.ones((3, 3)), output=np.int32)
    return without_crumbs(labels) if count else labels


def without_crumbs(labels: npt.NDArray[np.integer]) -> npt.NDArray[np.int32]:
    """Label image with only the objects of at least a tenth of the median area, renumbered."""
    areas = np.bincount(labels.ravel())
    areas[0] = 0
    present = areas > 0
    if not present.any():
        return np.zeros(labels.shape, np.int32)
    keep = present & (areas >= CRUMB_RATIO * np.median(areas[present]))
    table = np.zeros(len(areas), np.int32)
    table[keep] = np.arange(1, keep.sum() + 1)
    return table[labels]


def part_touching(labels: npt.NDArray[np.int32]) -> npt.NDArray[np.bool_]:
    """Mask of the objects with a gap between touching ones, so that a network can learn to separate them."""
    largest = ndimage.maximum_filter(labels, 3)
    smallest = ndimage.minimum_filter(np.where(labels == 0, np.iinfo(np.int32).max, labels), 3)
    return (labels > 0) & (largest == smallest)


def median_diameter(labels: npt.NDArray[np.int32]) -> float:
    """Median equivalent diameter of the objects in pixels; 0 if there are none."""
    areas = np.bincount(labels.ravel())[1:]
    areas = areas[areas > 0]
    return float(np.sqrt(4 * np.median(areas) / np.pi)) if len(areas) else 0.0


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


def _scale_of(source: Source, frame: Frame, labels: np.ndarray, cell_diameter_px: float) -> float:
    """Full-size pixels per pixel; 0 if unknown (no objects)."""
    if source.scale == "width":
        return 1600 / frame.width * source.diameter_factor
    diameter = median_diameter(labels)
    return cell_diameter_px * source.diameter_factor / diameter if diameter else 0.0


def _pairs(
    source: Source, folder: Path, other: str, cell_diameter_px: float, names: set[str] | None = None
) -> Iterator[Example]:
    """Examples of images/ with masks/ or labels/ beside it."""
    for path in image_paths(folder / "images"):
        if names is not None and path.name not in names:
            continue
        frame = read_frame(path)
        labels = read_labels(
            partner(path, folder / other), (frame.height, frame.width), other != "labels"
        )
        scale = _scale_of(source, frame, labels, cell_diameter_px)
        if scale:
            yield _example(source, frame, labels, scale, path.stem)


def _example(
    source: Source,
    frame: Frame,
    labels: np.ndarray,
    scale: float,
    group: str,
    kind: str = "whole_frame",
) -> Example:
    return Example(
        frame=frame,
        labels=labels,
        scale=scale,
        group=group,
        source=source.name,
        kind=kind,
        held_out=source.held_out,
        recolour=source.recolour,
    )


def _reduced(source: Source, folder: Path, cell_diameter_px: float) -> Iterator[Example]:
    """Pairs with an index.csv that knows crops and twins."""
    with (folder / "index.csv").open(newline="", encoding="utf-8") as stream:
        rows = {row["name"]: row for row in csv.DictReader(stream)}
    for example in _pairs(source, folder, "masks", cell_diameter_px):
        row = rows[example.name]
        is_crop = row["kind"].startswith("crop")
        scale = CROP_EDGE_PX / example.frame.width if is_crop else example.scale
        group = Path(row["same_frame_as"]).stem or RELATED_FRAMES.get(example.name, example.name)
        yield _example(source, example.frame, example.labels, scale, group, row["kind"])


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
            scale = _scale_of(source, frame, labels, cell_diameter_px)
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
    readers = {
        "reduced": lambda: _reduced(source, folder, cell_diameter_px),
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
