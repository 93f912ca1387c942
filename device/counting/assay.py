"""The assay: what to look for, at which scale, in which channel, how strict, for one stain on one microscope."""

from typing import Annotated

import msgspec

from device.counting.card import Confidence, ModelCard, NormalFrame
from device.counting.reading import AS_THE_FILE_SAYS, Reading
from device.errors import InputError

NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9 ._+-]{0,59}$"
"""A name stands in tables, file names and command lines."""

DEFAULT = "default"
"""Used where no assay is named; the settings file makes it."""

Positive = Annotated[float, msgspec.Meta(gt=0)]
Part = Annotated[float, msgspec.Meta(gt=0, lt=1)]
Text = Annotated[str, msgspec.Meta(max_length=2000)]


PIXEL_SIZE_RANGE_UM = 0.01, 20.0
"""From electron-like oversampling to a stereo microscope; outside, a file's header or an entry is wrong."""


MAX_OBJECTIVE_CHARS = 100
"""Of an objective's name, wherever it is typed, sent or stored."""


class Objective(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An objective, with all that lies between it and the camera.

    Attributes:
        name: for people, such as "20x/0.75".
        pixel_size_um: edge of a pixel in the sample, within PIXEL_SIZE_RANGE_UM.
    """

    name: Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_OBJECTIVE_CHARS)]
    pixel_size_um: Annotated[
        float, msgspec.Meta(ge=PIXEL_SIZE_RANGE_UM[0], le=PIXEL_SIZE_RANGE_UM[1])
    ]


class Exposure(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How the camera takes the pictures of this stain; None: as the camera is set.

    Attributes:
        exposure_s: exposure time.
        gain: analogue amplification, 1 or more.
        red_gain, blue_gain: white balance relative to green.
    """

    exposure_s: Positive | None = None
    gain: Positive | None = None
    red_gain: Positive | None = None
    blue_gain: Positive | None = None


AS_SET = Exposure()


class Taught(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What decides, refitted from frames that a person corrected (device.assays.teaching).

    Attributes:
        model_sha256: of the .tflite that made the maps of those frames; it fits no other.
        threshold: best cut-off on the probability map, 0 to 1.
        min_peak: least highest probability of an object, 0 to 1, see Postprocessing.
        confidence: takes the place of the card's section.
        frames, cells: how many were corrected, and the cells in them.
    """

    model_sha256: str
    threshold: Part
    min_peak: Annotated[float, msgspec.Meta(ge=0, lt=1)]
    confidence: Confidence
    frames: int
    cells: int


class Assay(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The named answer for one stain on one microscope; None means the file's or the model's own value.

    Attributes:
        name: for people and tables.
        version: rises with every change; 0 where it is not stored.
        about: what it is for, in a sentence.
        model: name of a model, or `auto`.
        reading: channel, plane, full scale and offset.
        objective: such as "20x/0.75"; where the instrument's list has one of that name, its pixel size is this one's.
        pixel_size_um: edge of a pixel where neither the file nor the person who counts says it.
        cell_diameter_px, cell_diameter_um: how large a cell is; one of them, or neither.
        threshold: cut-off on the probability map, 0 to 1.
        least_probability: an object less likely a cell is not counted, 0 to 1.
        min_area_px: smallest object that counts, in original pixels.
        exclude_border: leave out cells that touch the frame's edge.
        exposure: of captures.
        usual: outside these ranges a frame is flagged.
        taught: the calibration it was taught.
    """

    name: Annotated[str, msgspec.Meta(pattern=NAME_PATTERN)]
    version: Annotated[int, msgspec.Meta(ge=0)] = 0
    about: Text = ""
    model: Annotated[str, msgspec.Meta(min_length=1, max_length=1000)] = "auto"
    reading: Reading = AS_THE_FILE_SAYS
    objective: Annotated[str, msgspec.Meta(max_length=MAX_OBJECTIVE_CHARS)] = ""
    pixel_size_um: Positive | None = None
    cell_diameter_px: Positive | None = None
    cell_diameter_um: Positive | None = None
    threshold: Part | None = None
    least_probability: Part | None = None
    min_area_px: Annotated[float, msgspec.Meta(ge=0)] | None = None
    exclude_border: bool = False
    exposure: Exposure = AS_SET
    usual: NormalFrame | None = None
    taught: Taught | None = None

    def __post_init__(self) -> None:
        if self.cell_diameter_px is not None and self.cell_diameter_um is not None:
            raise ValueError("give the cell diameter in pixels or in micrometres, not in both")

    def diameter_px(self, pixel_size_um: float | None) -> float | None:
        """Cell diameter in pixels of that size; None where the assay names none.

        Raises:
            InputError: it is in micrometres and the pixel size is unknown.
        """
        if self.cell_diameter_um is None:
            return self.cell_diameter_px
        size_um = pixel_size_um or self.pixel_size_um
        if size_um is None:
            raise InputError(
                f"The assay {self.name} gives the cell diameter in micrometres, but neither it nor the image says how "
                "large a pixel is: add the pixel size to the assay, or give the diameter in pixels."
            )
        return self.cell_diameter_um / size_um


def adapt_card(card: ModelCard, assay: Assay | None) -> ModelCard:
    """The card with what the assay was taught in place of its own numbers.

    Raises:
        InputError: the assay was taught with another model.
    """
    if assay is None:
        return card
    if assay.taught is not None:
        card = _taught(card, assay.name, assay.taught)
    if assay.least_probability is not None:
        confidence = msgspec.structs.replace(
            card.confidence, least_probability=assay.least_probability
        )
        card = msgspec.structs.replace(card, confidence=confidence)
    return card


def _taught(card: ModelCard, name: str, taught: Taught) -> ModelCard:
    if taught.model_sha256 != card.sha256:
        raise InputError(
            f"The assay {name} was taught with another model than {card.name} {card.version}; choose the model it was "
            "taught with, go back to a version of the assay before the teaching, or teach it again."
        )
    confidence = taught.confidence
    if confidence.most_doubt is None:  # the model did not know its doubt yet when it was taught
        confidence = msgspec.structs.replace(confidence, most_doubt=card.confidence.most_doubt)
    return msgspec.structs.replace(
        card,
        threshold=taught.threshold,
        postprocessing=msgspec.structs.replace(card.postprocessing, min_peak=taught.min_peak),
        confidence=confidence,
    )
