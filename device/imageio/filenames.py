"""Which files of a folder are images, by their names and first bytes, and how names become outputs."""

import hashlib
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from itertools import islice
from pathlib import Path, PurePath

from device.imageio import IMAGE_SUFFIXES
from device.imageio.decoded import RASTER_STARTS, TIFF_STARTS, kept_apart
from device.imageio.vendor import VENDOR_SUFFIXES, missing_reader

FOREIGN_SUFFIXES = frozenset(
    {
        ".vsi", ".zvi", ".ims", ".oif", ".oir", ".dv", ".r3d", ".sld", ".mrc", ".mrxs", ".ets", ".scn", ".dcm", ".fits",
        ".bmp", ".gif", ".webp", ".jp2", ".jxl", ".heic", ".avif", ".pgm", ".ppm", ".psd", ".exr",
        ".dib", ".tga", ".pcx", ".jxr", ".heif", ".nrrd", ".ics", ".ids", ".cxd", ".bif", ".c01", ".h5", ".zarr",
    }
)  # fmt: skip
"""Images that fluocount cannot read; errors.csv lists them, because they are not counted."""
_PIXELS_OF = re.compile(r"(?P<of>.+\.oif)\.files|(?P<own>.+\.zarr)", re.IGNORECASE)
"""How the folder is called that belongs to such a file, or is one: its planes are no images of their own."""
_FOREIGN_REASON = "fluocount reads PNG, JPEG and TIFF; export the image in one of these formats."
_FOREIGN_STARTS = (
    b"BM", b"GIF8", b"RIFF", b"\0\0\0\x0cjP  ", b"\xff\x4f\xff\x51", b"8BPS", b"\x89HDF", b"FORM",
)  # fmt: skip
_SNIFFED_BYTES = 16
SEARCH_DEEPER = "folder with images; --recursive counts them too"
"""Why a sub-folder is passed over."""
_MOST_LOOKED_AT = 2000
"""Files below a folder that are looked at to say so."""

_SYSTEM_FOLDERS = frozenset(
    {"@eaDir", "#recycle", "#snapshot", "$RECYCLE.BIN", "System Volume Information", "lost+found"}
)
_SYSTEM_FILES = frozenset({"thumbs.db", "desktop.ini", "ehthumbs.db"})
_TEMPORARY_STARTS = (".", "~", "$~")
_TEMPORARY_SUFFIXES = frozenset(
    {".part", ".partial", ".tmp", ".temp", ".crdownload", ".download", ".filepart", ".swp", ".bak"}
)
"""A file being copied has the first bytes of an image and not the rest."""
_COMPANION = re.compile(
    r"^(?:(?:count[ _])?masks?|labels?|seg|outlines?|overlay|drawing|result|thumb|thumbnail|preview|tn)"
    r"(?:[ _]of[ _]|(?<!drawing)(?<!result)[ _.-]+)(?P<of>.+)$"
    r"|^(?P<by>.+?)[ _.-]+(?:(?:cp|nuclei|cells?)_)?"
    r"(?:(?:masks?|(?:simple )?segmentation|segmented|outlines?|annotated|scale[ _-]?bar|probabilities"
    r"|(?:object )?predictions?|cp_output|thumb|thumbnail)(?:[ _-]?\d+)?"
    r"|labels?|flows?|seg|binary|overlay|preview)$",
    re.IGNORECASE,
)
"""What programs call a mask, a small copy of an image or one that was drawn on: ImageJ, CellProfiler, Cellpose, ilastik
and file managers. A number follows only words that mean nothing else: `mouse1_label2` may be a second stain, `seg 3` a
segment, `flow 3` a sample, and an image is rather counted than lost."""
_COMPANION_FOLDER = re.compile(
    r"masks?|labels?|seg|segmentations?|outlines?|overlays?|thumbs?|thumbnails?", re.IGNORECASE
)
_BESIDE_COMPANIONS = ("", "images", "Images", "raw")
"""Where the images lie of which such a folder holds the masks, from the folder above."""
_NAMED_THUMBNAIL = re.compile(r"_thumb[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$", re.IGNORECASE)
"""MetaXpress gives the image and its thumbnail two unequal numbers."""
_OWN_OUTPUT = re.compile(
    r"\.(overlay\.jpg|outlines\.png|labels\.tif|cells\.csv|result\.json)$|^(counts|errors|duplicates)(-\d+)?\.csv$"
    r"|^run\.json$",
    re.IGNORECASE,
)
_LONGEST_NAME_BYTES = 200
"""File systems allow 255 bytes; the rest is for `.outlines.png` and the temporary name."""


