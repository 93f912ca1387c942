"""What becomes of things drawn on a picture: `python -m tests.marks N` tries each kind N times and prints a table.

Each trial draws one kind of mark on a synthetic frame, saves it, reads and counts it as the appliance does, and
compares with the same frame saved the same way without the mark. A mark is *found* where the flag `annotations` is
set: it was left out, and that frame need not be counted. It is *flagged* where that or another flag warns of what the
frame without the mark has no flag for. A count is *right* where it changed by no more than one cell or 5 %. It is
*silently wrong* where it is neither right nor flagged, and the interval does not hold the count without the mark.
"""

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

import numpy as np
from PIL import Image, ImageDraw
from tabulate import tabulate

from device.counting.confidence.promise import holds
from device.counting.pipeline import count_frame
from device.counting.records import CountResult, CountSettings, Frame
from device.imageio import decode_frame
from device.models.card import find_model
from device.models.interpreter import load_segmenter
from device.synthetic import SyntheticSettings, make_frame
from tests.drawings import HEIGHT, KINDS, WIDTH, Mark, Pen
from tests.forms import pillow, tiff

DIAMETER_PX = 28
_USUAL = {"width_px": WIDTH, "height_px": HEIGHT, "cell_diameter_px": DIAMETER_PX, "filaments": 4}
FRAMES = {
    "sparse": {"cells": 3, "faint_cells": 3},
    "dense": {"cells": 20, "clumping": 0.4, "crowding": 0.2},
    "bright tissue": {"cells": 10, "background": 0.2, "brightness": 0.6},
    "grey": {"cells": 10},
    "yellow": {"cells": 10},
}
SEEDS = 2, 5, 11
INKS = {
    "white": ("white",),
    "colour": ("red", "lime", "blue", "cyan", "magenta", "yellow", "orange"),
}
QUALITIES = 60, 75, 85, 95
_FINE = 4
"""Programs that smooth edges draw at several times the size."""


@dataclass(frozen=True)
class Trial:
    """One mark on one frame, saved in one format."""

    kind: Mark
    ink: str
    suffix: str
    number: int

    @property
    def rng(self) -> np.random.Generator:
        names = f"{self.kind.__name__} {self.ink} {self.suffix}".encode()
        return np.random.default_rng([self.number, *names])


@dataclass(frozen=True)
class Outcome:
    """What became of a mark."""

    trial: Trial
    found: bool = False
    flagged: bool = True
    right: bool = True
    held: bool = True

    @property
    def silent(self) -> bool:
        return not (self.flagged or self.right or self.held)


@cache
def picture(look: str, seed: int) -> np.ndarray:
    """(HEIGHT, WIDTH, 3) uint8, or without the colours."""
    image = make_frame(seed, SyntheticSettings(**_USUAL, **FRAMES[look])).frame.image
    return np.ascontiguousarray(image.max(axis=2)) if look == "grey" else image


def draw_layer(trial: Trial, rng: np.random.Generator) -> np.ndarray:
    """(HEIGHT, WIDTH, 4) uint8: red, green, blue and how opaque; every other one with smoothed edges."""
    fine = int(rng.choice((1, _FINE)))
    layer = Image.new("RGBA", (WIDTH * fine, HEIGHT * fine))
    trial.kind(Pen(ImageDraw.Draw(layer), fine, str(rng.choice(INKS[trial.ink])), rng))
    return np.asarray(layer.resize((WIDTH, HEIGHT), Image.Resampling.BOX))


def saved(
    image: np.ndarray, layer: np.ndarray | None, suffix: str, choice: tuple[int, int]
) -> bytes:
    """A file of a picture with a layer above it; `choice` is the JPEG's quality and the level of white in a TIFF."""
    quality, white = choice
    if suffix == "tif":
        deep = (image if image.ndim == 2 else image.max(axis=2)).astype(np.uint16) * 16
        deep += np.random.default_rng(0).integers(0, 16, deep.shape, np.uint16)
        return tiff(_covered(deep, layer, white))
    covered = _covered(image, layer, 255)
    return (
        pillow(covered, "JPEG", quality=quality)
        if suffix == "jpg"
        else pillow(covered, "PNG", compress_level=1)
    )


