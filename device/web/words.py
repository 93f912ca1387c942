"""What a person calls the fields of the interface, and what is wrong with a value in one sentence."""

import re
from typing import Any

LABELS: dict[str, tuple[str, str]] = {
    "image": ("image", ""),
    "sample": ("sample name", ""),
    "notes": ("notes", ""),
    "threshold": ("threshold", ""),
    "cell_diameter_px": ("cell diameter", " px"),
    "min_area_px": ("smallest cell", " px²"),
    "exclude_border": ("cells at the edge", ""),
    "model": ("model", ""),
    "assay": ("assay", ""),
    "objective": ("objective", ""),
    "pixel_size_um": ("size of a pixel", " µm"),
    "new_name": ("new name", ""),
    "channel": ("channel", ""),
    "scene": ("scene", ""),
    "z": ("plane", ""),
    "t": ("time point", ""),
    "page": ("page of the file", ""),
    "project": ("projection", ""),
    "full_scale": ("full scale", ""),
    "offset": ("value of no light", ""),
    "since": ("first day", ""),
    "until": ("last day", ""),
    "status": ("state", ""),
    "kept": ("keep mark", ""),
    "keep": ("keep mark", ""),
    "reviewed": ("review mark", ""),
    "search": ("sample or file name", ""),
    "who": ("your name", ""),
    "password": ("password", ""),
    "old": ("present password", ""),
    "new": ("new password", ""),
    "administrator": ("right to administer", ""),
    "release": ("release file", ""),
    "x": ("place from the left", " px"),
    "y": ("place from the top", " px"),
    "name": ("name", ""),
    "cell_id": ("number of the cell", ""),
    "points": ("file of points", ""),
    "exposure_s": ("exposure", " s"),
    "gain": ("gain", ""),
    "red_gain": ("red gain", ""),
    "blue_gain": ("blue gain", ""),
    "average_frames": ("frames averaged", ""),
    "ids": ("selected counts", ""),
    "separator": ("separator of the table", ""),
    "order": ("order of the list", ""),
    "Idempotency-Key": ("key of the request", ""),
}
"""Field: (name for people, unit). A field that is not here is only sent by programs."""

_LONGEST_SHOWN = 40
# What marshmallow says: what is expected, in words for people.
_EXPECTED = (
    (r"Must be greater than or equal to (\S+) and less than or equal to (\S+)", r"from \1{unit} to \2{unit}"),
    (r"Must be greater than (\S+) and less than (\S+)", r"above \1{unit} and below \2{unit}"),
    (r"Must be greater than (\S+) and less than or equal to \S+", r"above \1{unit}"),
    (r"Must be greater than or equal to (\S+)", r"\1{unit} or more"),
    (r"Must be greater than (\S+)", r"above \1{unit}"),
    (r"Must be less than or equal to (\S+)", r"at most \1{unit}"),
    (r"Must be less than (\S+)", r"below \1{unit}"),
    (r"Must be one of: (.*)", r"one of \1"),
    (r"Longer than maximum length (\d+)", r"at most \1 characters long"),
    (r"Length must be between (\d+) and (\d+)", r"\1 to \2 entries long"),
    (r"Not a valid integer", "a whole number"),
    (r"Not a valid number|Special numeric values.*", "a number"),
    (r"Not a valid boolean", "yes or no"),
    (r"Not a valid (utf-8 )?string|Not valid Unicode text", "text"),
    (r"Not a valid list", "a list"),
    (r"Not a valid mapping type", "an object"),
    (r"Not a valid file", "a file"),
    (r"Field may not be null", "a value"),
)  # fmt: skip


def label(field: str) -> str:
    """What a person calls a field; a field of programs by its own name."""
    return LABELS.get(field, (field, ""))[0]


def complaint(field: str, message: str, came: Any = None) -> str:
    """One sentence without its full stop: "threshold must be above 0 and below 1, not 1.5".

    Args:
        field: as the interface calls it, empty if the whole request is meant.
        message: what marshmallow says.
        came: the value that was sent, None if it is not known.
    """
    text = message.rstrip(".")
    if not field:
        return text
    if text.startswith("Missing data"):
        return f"{label(field)} is missing"
    if text == "Unknown field":
        return f"{field!r} is not known here; check its spelling"
    unit = LABELS.get(field, ("", ""))[1]
    for pattern, words in _EXPECTED:
        if found := re.fullmatch(pattern, text):
            expected = found.expand(words).replace("{unit}", unit)
            return f"{label(field)} must be {_plain(expected)}{_not(came)}"
    return f"{label(field)}: {text}"


def _plain(text: str) -> str:
    """Whole numbers without their ".0"."""
    return re.sub(r"(\d)\.0\b", r"\1", text)


def _not(came: Any) -> str:
    text = "" if came is None or isinstance(came, dict | list) else str(came)
    return f", not {text!r}" if 0 < len(text) <= _LONGEST_SHOWN else ""
