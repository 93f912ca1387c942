"""The numbers that travel with the weights. A missing or unknown field is an error, never a silent default."""

import hashlib
from typing import Generic, Literal, TypeVar

import msgspec

View = Literal["colour", "grey"]
"""What a network sees of a frame (device.counting.view).

`colour`: the samples as they are, of full scale; `grey`: one plane that is the same whatever the stain's colour.
"""


class ModelRef(msgspec.Struct, frozen=True, kw_only=True):
    """Which model counted: `sha256` of the .tflite, `card_sha256` of everything its card says."""

    name: str
    version: str
    sha256: str
    card_sha256: str = ""


class StageTiling(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How one stage of a network that is cut into stages (convert.stages) runs. Pixels of the image.

    Attributes:
        step_px, stride_px: edge of a pixel of its finest and of its coarsest level.
        margin_px: what its tiles read and throw away per side to be exact.
        share: its part of the network's multiply-accumulates, 0 to 1.
        wide_columns: columns that its wide form (convert.wide) takes as one pixel; 1 where it has none.
    """

    step_px: int
    stride_px: int
    margin_px: int
    share: float
    wide_columns: int = 1


class Tiling(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a frame may be cut. Pixels of the working scale.

    Attributes:
        stride_px: total stride of the network; tile origins and sizes are multiples of it.
        receptive_field_px: how far, per side, an output pixel looks.
        margin_px: overlap read and thrown away per side; exact where >= receptive_field_px.
        max_tile_px: pixels in the largest tile (bounds the memory).
        stages: of a network that is cut into stages, in their order; empty where it is one graph.
    """

    stride_px: int
    receptive_field_px: int
    margin_px: int
    max_tile_px: int
    stages: tuple[StageTiling, ...] = ()


class Normalisation(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Quantisation of the network's ends: real = scale * (code - zero_point)."""

    input_scale: float
    input_zero_point: int
    output_scale: float
    output_zero_point: int


class Joining(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which neighbouring parts of a clump are one cell: terms of the log odds (device.counting.labelling.join).

    Attributes:
        intercept: constant term.
        waist: weight of the depth of the waist between them, 1 where there is none.
        probability: weight of the mean probability on the line between them, 0 to 1.
        area: weight of the log of their area together, in cells.
    """

    intercept: float
    waist: float
    probability: float
    area: float


class Postprocessing(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Section 4.3 of the paper; every length and area is relative to the cell diameter d.

    Attributes:
        min_area_ratio: smallest object, as a part of the disc of diameter d.
        max_hole_ratio: largest hole that is filled, likewise.
        peak_distance_ratio: least distance between two watershed seeds, in d.
        smoothing_ratio: sigma of the Gaussian that smooths the distance map, in d.
        min_peak: an object whose highest probability is below this is not a cell; belongs to the card's threshold
            and moves with it where a person chooses another.
        joining: which parts of a clump are joined again; None: none.
    """

    min_area_ratio: float
    max_hole_ratio: float
    peak_distance_ratio: float
    smoothing_ratio: float
    min_peak: float
    joining: Joining | None = None


class Metrics(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the model reached and on what (protocol: docs/models.md).

    `mean_iou`: of the binary masks, mean over cells and background; `cell_iou`: over the cells alone, if measured.
    """

    on: str
    frames: int
    cells: int
    f1: float
    precision: float
    recall: float
    mae: float
    medae: float
    mean_iou: float
    cell_iou: float | None = None


class DataSource(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A data set the weights have seen."""

    name: str
    frames: int
    licence: str


class ObjectFeature(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One term of the log odds: coefficient * (value - mean) / sd (device.counting.confidence.features)."""

    mean: float
    sd: float
    coefficient: float


class Range(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is usual; None where that side is not judged."""

    low: float | None
    high: float | None


T = TypeVar("T", covariant=True)


class FrameStatistics(
    msgspec.Struct, Generic[T], frozen=True, kw_only=True, forbid_unknown_fields=True
):
    """Something for each statistic of a frame that needs no count: its value, or what is usual.

    Grey levels are those of 8 bits.

    Attributes:
        contrast: how far the brightest structures of cell size stand out, grey levels.
        background: lower quartile of the brightest channel, grey levels.
        noise: robust deviation of the finest detail per square root of the brightness.
        sharpness: fine detail of the brightest structures relative to their contrast.
        green_share, blue_share: of what the structures add to the background, 0 to 1.
        saturated_share: part of the pixels with a sample at full scale, 0 to 1.
    """

    contrast: T
    background: T
    noise: T
    sharpness: T
    green_share: T
    blue_share: T
    saturated_share: T


class CountStatistics(
    FrameStatistics[T], Generic[T], frozen=True, kw_only=True, forbid_unknown_fields=True
):
    """The same of a frame that was counted.

    Attributes:
        cell_size_ratio: median diameter of the counted cells per set diameter.
        covered_share: part of the frame that they cover, 0 to 1.
    """

    cell_size_ratio: T
    covered_share: T


class NormalFrame(CountStatistics[Range], frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is usual: ranges over the training frames."""


class Confidence(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How sure a count is (device.counting.confidence.probabilities), fitted on frames the network had not seen.

    Attributes:
        fitted_on: one sentence: on what; or that it is not calibrated.
        frames: on how many frames, 0 where it is not calibrated.
        coverage: part of those frames whose true count lay in the 90 % interval when their fold was left out of
            the fit; None where it was not measured.
        candidate_threshold: objects above this cut-off that are not counted are candidates.
        least_probability: an object that is less likely a cell is not counted; belongs to the card's threshold and
            moves with it. 0 where the network alone decides.
        lone_peak: the least peak (see Postprocessing) in frames unlike those of the fit: there the network alone
            decides.
        intercept, score, size, contrast, brightness, detail, blob, doubt: log odds that an object is a cell.
        frame_sd: standard deviation, between frames, of a shift of all log odds.
        count_sd: standard deviation of the count, as a part of it, by cells that are no object of their own (merged,
            missed) or several, in a frame of doubt 0; 0 where there is no such spread.
        count_slope: the spread of the count grows with the frame's doubt as exp(count_slope x doubt).
        most_doubt: a frame of which the network doubts more (device.counting.confidence.features) is flagged; None
            where no frame is.
        normal_frame: outside these ranges a frame is flagged.
    """

    fitted_on: str
    frames: int
    coverage: float | None
    candidate_threshold: float
    least_probability: float
    lone_peak: float
    intercept: float
    score: ObjectFeature
    size: ObjectFeature
    contrast: ObjectFeature
    brightness: ObjectFeature
    detail: ObjectFeature
    blob: ObjectFeature
    doubt: ObjectFeature = ObjectFeature(mean=0.0, sd=1.0, coefficient=0.0)
    frame_sd: float
    count_sd: float = 0.0
    count_slope: float = 0.0
    most_doubt: float | None = None
    normal_frame: NormalFrame


class DiameterReader(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Weights of the network that reads a scale spectrum (trainer.fitting.diameter).

    Attributes:
        mean, sd: (6,) of the features.
        first, first_bias: (taps, 7, hidden) and (hidden,): convolution over the scales, then ReLU.
        second, second_bias: (taps, hidden) and one number: how likely each scale is, before the softmax.
        fitted_on: one sentence: on what.
    """

    mean: tuple[float, ...]
    sd: tuple[float, ...]
    first: tuple[tuple[tuple[float, ...], ...], ...]
    first_bias: tuple[float, ...]
    second: tuple[tuple[float, ...], ...]
    second_bias: float
    fitted_on: str


class ModelCard(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Everything about one .tflite file.

    Attributes:
        view: what the network sees of a frame (device.counting.view).
        cell_diameter_px: typical cell diameter at the scale the network works at.
        diameter_reader: estimates the cell diameter of a frame; None: it is never estimated.
        frame_cell_diameter_px: typical cell diameter in a full-size frame; assumed where no other is set.
        threshold: best cut-off on the training frames, 0 to 1.
        gmac_per_frame: multiply-accumulates for one 1600x1200 frame without overlap, in 1e9.
        trained_for: one sentence: what the model is meant to count.
    """

    name: str
    version: str
    architecture: str
    view: View
    sha256: str
    tiling: Tiling
    normalisation: Normalisation
    cell_diameter_px: float
    frame_cell_diameter_px: float
    diameter_reader: DiameterReader | None
    threshold: float
    postprocessing: Postprocessing
    confidence: Confidence
    metrics: tuple[Metrics, ...]
    training_data: tuple[DataSource, ...]
    trained_for: str
    gmac_per_frame: float
    git_commit: str
    trained_on: str

    @property
    def ref(self) -> ModelRef:
        """Name, version and hashes, as a result carries them."""
        return ModelRef(
            name=self.name,
            version=self.version,
            sha256=self.sha256,
            card_sha256=hashlib.sha256(msgspec.json.encode(self)).hexdigest(),
        )
