"""Where annotated frames come from, as a recipe names them."""

from typing import Literal

import msgspec

Kind = Literal["reduced", "pairs", "labels", "fnc_v1", "fnc_v2", "synthetic", "corrected"]
"""Layout of a set of annotated frames."""
Scale = Literal["width", "diameter"]


class Section(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A table of the TOML file; unknown keys are errors."""


class Source(Section, frozen=True, kw_only=True):
    """`[[...sources]]`: one set of annotated frames.

    Attributes:
        kind: "reduced" (images/ with masks/ or labels/ and an index.csv), "pairs" (images/ and masks/), "labels"
            (images/ and labels/), "fnc_v1", "fnc_v2" (layouts of the original archives), "synthetic", "corrected" (a
            training file of the device: all of its frames take turns as test frames).
        path: folder or file, relative to the data folder; unused for "synthetic".
        name, licence: for the model card.
        group: regular expression; frames whose names match it alike are never split up. Empty: each frame for itself,
            or what index.csv says.
        scale: "width" (full-size pixels per pixel = 1600 / width) or "diameter" (the objects' median
            diameter becomes `frame_cell_diameter_px`).
        match: where cells give the scale, how near a detection must be to a target: 50 px of a 1600 px wide frame
            ("paper"), or half a cell ("half").
        diameter_factor: objects of this set are made larger by it ("diameter") or are larger ("width").
        recolour: grey or single-stain frames get the colours of the yellow frames.
        held_out: this set's frames take turns as test frames (True for the target domain only).
        share: how often its frames are drawn; the sources without a share are drawn 1.0 together.
        frames: synthetic frames to make, or at most so many of a folder (seeded choice).
        seed: of synthetic frames.
        width_px: of synthetic frames (4:3); cells shrink with it.
    """

    kind: Kind
    path: str = ""
    name: str
    licence: str
    group: str = ""
    scale: Scale = "width"
    match: Literal["paper", "half"] = "paper"
    diameter_factor: float = 1.0
    recolour: bool = False
    held_out: bool = False
    share: float | None = None
    frames: int | None = None
    seed: int = 1
    width_px: int = 1600
