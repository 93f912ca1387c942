"""The same file counted before: which count that was, and what is different now."""

from typing import Any

from msgspec.structs import asdict

from device.counting.assay import Assay, Objective
from device.counting.records import CountSettings
from device.store import CountRow, Store
from device.web.records import EarlierCount
from device.web.views import iso

_WORDS = {
    "threshold": "threshold",
    "cell_diameter_px": "typical cell diameter in pixels",
    "min_area_px": "smallest cell in square pixels",
    "objective": "objective",
    "exclude_border": "leaving out cells at the edge",
    "channel": "channel",
    "scene": "scene",
    "z": "plane",
    "t": "time point",
    "page": "page",
    "project": "projection",
    "full_scale": "value of full light",
    "offset": "value of no light",
}


def earlier_count(store: Store, row: CountRow) -> EarlierCount | None:
    """The newest earlier count of the same bytes, None if there is none."""
    known = store.counts.same_image(row)
    if known is None:
        return None
    return EarlierCount(
        id=known.id,
        image=known.image,
        sample=known.sample,
        count=known.corrected_count,
        created=iso(known.created_s + (known.clock_correction_s or 0)),
        differs=tuple(_differences(known, row)),
    )


def _differences(before: CountRow, now: CountRow) -> list[str]:
    """What differs, in words: "threshold: 0.7, before the model's value"."""
    found = []
    if before.model != now.model:
        found.append(f"model: {now.model}, before {before.model}")
    old, new = _settings(before.settings), _settings(now.settings)
    for name in [*_WORDS, *(name for name in new if name not in _WORDS)]:
        if old.get(name) != new.get(name):
            word = _WORDS.get(name, name.replace("_", " "))
            found.append(f"{word}: {_said(new.get(name))}, before {_said(old.get(name))}")
    return found


def _settings(settings: CountSettings) -> dict[str, Any]:
    """The settings with those of the reading among them."""
    flat = asdict(settings)
    reading = flat.pop("reading")
    return flat | asdict(reading)


def _said(value: object) -> str:
    if value is None:
        return "not set"
    if isinstance(value, Assay):
        return f"{value.name}, version {value.version}"
    if isinstance(value, Objective):
        return f"{value.name} with {value.pixel_size_um:.3g} µm per pixel"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:g}" if isinstance(value, float) else str(value)
