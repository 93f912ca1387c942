"""The values that travel: a frame comes in, a count result goes out."""

import math
from dataclasses import dataclass, replace
from typing import Any, Literal

import msgspec
import numpy as np
import numpy.typing as npt

from device.counting.assay import Assay, Objective
from device.counting.card import ModelRef
from device.counting.reading import AS_THE_FILE_SAYS, Reading, merge

ImageArray = npt.NDArray[np.uint8] | npt.NDArray[np.uint16]
ProbabilityMap = npt.NDArray[np.uint8]
LabelImage = npt.NDArray[np.int32]

CountInterval = tuple[int, int | None]
DiameterFrom = Literal["set", "estimated", "usual"]
"""Who said how large a cell is."""

PROBABILITY_STEPS = 256
"""A probability map holds codes 0..255 as the int8 network emits them; a code stands for code / 256.

Kept as uint8 rather than float32: it is exact for an int8 network, a quarter of the memory, and the
very bytes that are stored for re-labelling.
"""


class Taken(msgspec.Struct, frozen=True, kw_only=True):
    """What of a file was counted, and how its samples were understood.

    Attributes:
        asked: what was asked for.
        channel: name or number of the channel; empty where the file has one picture in colour or grey.
        plane: which plane or projection in words, such as "z 3 of 12"; empty where there is one.
        offset, full_scale: sample values of no light, which was subtracted, and of full light after that.
        range_from: where the range is from: "samples" (their type), "values" (of the frame), "header" or "settings".
        used_share: part of the range that the brightest pixels reach, a few hot ones aside; 0 to 1.
        pixel_size_from: what the pixel size was taken from; empty where it is unknown.
        pixel_aspect: height of a pixel per width.
        ignored_px, ignored_for: how many pixels were left out, and why: "annotations", "transparent", "missing".
        maybe_drawn: (x, y) of the middle of what may be drawn; it was not left out.
        label_image: whether the picture looks like a mask or label image, not like light.
        exposure_s: where the file says so.
        notes: sentences about what could not be read or was chosen without being asked for.
    """

    asked: Reading = AS_THE_FILE_SAYS
    channel: str = ""
    plane: str = ""
    offset: int = 0
    full_scale: int = 255
    range_from: str = "samples"
    used_share: float = 1.0
    pixel_size_from: str = ""
    pixel_aspect: float = 1.0
    ignored_px: int = 0
    ignored_for: tuple[str, ...] = ()
    maybe_drawn: tuple[tuple[int, int], ...] = ()
    label_image: bool = False
    exposure_s: float | None = None
    notes: tuple[str, ...] = ()


