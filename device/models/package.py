"""A model to be installed, as one ZIP: NAME.tflite, its card NAME.json, and a frame with what the model counts in it.

proof.json               the count, and how large a cell is in the frame
proof.tif                the frame
"""

import hashlib
import io
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import msgspec
import numpy as np

from device.counting.card import ModelCard
from device.counting.records import DECODE_ERRORS, Frame
from device.errors import InputError
from device.imageio.decoded import MAX_SIDE_PX
from device.imageio.planes import decode_plane, encode_plane, frame_of_plane, largest_plane_bytes
from device.machine.files import read_entry

MAX_TFLITE_BYTES = 100_000_000
MAX_CARD_BYTES = 2_000_000
MAX_PROOF_PX = 4_000_000
PROOF, PROOF_FRAME = "proof.json", "proof.tif"

Side = Annotated[int, msgspec.Meta(ge=1, le=MAX_SIDE_PX)]
Positive = Annotated[float, msgspec.Meta(gt=0)]


class Proof(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the model counted where it was made: any other machine must come to the same.

    Attributes:
        count: cells in the frame.
        cell_diameter_px: of a typical cell in it.
        width, height, channels, full_scale: of the frame, see Frame.
    """

    count: int
    cell_diameter_px: Positive
    width: Side
    height: Side
    channels: Annotated[int, msgspec.Meta(ge=1, le=3)]
    full_scale: Annotated[int, msgspec.Meta(ge=1, le=65535)]


@dataclass(frozen=True, slots=True, eq=False)
class Package:
    """A model, its card, and perhaps a frame that proves it.

    Attributes:
        card, tflite: the model; the hash in the card is that of the file.
        proof, frame: what it counts in which frame; None where nothing was sent along.
    """

    card: ModelCard
    tflite: bytes
    proof: Proof | None = None
    frame: Frame | None = None


def pack_model(package: Package) -> bytes:
    """The ZIP of a model."""
    stream, name = io.BytesIO(), package.card.name
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(f"{name}.tflite", package.tflite)
        archive.writestr(f"{name}.json", encode_card(package.card))
        if package.proof is not None and package.frame is not None:
            image = package.frame.image
            samples = image[..., 0] if package.frame.channels == 1 else image
            archive.writestr(PROOF, encode_card(package.proof))
            archive.writestr(PROOF_FRAME, encode_plane(np.ascontiguousarray(samples)))
    return stream.getvalue()


def encode_card(record: ModelCard | Proof) -> bytes:
    """The JSON file of a card, for people too."""
    return msgspec.json.format(msgspec.json.encode(record), indent=2) + b"\n"


def read_package(path: Path) -> Package:
    """A model from its ZIP, or from a .tflite with its card beside it.

    Raises:
        InputError: missing, damaged, too large, or the card is not that of the model.
    """
    try:
        if path.suffix == ".tflite":
            return _check(
                path.name, path.with_suffix(".json").read_bytes(), path.read_bytes(), None
            )
        return unpack_model(path.read_bytes(), path.name)
    except OSError as error:
        raise InputError(
            f"{error.filename or path} cannot be read ({error.strerror}); give the .zip that fluocount-train adapt "
            "wrote, or a .tflite with its card beside it."
        ) from None


def unpack_model(data: bytes, name: str) -> Package:
    """A model from the bytes of its ZIP; names and sizes are checked before anything is unpacked.

    Args:
        data: of the file.
        name: of the file, for messages.

    Raises:
        InputError: as `read_package`.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            return _unpack(archive, name)
    except InputError:
        raise
    except Exception as error:  # noqa: BLE001 - damaged entries and images raise any exception
        raise _no_model(name, str(error).rstrip(".")) from None


def _no_model(name: str, why: str) -> InputError:
    return InputError(
        f"{name} contains no model that this fluocount can use ({why}); give the .zip that fluocount-train adapt wrote."
    )


def _unpack(archive: zipfile.ZipFile, name: str) -> Package:
    sizes = {entry.filename: entry.file_size for entry in archive.infolist()}
    models = [one for one in sizes if one.endswith(".tflite")]
    model = models[0] if len(models) == 1 else ""
    card = f"{model.removesuffix('.tflite')}.json"
    if not model or len(archive.infolist()) != len(sizes):
        raise _no_model(name, "it must hold one .tflite and its card")
    if set(sizes) not in ({model, card}, {model, card, PROOF, PROOF_FRAME}):
        raise _no_model(name, f"it contains other files: {', '.join(sorted(sizes))[:200]}")
    proof = frame = None
    if PROOF in sizes:
        proof = msgspec.json.decode(read_entry(archive, PROOF, MAX_CARD_BYTES), type=Proof)
        frame = _proof_frame(archive, proof)
    found = _check(
        name,
        read_entry(archive, card, MAX_CARD_BYTES),
        read_entry(archive, model, MAX_TFLITE_BYTES),
        model,
    )
    return Package(found.card, found.tflite, proof, frame)


def _proof_frame(archive: zipfile.ZipFile, proof: Proof) -> Frame:
    if proof.width * proof.height > MAX_PROOF_PX:
        raise ValueError("its frame is too large")
    shape = (proof.height, proof.width) if proof.channels == 1 else (proof.height, proof.width, 3)
    most = largest_plane_bytes(2 * proof.width * proof.height * proof.channels)
    data = read_entry(archive, PROOF_FRAME, most)
    samples = decode_plane(data, shape)
    if samples.dtype not in (np.uint8, np.uint16):
        raise ValueError(f"its frame has samples of {samples.dtype}")
    return frame_of_plane(samples, "proof", hashlib.sha256(data).hexdigest(), proof.full_scale)


def _check(name: str, card_json: bytes, tflite: bytes, entry: str | None) -> Package:
    """The model with its card, which must be that of these very bytes."""
    try:
        card = msgspec.json.decode(card_json, type=ModelCard)
    except DECODE_ERRORS as error:
        raise _no_model(name, f"its card: {str(error).rstrip('.')}") from None
    if hashlib.sha256(tflite).hexdigest() != card.sha256:
        raise InputError(
            f"The card in {name} is of another model (its hash differs); take both from the same training."
        )
    if (entry or name) != f"{card.name}.tflite":
        raise InputError(f"{entry or name} must carry the name that its card gives, {card.name}.")
    return Package(card, tflite)
