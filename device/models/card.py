"""The model card: everything a count needs to know about its network. A missing field is an error."""

import hashlib
from pathlib import Path

import msgspec

from device.counting.records import ModelRef
from device.errors import ModelError

MODELS_DIR = Path(__file__).parent
DEFAULT_MODEL = "fast"


class Tiling(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a frame may be cut. Pixels of the working scale.

    Attributes:
        stride_px: total stride of the network; tile origins and sizes are multiples of it.
        receptive_field_px: how far, per side, an output pixel looks.
        margin_px: overlap read and thrown away per side; exact where >= receptive_field_px.
        max_tile_px: pixels in the largest tile (bounds the memory).
    """

    stride_px: int
    receptive_field_px: int
    margin_px: int
    max_tile_px: int


class Normalisation(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Quantisation of the network's ends: real = scale * (code - zero_point)."""

    input_scale: float
    input_zero_point: int
    output_scale: float
    output_zero_point: int


class Postprocessing(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Section 4.3 of the paper; every length and area is relative to the cell diameter d.

    Attributes:
        min_area_ratio: smallest object, as a part of the disc of diameter d.
        max_hole_ratio: largest hole that is filled, likewise.
        peak_distance_ratio: least distance between two watershed seeds, in d.
        smoothing_ratio: sigma of the Gaussian that smooths the distance map, in d.
        min_peak: an object whose highest probability is below this is not a cell.
    """

    min_area_ratio: float
    max_hole_ratio: float
    peak_distance_ratio: float
    smoothing_ratio: float
    min_peak: float


class Metrics(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the model reached and on what (protocol: docs/models.md)."""

    on: str
    frames: int
    cells: int
    f1: float
    precision: float
    recall: float
    mae: float
    medae: float
    mean_iou: float


class DataSource(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A data set the weights have seen."""

    name: str
    frames: int
    licence: str


class ModelCard(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Everything about one .tflite file.

    Attributes:
        cell_diameter_px: typical cell diameter at the scale the network works at.
        frame_cell_diameter_px: typical cell diameter in a full-size frame; assumed where nobody says otherwise.
        threshold: best cut-off on the training frames, 0 to 1.
        gmac_per_frame: multiply-accumulates for one 1600x1200 frame without overlap, in 1e9.
        trained_for: one sentence: what the model is meant to count.
    """

    name: str
    version: str
    architecture: str
    sha256: str
    tiling: Tiling
    normalisation: Normalisation
    cell_diameter_px: float
    frame_cell_diameter_px: float
    threshold: float
    postprocessing: Postprocessing
    metrics: tuple[Metrics, ...]
    training_data: tuple[DataSource, ...]
    trained_for: str
    gmac_per_frame: float
    git_commit: str
    trained_on: str

    @property
    def ref(self) -> ModelRef:
        """Name, version and hash, as a result carries them."""
        return ModelRef(name=self.name, version=self.version, sha256=self.sha256)


def available_models() -> list[str]:
    """Names of the shipped models, sorted."""
    return sorted(path.stem for path in MODELS_DIR.glob("*.tflite"))


def find_model(name_or_path: str) -> Path:
    """Path of the .tflite that a name or a path means.

    Raises:
        ModelError: nothing of that name is shipped and no such file exists.
    """
    path = Path(name_or_path)
    if path.suffix == ".tflite":
        if path.is_file():
            return path
        raise ModelError(f"There is no model file {path}; give the path of a .tflite with its .json card.")
    shipped = MODELS_DIR / f"{name_or_path}.tflite"
    if shipped.is_file():
        return shipped
    raise ModelError(
        f"There is no model called {name_or_path!r}; shipped are {', '.join(available_models()) or 'none'}, "
        "or give the path of a .tflite file."
    )


def load_card(model_path: Path) -> ModelCard:
    """Read and check the card beside a .tflite, its hash included.

    Raises:
        ModelError: card or model missing, card damaged or incomplete, or hash differs.
    """
    card_path = model_path.with_suffix(".json")
    try:
        card = msgspec.json.decode(card_path.read_bytes(), type=ModelCard)
    except FileNotFoundError:
        raise ModelError(f"The model {model_path} has no card {card_path.name}; put the card beside it.") from None
    except msgspec.DecodeError as error:
        raise ModelError(
            f"The model card {card_path} is damaged ({error}); restore it from the release."
        ) from None
    digest = hashlib.sha256(model_path.read_bytes()).hexdigest()
    if digest != card.sha256:
        raise ModelError(
            f"The model {model_path} is not the one its card describes "
            f"(sha256 {digest[:12]}..., card says {card.sha256[:12]}...); restore both from the same release."
        )
    return card