def as_three_channels(grey: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """A read-only (H, W, 3) view of (H, W) grey samples, which needs no memory."""
    return np.broadcast_to(grey[..., None], (*grey.shape, 3))


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """One capture and where it came from.

    Attributes:
        image: (height, width, 3) uint8 or uint16, RGB; grey input has three equal channels.
        source: file name or camera name, for people.
        sha256: hex digest of the bytes as they came.
        bits: significant bits of a sample, 8 to 16.
        channels: 1 for grey input, 3 for colour.
        pixel_size_um: edge of a pixel in micrometres, None where unknown.
        taken: what of the file this is; None: all of it, and full scale is 2**bits - 1.
        ignored: (height, width) bool, True where something is drawn or nothing was recorded; None: nowhere.
    """

    image: ImageArray
    source: str
    sha256: str
    bits: int = 8
    channels: int = 3
    pixel_size_um: float | None = None
    taken: Taken | None = None
    ignored: npt.NDArray[np.bool_] | None = None

    @property
    def full_scale(self) -> int:
        """Sample value of full light."""
        return 2**self.bits - 1 if self.taken is None else self.taken.full_scale

    @property
    def height(self) -> int:
        """Rows of the image."""
        return int(self.image.shape[0])

    @property
    def width(self) -> int:
        """Columns of the image."""
        return int(self.image.shape[1])


def with_pixel_size(frame: Frame, chosen: "CountSettings | CountResult") -> Frame:
    """The frame with the pixel size of the objective that was chosen, else of the assay, where the file gives none."""
    source, origin = (
        (chosen.objective, "objective") if chosen.objective else (chosen.assay, "assay")
    )
    size_um = None if source is None else source.pixel_size_um
    if size_um is None or frame.pixel_size_um is not None:
        return frame
    taken = frame.taken or Taken(full_scale=frame.full_scale)
    taken = msgspec.structs.replace(taken, pixel_size_from=origin)
    return replace(frame, pixel_size_um=size_um, taken=taken)


class Cell(msgspec.Struct, frozen=True, kw_only=True):
    """One detected cell; lengths in pixels of the original image, axes x right and y down.

    Attributes:
        id: value of the cell's pixels in the label image, 1..n.
        x, y: centroid; the centre of the top-left pixel is (0, 0).
        area_px: number of pixels.
        equivalent_diameter_px: diameter of the disc of that area.
        bbox: (x0, y0, x1, y1), half-open.
        mean_intensity, max_intensity: one number per channel, in input units.
        score: mean of the probability map over the cell, 0 to 1.
        probability: calibrated probability that a person would count it, 0 to 1.
    """

    id: int
    x: float
    y: float
    area_px: int
    equivalent_diameter_px: float
    bbox: tuple[int, int, int, int]
    mean_intensity: tuple[float, ...]
    max_intensity: tuple[float, ...]
    score: float
    probability: float


class Flag(msgspec.Struct, frozen=True, kw_only=True):
    """A warning about the whole frame: a stable code and a sentence for people."""

    code: str
    text: str


class Seconds(msgspec.Struct, frozen=True, kw_only=True):
    """Wall time of each stage in seconds; 0 where the stage did not run."""

    read: float = 0.0
    network: float = 0.0
    label: float = 0.0
    measure: float = 0.0
    write: float = 0.0
    total: float = 0.0


class CountResult(msgspec.Struct, frozen=True, kw_only=True):
    """The one value that is stored, served, exported and scored.

    Attributes:
        image, image_sha256: name and digest of the input.
        count: always len(cells).
        cells: counted cells, ids 1..count.
        doubtful: objects near the decision on either side; those not counted have ids above count.
        interval: 90 % interval [low, high] of the count; high is None where a flag says that none can be promised.
        flags: why this frame may be unlike what the model was trained on.
        model: which network.
        threshold: cut-off on the probability map, 0 to 1, exclusive.
        model_reason: why this model was taken, half a sentence; empty where a person chose it.
        cell_diameter_px: typical cell diameter assumed in this image.
        cell_diameter_from: "set" by a person, "estimated" from the image, or "usual" for the model where nothing in
            the image tells it.
        cell_diameter_range_px: what an estimated diameter could be; None where it was not estimated.
        min_area_px: objects smaller than this many original pixels are not counted.
        exclude_border: True where cells touching the frame's edge are not counted.
        width, height: of the original image.
        bits, channels: significant bits of a sample and number of channels of the input.
        pixel_size_um: micrometres per pixel or None.
        seconds: what it cost.
        taken: what of the file was counted, and how its samples were understood.
        software: version of fluocount.
        versions: of the interpreter, the libraries, Python and the machine that counted, by name.
        assay: with its whole content; None where none was used.
        objective: the one that was chosen for this count; None where the file or the assay speaks for itself.
    """

    image: str
    image_sha256: str
    count: int
    cells: tuple[Cell, ...]
    doubtful: tuple[Cell, ...] = ()
    interval: CountInterval
    flags: tuple[Flag, ...] = ()
    model: ModelRef
    model_reason: str = ""
    threshold: float
    cell_diameter_px: float
    cell_diameter_from: DiameterFrom = "set"
    cell_diameter_range_px: tuple[float, float] | None = None
    min_area_px: float
    exclude_border: bool = False
    width: int
    height: int
    bits: int = 8
    channels: int = 3
    pixel_size_um: float | None = None
    taken: Taken = Taken()
    seconds: Seconds = Seconds()
    software: str = ""
    versions: dict[str, str] = {}
    assay: Assay | None = None
    objective: Objective | None = None

    @property
    def reading(self) -> Reading:
        """Which picture of the file was asked for."""
        return self.taken.asked

    def __post_init__(self) -> None:
        if self.count != len(self.cells):
            raise ValueError(f"count is {self.count} but there are {len(self.cells)} cells")


class CountSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What a person may choose for one count; None means the assay's value, else the model card's.

    An open cell diameter is estimated from the image.

    Attributes:
        threshold: cut-off on the probability map, 0 to 1.
        cell_diameter_px: how large a cell is in this image, in original pixels.
        min_area_px: smallest object that counts, in original pixels.
        exclude_border: leave out cells that touch the frame's edge.
        reading: which picture of the file is counted; the assay's choice is in it already.
        assay: for everything that is not chosen here.
        objective: gives the size of a pixel where the file does not.
    """

    threshold: float | None = None
    cell_diameter_px: float | None = None
    min_area_px: float | None = None
    exclude_border: bool | None = None
    reading: Reading = AS_THE_FILE_SAYS
    assay: Assay | None = None
    objective: Objective | None = None


def with_assay(settings: CountSettings, assay: Assay | None) -> CountSettings:
    """The settings under an assay: its reading fills in what they leave open."""
    if assay is None:
        return settings
    reading = merge(assay.reading, settings.reading)
    return msgspec.structs.replace(settings, assay=assay, reading=reading)


def settings_of(value: object) -> CountSettings:
    """The settings among the attributes of a value, such as a result; what it lacks is None."""
    return msgspec.convert(value, CountSettings, from_attributes=True)


@dataclass(frozen=True, slots=True, eq=False)
class Counted:
    """A result and the arrays that justify it.

    Attributes:
        result: the value to keep.
        probability: (h, w) uint8 codes at the model's working scale, see PROBABILITY_STEPS.
        labels: (height, width) int32 in original pixels, 0 background, 1..count cells,
            values above count the doubtful objects that were not counted are NOT in it.
    """

    result: CountResult
    probability: ProbabilityMap
    labels: LabelImage


def disc_area(diameter_px: float) -> float:
    """Area in pixels of a disc of that diameter."""
    return math.pi * diameter_px**2 / 4


DECODE_ERRORS = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What msgspec raises for bytes that are no JSON of a record; bad text and deep nesting have errors of their own."""


def to_json(value: Any) -> bytes:
    """Encode a record as one line of JSON."""
    return msgspec.json.encode(value)
