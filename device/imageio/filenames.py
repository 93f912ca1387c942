"""Which files of a folder are images, by their names alone, and how names become text and outputs."""

import hashlib
import os
import re
from enum import Enum
from pathlib import PurePath

from device.imageio import IMAGE_SUFFIXES

FOREIGN_SUFFIXES = frozenset(
    {".czi", ".lif", ".nd2", ".oib", ".oif", ".vsi", ".lsm", ".stk", ".zvi", ".ims", ".dcm"}
    | {".bmp", ".gif", ".webp", ".jp2", ".heic"}
)
"""Images that fluocount cannot read: named in errors.csv, so that nobody takes them for counted."""

_SYSTEM_FOLDERS = frozenset(
    {"@eaDir", "#recycle", "#snapshot", "$RECYCLE.BIN", "System Volume Information", "lost+found"}
)
_TEMPORARY_STARTS = (".", "~", "$~")
_OWN_OUTPUT = re.compile(
    r"\.(png|jpe?g|tiff?)\.(overlay\.jpg|outlines\.png|labels\.tif)$", re.IGNORECASE
)
_LONGEST_NAME_BYTES = 200
"""File systems take 255 bytes; the rest is for `.outlines.png` and the temporary name."""


class Kind(Enum):
    """What a name promises."""

    IMAGE = "image"
    FOREIGN = "foreign"
    OTHER = "other"


def kind_of(path: PurePath) -> Kind:
    """Judge a path relative to the folder that is counted.

    Hidden and temporary names, folders of the system or of a NAS, and fluocount's own outputs are
    OTHER, whatever their suffix; so is everything that is no image.
    """
    if any(part in _SYSTEM_FOLDERS or part.startswith(".") for part in path.parts[:-1]):
        return Kind.OTHER
    if path.name.startswith(_TEMPORARY_STARTS) or _OWN_OUTPUT.search(path.name):
        return Kind.OTHER
    suffix = path.suffix.lower()
    if suffix in IMAGE_SUFFIXES:
        return Kind.IMAGE
    return Kind.FOREIGN if suffix in FOREIGN_SUFFIXES else Kind.OTHER


def output_name(path: PurePath) -> PurePath:
    """The path that outputs are named after: the image's own, shortened where it is very long."""
    name = os.fsencode(path.name)
    if len(name) <= _LONGEST_NAME_BYTES:
        return path
    digest = hashlib.sha256(name).hexdigest()[:12]
    short = name[: _LONGEST_NAME_BYTES - 30].decode(errors="ignore")
    return path.with_name(f"{short}~{digest}{path.suffix}")