class Kind(Enum):
    """Kind of file, judged by its name."""

    IMAGE = "image"
    FOREIGN = "foreign"
    OTHER = "other"


def kind_of(path: PurePath) -> Kind:
    """Judge a path relative to the folder that is counted.

    Hidden and temporary names, folders of the system or of a NAS, and fluocount's own outputs are
    OTHER with any suffix; so is every file that is not an image.
    """
    if _is_in_system_folder(path) or _owner_of(path):
        return Kind.OTHER
    if path.name.startswith(_TEMPORARY_STARTS) or _OWN_OUTPUT.search(path.name):
        return Kind.OTHER
    suffix = path.suffix.lower()
    if suffix in IMAGE_SUFFIXES:
        return Kind.IMAGE
    return Kind.FOREIGN if suffix in FOREIGN_SUFFIXES | VENDOR_SUFFIXES else Kind.OTHER


def holds_images(folder: Path) -> bool:
    """Whether images lie in a folder, by the names of the first files in it and below.

    Raises:
        OSError: it cannot be listed.
    """
    below = (path.relative_to(folder.parent) for path in islice(folder.rglob("*"), _MOST_LOOKED_AT))
    known = IMAGE_SUFFIXES | VENDOR_SUFFIXES
    return any(path.suffix.lower() in known and kind_of(path) is not Kind.OTHER for path in below)


def _is_in_system_folder(relative: PurePath) -> bool:
    return any(part in _SYSTEM_FOLDERS or part.startswith(".") for part in relative.parts[:-1])


def _owner_of(relative: PurePath) -> str:
    """Name of the file whose pixels a file is a part of; empty for an image of its own."""
    found = (_PIXELS_OF.fullmatch(part) for part in relative.parts[:-1])
    return next((folder["of"] or folder["own"] for folder in found if folder), "")


@dataclass(frozen=True, slots=True)
class Judged:
    """What a file of a folder is, and why it is passed over.

    Attributes:
        kind: IMAGE is counted, FOREIGN is an error, OTHER is passed over.
        reason: for people; empty for fluocount's own outputs, which need no word.
    """

    kind: Kind
    reason: str = ""


_COUNTED = Judged(Kind.IMAGE)


def judge_name(relative: PurePath) -> Judged | None:
    """Judge a file by its path below the folder that is counted; None where its content must tell."""
    if _is_in_system_folder(relative):
        return Judged(Kind.OTHER, "in a folder of the system")
    if owner := _owner_of(relative):
        return Judged(Kind.OTHER, f"part of {owner}, which cannot be read")
    name = relative.name
    if _OWN_OUTPUT.search(name):
        return Judged(Kind.OTHER)
    if name.startswith(_TEMPORARY_STARTS) or name.lower() in _SYSTEM_FILES:
        return Judged(Kind.OTHER, "hidden or temporary")
    if PurePath(name).suffix.lower() in _TEMPORARY_SUFFIXES:
        return Judged(Kind.OTHER, "not complete")
    return _COUNTED if kind_of(relative) is Kind.IMAGE else None