def _covered(image: np.ndarray, layer: np.ndarray | None, white: int) -> np.ndarray:
    if layer is None:
        return image
    colour, opaque = layer[..., :3] * (white / 255), layer[..., 3] / 255
    if image.ndim == 2 and not (np.ptp(layer[..., :3], axis=2) * (layer[..., 3] > 0)).any():
        colour = colour[..., 0]
    elif image.ndim == 2:  # a grey picture on which somebody draws in colour becomes one in colour
        image = np.dstack([image] * 3)
    opaque = opaque if image.ndim == 2 else opaque[..., None]
    return np.round(image * (1 - opaque) + colour * opaque).astype(image.dtype)


@cache
def _segmenter():
    return load_segmenter(find_model("fast"), 1)


def count(frame: Frame) -> CountResult:
    return count_frame(frame, _segmenter(), CountSettings(cell_diameter_px=DIAMETER_PX)).result


@cache
def _plain(look: str, seed: int, suffix: str, quality: int) -> CountResult:
    data = saved(picture(look, seed), None, suffix, (quality, 0))
    return count(decode_frame(data, f"a.{suffix}"))


def tried(trial: Trial) -> Outcome:
    """Draw, save and read; count where nothing was found."""
    rng = trial.rng
    look, seed = str(rng.choice(list(FRAMES))), int(rng.choice(SEEDS))
    quality, white = int(rng.choice(QUALITIES)), int(rng.choice((4095, 65535)))
    data = saved(picture(look, seed), draw_layer(trial, rng), trial.suffix, (quality, white))
    frame = decode_frame(data, f"a.{trial.suffix}")
    if "annotations" in frame.taken.ignored_for:
        return Outcome(trial, found=True)
    plain = _plain(look, seed, trial.suffix, quality if trial.suffix == "jpg" else 0)
    marked = count(frame)
    known = {flag.code for flag in plain.flags}
    return Outcome(
        trial,
        flagged=any(flag.code not in known for flag in marked.flags),
        right=abs(marked.count - plain.count) <= max(1, 0.05 * plain.count),
        held=holds(marked.interval, plain.count),
    )


def trials(number: int) -> Iterator[Trial]:
    """As many of each kind, ink and format; a 16-bit TIFF is grey."""
    for kind in KINDS:
        for suffix in ("png", "tif", "jpg"):
            for ink in ("white",) if suffix == "tif" else INKS:
                yield from (Trial(kind, ink, suffix, one) for one in range(number))


def rows(outcomes: list[Outcome], short: bool = False) -> Iterator[list[object]]:
    """A line per kind, ink and format (per kind if short), and one for all."""
    groups: dict[tuple[str, ...], list[Outcome]] = {}
    for one in outcomes:
        name = one.trial.kind.__name__.replace("_", " ")
        ink, suffix = ("any", "any") if short else (one.trial.ink, one.trial.suffix)
        groups.setdefault((name, ink, suffix), []).append(one)
    for name, own in (*groups.items(), (("all", "", ""), outcomes)):
        figures = [
            [one.found for one in own],
            [one.flagged for one in own],
            [one.flagged or one.right for one in own],
            [one.silent for one in own],
        ]
        yield [*name, len(own), *(f"{np.mean(values):.0%}" for values in figures)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("number", type=int, help="trials of each kind, ink and format")
    parser.add_argument("--short", action="store_true", help="all inks and formats together")
    asked = parser.parse_args()
    outcomes = [tried(trial) for trial in trials(asked.number)]
    titles = [
        "mark",
        "ink",
        "file",
        "trials",
        "found",
        "flagged",
        "flagged or right",
        "silently wrong",
    ]
    print(
        tabulate(list(rows(outcomes, asked.short)), titles, colalign=["left"] * 3 + ["right"] * 5)
    )


if __name__ == "__main__":
    main()
