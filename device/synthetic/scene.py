"""The light of a field of view, before any camera: cells set one by one, each in its own box."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image
from scipy import ndimage

from device.counting.records import LabelImage
from device.errors import InputError
from device.synthetic import clutter
from device.synthetic.settings import SyntheticSettings
from device.synthetic.soma import Mask, Soma, draw_soma

Plane = npt.NDArray[np.float32]
Box = tuple[slice, slice]

_TRIES = 60
_VISIBLE = 0.6
"""A cell counts if at least this part of it is inside the frame and not hidden by another cell."""


@dataclass(frozen=True, slots=True, eq=False)
class Scene:
    """A field of view.

    Attributes:
        stain, background: (H, W) float32 light, 1 is full scale of the red channel at exposure 1.
        labels: (H, W) int32, 0 background, 1..count the cells; different cells never touch,
            so that the 8-connected components of labels > 0 are the cells.
        count: number of cells.
    """

    stain: Plane
    background: Plane
    labels: LabelImage
    count: int


def make_scene(seed: int, settings: SyntheticSettings) -> Scene:
    """Draw a field of view; same seed and settings, same scene.

    Raises:
        InputError: so many cells do not fit into the frame.
    """
    rng = np.random.default_rng([seed, 1])
    background, present = clutter.tissue(rng, settings)
    field = _Field(rng, settings, present)
    for _ in range(settings.cells):
        field.add_cell()
    for _ in range(settings.faint_cells):
        field.add_faint_cell()
    stain = field.stain + clutter.thin_structures(rng, settings, field.processes) * present
    for _ in range(settings.strips):
        stain += clutter.strip(rng, settings)
    stain += 0.10 * _glow(stain, 20 * settings.scale)
    if settings.blur_px > 0:
        stain = ndimage.gaussian_filter(stain, settings.blur_px)
    return Scene(stain, background, field.labels, settings.cells)


def _glow(stain: Plane, sigma_px: float) -> Plane:
    """Scattered light, computed at an eighth of the size: (H, W) float32."""
    height, width = stain.shape
    small = Image.fromarray(stain).reduce(8) if min(height, width) >= 16 else Image.fromarray(stain)
    factor = small.width / width
    blurred = ndimage.gaussian_filter(np.asarray(small), max(0.5, sigma_px * factor))
    grown = Image.fromarray(blurred).resize((width, height), Image.Resampling.BILINEAR)
    return np.asarray(grown)


class _Field:
    """A frame under construction: stain, labels and processes so far."""

    def __init__(
        self, rng: np.random.Generator, settings: SyntheticSettings, present: Plane
    ) -> None:
        self._rng, self._settings, self._present = rng, settings, present
        shape = (settings.height_px, settings.width_px)
        self.stain = np.zeros(shape, np.float32)
        self.labels: LabelImage = np.zeros(shape, np.int32)
        self.processes: list[Plane] = []
        self._centres: list[tuple[float, float]] = []
        self._crowd = rng.uniform((0.2, 0.2), (0.8, 0.8)) * (shape[1], shape[0])

    def add_cell(self) -> None:
        """Place one cell where it fits; raises InputError if there is no space."""
        for _ in range(_TRIES):
            x, y = self._place()
            soma = self._soma(blur=(0.6, 4.5))
            box, part = _overlap(self.labels.shape, soma, x, y)
            if box is None or part is None or not self._is_tissue(x, y):
                continue
            visible = _largest(soma.mask[part] & ~_grown(self.labels[box] > 0))
            if visible.sum() >= _VISIBLE * soma.mask.sum():
                self._set(soma, box, part, visible, (x, y))
                return
        raise InputError(
            f"{self._settings.cells} cells do not fit into {self._settings.width_px} x "
            f"{self._settings.height_px} pixels with a cell diameter of "
            f"{self._settings.cell_diameter_px:g} px; use fewer cells or a larger frame."
        )

    def add_faint_cell(self) -> None:
        """Add the light of a cell out of focus, without a label."""
        x, y = self._place(clumped=False)
        soma = self._soma(blur=(3.0, 9.0))
        box, part = _overlap(self.labels.shape, soma, x, y)
        if box is not None and self._is_tissue(x, y):
            light = self._settings.brightness * self._rng.uniform(0.05, 0.28)
            self.stain[box] += light * soma.stain[part]

    def _set(
        self, soma: Soma, box: Box, part: Box, visible: Mask, centre: tuple[float, float]
    ) -> None:
        light = self._settings.brightness * np.clip(self._rng.lognormal(0, 0.38), 0.55, 2.6)
        self.stain[box] += light * soma.stain[part]
        self._centres.append(centre)
        self.labels[box][visible] = len(self._centres)
        x, y = centre
        for dx, dy, direction in soma.tips:
            self.processes.append(np.array([x + dx, y + dy, direction, 0.25 * light], np.float32))

    def _soma(self, blur: tuple[float, float]) -> Soma:
        rng, settings = self._rng, self._settings
        diameter = settings.cell_diameter_px * np.clip(rng.lognormal(0, 0.2), 0.6, 1.7)
        elongation = np.clip(settings.elongation * rng.lognormal(0, 0.25), 1.0, 3.2)
        return draw_soma(rng, diameter, elongation, settings.scale * rng.uniform(*blur))

    def _place(self, clumped: bool = True) -> tuple[float, float]:
        rng, settings = self._rng, self._settings
        if clumped and self._centres and rng.random() < settings.clumping:
            near = self._centres[int(rng.integers(len(self._centres)))]
            way, far = (
                rng.uniform(-np.pi, np.pi),
                settings.cell_diameter_px * rng.uniform(0.9, 1.25),
            )
            return near[0] + far * float(np.cos(way)), near[1] + far * float(np.sin(way))
        if rng.random() < settings.crowding:
            x, y = rng.normal(self._crowd, 0.15 * settings.width_px)
        else:
            x, y = rng.uniform((0, 0), (settings.width_px, settings.height_px))
        return float(x), float(y)

    def _is_tissue(self, x: float, y: float) -> bool:
        row, column = round(y), round(x)
        height, width = self._present.shape
        return 0 <= row < height and 0 <= column < width and bool(self._present[row, column] > 0.9)


def _overlap(
    shape: tuple[int, ...], soma: Soma, x: float, y: float
) -> tuple[Box, Box] | tuple[None, None]:
    """The box of the frame that the patch covers and the part of the patch that is inside."""
    half = soma.mask.shape[0] // 2
    top, left = round(y) - half, round(x) - half
    y0, x0 = max(0, top), max(0, left)
    y1, x1 = min(shape[0], top + soma.mask.shape[0]), min(shape[1], left + soma.mask.shape[1])
    if y1 <= y0 or x1 <= x0:
        return None, None
    return (slice(y0, y1), slice(x0, x1)), (slice(y0 - top, y1 - top), slice(x0 - left, x1 - left))


def _grown(mask: Mask) -> Mask:
    """The mask grown by one pixel, diagonals included: the gap that keeps two cells apart."""
    return np.asarray(ndimage.binary_dilation(mask, np.ones((3, 3), bool)))


def _largest(mask: Mask) -> Mask:
    """The largest 8-connected part of a mask."""
    parts, number = ndimage.label(mask, np.ones((3, 3), int))
    if number <= 1:
        return mask
    return np.asarray(parts == 1 + np.argmax(np.bincount(parts.ravel())[1:]))