def judge_file(folder: Path, relative: PurePath) -> Judged:
    """Judge a file by its name, then by its first bytes: suffixes are missing, wrong or new.

    Args:
        folder: that is counted.
        relative: the file's path below it.
    """
    judged = judge_name(relative)
    if judged is not None and judged.kind is Kind.OTHER:
        return judged
    if _NAMED_THUMBNAIL.search(PurePath(relative).stem):
        return Judged(Kind.OTHER, "small copy that MetaXpress keeps of each image")
    if (original := _companion_of(folder / relative, relative)) is not None:
        return Judged(Kind.OTHER, f"mask or small copy of {original}")
    return judged or _judge_content(folder / relative)


def judge_remote(relative: PurePath, exists: Callable[[PurePath], bool]) -> Judged:
    """Judge a file elsewhere, by its name alone.

    Args:
        relative: its path below the folder that is counted.
        exists: whether there is such a file, by its path below that folder.
    """
    judged = judge_name(relative)
    if judged is not None and judged.kind is Kind.OTHER:
        return judged
    if _NAMED_THUMBNAIL.search(relative.stem):
        return Judged(Kind.OTHER, "small copy that MetaXpress keeps of each image")
    if (original := _companion_of(relative, relative, exists)) is not None:
        return Judged(Kind.OTHER, f"mask or small copy of {original}")
    return judged or _judge_start(relative.suffix.lower(), b"")


def _judge_content(path: Path) -> Judged:
    try:
        with path.open("rb") as stream:
            start = stream.read(_SNIFFED_BYTES)
    except OSError:
        start = b""
    return _judge_start(path.suffix.lower(), start)


def _judge_start(suffix: str, start: bytes) -> Judged:
    if apart := kept_apart(suffix):
        return Judged(Kind.FOREIGN, apart)
    if suffix in VENDOR_SUFFIXES:
        missing = missing_reader(suffix)
        return Judged(Kind.FOREIGN, missing) if missing else _COUNTED
    if start[:4] in TIFF_STARTS or any(start.startswith(known) for known in RASTER_STARTS):
        return _COUNTED
    if suffix in FOREIGN_SUFFIXES or start.startswith(_FOREIGN_STARTS) or start[4:8] == b"ftyp":
        return Judged(Kind.FOREIGN, _FOREIGN_REASON)
    return Judged(Kind.OTHER, "no image")


def _is_file(path: PurePath) -> bool:
    return Path(path).is_file()


def _companion_of(
    path: PurePath, relative: PurePath, exists: Callable[[PurePath], bool] = _is_file
) -> str | None:
    """Name of the image that a mask, thumbnail or drawn copy belongs to, if that lies beside it or its folder."""
    found = _COMPANION.match(path.stem)
    stems = [found["of"] or found["by"]] if found else []
    folders = [path.parent]
    if len(relative.parts) > 1 and _COMPANION_FOLDER.fullmatch(path.parent.name):
        stems.append(path.stem)
        folders = [path.parent.parent / place for place in _BESIDE_COMPANIONS]
        folders.append(path.parent)
    for folder in folders:
        for stem in stems:
            original = _find_image(folder / stem, path, exists)
            if original is not None:
                return original.name
    return None


def _find_image(
    stem: PurePath, other: PurePath, exists: Callable[[PurePath], bool]
) -> PurePath | None:
    """The image of that name, with any suffix or its own; not `other`."""
    for suffix in ("", *sorted(IMAGE_SUFFIXES | VENDOR_SUFFIXES)):
        for written in {suffix: None, suffix.upper(): None}:
            original = stem.with_name(stem.name + written)
            known = original.suffix.lower() in IMAGE_SUFFIXES | VENDOR_SUFFIXES
            if known and original != other and exists(original):
                return original
    return None


def output_name(path: PurePath) -> PurePath:
    """The path that results are named after: the path of the image, with a very long name shortened."""
    name = os.fsencode(path.name)
    if len(name) <= _LONGEST_NAME_BYTES:
        return path
    digest = hashlib.sha256(name).hexdigest()[:12]
    short = name[: _LONGEST_NAME_BYTES - 30].decode(errors="ignore")
    return path.with_name(f"{short}~{digest}{path.suffix}")
