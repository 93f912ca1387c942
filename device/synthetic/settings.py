"""The appearance of a synthetic frame as one frozen value, and how real frames vary."""

from typing import Annotated

import msgspec
import numpy as np

Length = Annotated[float, msgspec.Meta(gt=0)]
NotNegative = Annotated[float, msgspec.Meta(ge=0)]
Fraction = Annotated[float, msgspec.Meta(ge=0, le=1)]
Number = Annotated[int, msgspec.Meta(ge=0)]
Colour = tuple[float, float, float]

FULL_SIZE_DIAMETER_PX = 38.0
"""Median diameter of a CTb-stained neuron at 1600 x 1200; all lengths scale with the diameter."""


class SyntheticSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One frame. The defaults resemble yellow (CTb) frames of Fluorescent Neuronal Cells.

    Attributes:
        width_px, height_px: size of the frame.
        cell_diameter_px: median diameter of the disc that has a cell's area.
        cells: how many cells count; exactly this many are in the labels.
        clumping: fraction of the cells that are set against another cell.
        crowding: fraction of the cells that lie in one crowd instead of anywhere.
        elongation: median ratio of a cell's long to its short axis, at least 1.
        brightness: median over cells of the mean red signal, as a fraction of full scale.
        faint_cells: out-of-focus cells, which do not count.
        filaments: axons and dendrites that cross the frame.
        debris: bright grains much smaller than a cell.
        strips: bright bands (fibres, folded tissue).
        tissue_edge: True puts the border of the section, dark beyond it, into the frame.
        background: light of the tissue, as a fraction of full scale in red.
        unevenness: how much that light varies across the frame, 0 is flat.
        blur_px: Gaussian sigma of the whole picture's lack of focus.
        colour, background_colour: red, green and blue of stain and tissue, relative to red.
        hot_pixels: pixels that are bright in one channel at any light.
        exposure: factor on the light; 1 is what `brightness` and `background` describe.
        gain: factor on signal and noise after the light was collected.
        full_well_e: electrons at full scale with gain 1; sets the shot noise.
        read_noise_e: electrons of noise without light.
        black_level: fraction of full scale that the camera subtracts.
        bits: significant bits of a sample; 8 gives uint8, more gives uint16.
    """

    width_px: Annotated[int, msgspec.Meta(ge=32, le=8000)] = 1600
    height_px: Annotated[int, msgspec.Meta(ge=32, le=8000)] = 1200
    cell_diameter_px: Annotated[float, msgspec.Meta(ge=3, le=400)] = FULL_SIZE_DIAMETER_PX
    cells: Number = 20
    clumping: Fraction = 0.2
    crowding: Fraction = 0.5
    elongation: Annotated[float, msgspec.Meta(ge=1, le=3)] = 1.45
    brightness: NotNegative = 0.42
    faint_cells: Number = 14
    filaments: Number = 10
    debris: Number = 60
    strips: Number = 0
    tissue_edge: bool = False
    background: NotNegative = 0.022
    unevenness: NotNegative = 0.5
    blur_px: NotNegative = 0.0
    colour: Colour = (1.0, 0.74, 0.06)
    background_colour: Colour = (1.0, 0.6, 0.04)
    hot_pixels: Number = 8
    exposure: NotNegative = 1.0
    gain: NotNegative = 1.0
    full_well_e: Length = 2500.0
    read_noise_e: NotNegative = 2.0
    black_level: Fraction = 0.012
    bits: Annotated[int, msgspec.Meta(ge=8, le=16)] = 8

    @property
    def scale(self) -> float:
        """Pixels of this frame per pixel of a full-size frame."""
        return self.cell_diameter_px / FULL_SIZE_DIAMETER_PX


class _Look(msgspec.Struct, frozen=True):
    """A kind of real frame: how often it occurs and its ranges (low, high)."""

    weight: float
    background: tuple[float, float]
    brightness: tuple[float, float]
    green: tuple[float, float]
    background_green: tuple[float, float]


_LOOKS = (
    _Look(0.60, (0.01, 0.07), (0.26, 0.50), (0.70, 0.78), (0.45, 0.65)),  # yellow on near black
    _Look(
        0.20, (0.08, 0.20), (0.40, 0.85), (0.78, 0.88), (0.58, 0.70)
    ),  # overexposed, olive tissue
    _Look(0.20, (0.12, 0.26), (0.30, 0.90), (0.60, 0.75), (0.46, 0.55)),  # orange tissue
)


def _share(rng: np.random.Generator, low: float, high: float) -> float:
    return float(rng.uniform(low, high))


def vary_settings(seed: int, base: SyntheticSettings | None = None) -> SyntheticSettings:
    """Draw the settings of one frame of a varied set: cells, light, colour, focus, clutter.

    Args:
        seed: same seed, same settings.
        base: size, cell diameter, noise and bits are kept from it; None means the defaults.
    """
    base = base or SyntheticSettings()
    rng = np.random.default_rng([seed, 7])
    look = _LOOKS[int(rng.choice(len(_LOOKS), p=[kind.weight for kind in _LOOKS]))]
    room = base.width_px * base.height_px / (1600 * 1200 * base.scale**2)
    cells = 0 if rng.random() < 0.12 else round(min(1.2, room) * min(rng.lognormal(2.5, 0.9), 60))
    return msgspec.structs.replace(
        base,
        cells=cells,
        clumping=_share(rng, 0.0, 0.5),
        crowding=_share(rng, 0.0, 1.0),
        elongation=_share(rng, 1.3, 1.9),
        brightness=_share(rng, *look.brightness),
        faint_cells=int(room * rng.gamma(1.5, 10)),
        filaments=int(room * rng.gamma(1.2, 10)),
        debris=int(room * rng.gamma(1.2, 60)),
        strips=int(rng.random() < 0.15),
        tissue_edge=bool(rng.random() < 0.3),
        background=_share(rng, *look.background),
        unevenness=_share(rng, 0.1, 0.7),
        blur_px=base.scale * float(rng.choice([0.0, _share(rng, 0.0, 2.0)])),
        colour=(1.0, _share(rng, *look.green), _share(rng, 0.045, 0.07)),
        background_colour=(1.0, _share(rng, *look.background_green), _share(rng, 0.03, 0.07)),
        hot_pixels=int(rng.integers(0, 20)),
    )
