"""The training file: corrected frames with outlines or dots, in one ZIP that is checked before anything of it is used.

manifest.json            format, assay, and one entry per frame
frames/0001.tif          the frame as it was counted: (height, width) grey or (height, width, 3) RGB, uint8 or uint16
labels/0001.tif          outlines: (height, width), 0 background, 1..n the cells; absent where a frame has dots alone
"""

import zipfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import msgspec
import numpy as np

from device import __version__
from device.counting.assay import Assay, Positive
from device.counting.records import DECODE_ERRORS, Frame, LabelImage
from device.counting.scale import without_ignored
from device.errors import InputError
from device.imageio.decoded import MAX_SIDE_PX
from device.imageio.planes import decode_plane, encode_plane, frame_of_plane, largest_plane_bytes
from device.machine.files import read_entry
from device.machine.pipe import Pipe

FORMAT = "fluocount training 1"
MANIFEST = "manifest.json"
MAX_FRAMES = 2000
MAX_MANIFEST_BYTES = 20_000_000
MAX_BYTES = 4_000_000_000
"""All frames and outlines together, unpacked."""

Side = Annotated[int, msgspec.Meta(ge=1, le=MAX_SIDE_PX)]
Whole = Annotated[int, msgspec.Meta(ge=0, le=1_000_000)]


class TrainingFrame(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One corrected frame; its files carry its number in the file, from 1, with four digits.

    Attributes:
        image: file name, for people.
        sha256: of the file as it came; frames with the same one show the same tissue.
        width, height: pixels.
        channels: 1 for grey, 3 for colour.
        sample_bits: 8 or 16, of the array.
        full_scale: sample value of full light.
        pixel_size_um: edge of a pixel, null where unknown.
        cell_diameter_px: of a typical cell in this frame.
        counted: what the device had counted before the corrections.
        outlines: cells with an outline, 0 where there are dots alone.
        dots: (x, y) of the cells without one; the centre of the top-left pixel is (0, 0).
    """

    image: Annotated[str, msgspec.Meta(max_length=1000)]
    sha256: Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")]
    width: Side
    height: Side
    channels: Annotated[int, msgspec.Meta(ge=1, le=3)]
    sample_bits: Annotated[int, msgspec.Meta(ge=8, le=16)]
    full_scale: Annotated[int, msgspec.Meta(ge=1, le=65535)]
    pixel_size_um: Positive | None
    cell_diameter_px: Positive
    counted: Whole
    outlines: Whole
    dots: tuple[tuple[float, float], ...]

    @property
    def cells(self) -> int:
        """True cells."""
        return self.outlines + len(self.dots)

    @property
    def frame_bytes(self) -> int:
        """Of the samples, unpacked."""
        return self.width * self.height * self.channels * (self.sample_bits // 8)


class Manifest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`manifest.json`: what is in the file, and what the frames were counted with."""

    format: str
    software: str
    assay: Assay
    frames: Annotated[tuple[TrainingFrame, ...], msgspec.Meta(min_length=1, max_length=MAX_FRAMES)]


@dataclass(frozen=True, slots=True, eq=False)
class CorrectedFrame:
    """A frame out of a training file.

    Attributes:
        about: its entry.
        frame: as it was counted.
        labels: (height, width) int32, 1..about.outlines the cells with an outline.
    """

    about: TrainingFrame
    frame: Frame
    labels: LabelImage


def correct_frame(
    frame: Frame,
    labels: LabelImage,
    *,
    cell_diameter_px: float,
    counted: int,
    dots: Iterable[tuple[float, float]] = (),
) -> CorrectedFrame:
    """A frame with the truth about it; what is no picture of the sample takes the colour of the background.

    Args:
        frame: as it was counted.
        labels: (height, width), the outlines, 1..n without gaps.
        cell_diameter_px: of a typical cell in it.
        counted: what the device had counted.
        dots: (x, y) of the cells without an outline.
    """
    about = TrainingFrame(
        image=frame.source,
        sha256=frame.sha256,
        width=frame.width,
        height=frame.height,
        channels=frame.channels,
        sample_bits=8 * frame.image.dtype.itemsize,
        full_scale=frame.full_scale,
        pixel_size_um=frame.pixel_size_um,
        cell_diameter_px=cell_diameter_px,
        counted=counted,
        outlines=int(labels.max(initial=0)),
        dots=tuple(dots),
    )
    clean: Any = without_ignored(frame.image, frame.ignored)
    return CorrectedFrame(about, replace(frame, image=clean, ignored=None), labels)


def frame_file(number: int) -> str:
    """Name of the frame with that number, from 1."""
    return f"frames/{number:04d}.tif"


def labels_file(number: int) -> str:
    """Name of its outlines."""
    return f"labels/{number:04d}.tif"


def pack_training(assay: Assay, frames: Iterable[CorrectedFrame]) -> Iterator[bytes]:
    """A training file in pieces as it is made: one frame is in memory at a time."""
    pipe, entries = Pipe(), []
    with zipfile.ZipFile(pipe, "w", zipfile.ZIP_STORED) as archive:
        for number, one in enumerate(frames, 1):
            entries.append(one.about)
            samples = one.frame.image[..., 0] if one.frame.channels == 1 else one.frame.image
            archive.writestr(frame_file(number), encode_plane(np.ascontiguousarray(samples)))
            if one.about.outlines:
                small = np.uint16 if one.about.outlines <= np.iinfo(np.uint16).max else np.uint32
                archive.writestr(labels_file(number), encode_plane(one.labels.astype(small)))
            yield pipe.take()
        made = Manifest(format=FORMAT, software=__version__, assay=assay, frames=tuple(entries))
        data = msgspec.json.format(msgspec.json.encode(made), indent=1)
        archive.writestr(MANIFEST, data, zipfile.ZIP_DEFLATED)
    yield pipe.take()


def read_manifest(path: Path) -> Manifest:
    """Check a whole training file, without unpacking an image, and say what is in it.

    Raises:
        InputError: missing, damaged, too large, or something else than a training file.
    """
    with _opened(path) as archive:
        return _manifest(archive, path.name)


def read_frames(path: Path) -> Iterator[CorrectedFrame]:
    """The frames of a training file, one at a time.

    Raises:
        InputError: as `read_manifest`, or an image is damaged or not as the manifest says.
    """
    with _opened(path) as archive:
        for number, about in enumerate(_manifest(archive, path.name).frames, 1):
            yield _read_corrected(archive, number, about, path.name)


def _opened(path: Path) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(path)
    except OSError as error:
        raise InputError(
            f"{path} cannot be read ({error.strerror}); check the file name."
        ) from None
    except zipfile.BadZipFile:
        raise _no_training_file(path.name, "it is no ZIP, or damaged") from None


def _no_training_file(name: str, why: str) -> InputError:
    return InputError(
        f"{name} cannot be used as a training file ({why}); make it with: fluocount export --training FILE."
    )


def _manifest(archive: zipfile.ZipFile, name: str) -> Manifest:
    """The manifest; every entry of the file is named by it and no larger than it says."""
    entries = archive.infolist()
    if len(entries) > 2 * MAX_FRAMES + 1:
        raise _no_training_file(name, f"it has {len(entries)} entries")
    try:
        found = msgspec.json.decode(
            read_entry(archive, MANIFEST, MAX_MANIFEST_BYTES), type=Manifest
        )
    except (KeyError, ValueError, *DECODE_ERRORS) as error:
        raise _no_training_file(name, f"its list of frames: {str(error).rstrip('.')}") from None
    if found.format != FORMAT:
        raise _no_training_file(name, f"its format is {found.format[:60]!r}, not {FORMAT!r}")
    limits = _limits(found) | {MANIFEST: MAX_MANIFEST_BYTES}
    names = [entry.filename for entry in entries]
    if sorted(names) != sorted(limits):
        odd = sorted(set(names) ^ set(limits)) or ["an entry twice"]
        raise _no_training_file(name, f"its entries and its list differ: {odd[0][:60]}")
    large = [entry.filename for entry in entries if entry.file_size > limits[entry.filename]]
    if large or sum(limits.values()) > MAX_BYTES:
        raise _no_training_file(name, f"{large[0] if large else 'it'} is too large")
    return found


def _limits(manifest: Manifest) -> dict[str, int]:
    """The largest size of every image, by its name."""
    limits = {}
    for number, about in enumerate(manifest.frames, 1):
        limits[frame_file(number)] = largest_plane_bytes(about.frame_bytes)
        if about.outlines:
            limits[labels_file(number)] = largest_plane_bytes(4 * about.width * about.height)
    return limits


def _read_corrected(
    archive: zipfile.ZipFile, number: int, about: TrainingFrame, name: str
) -> CorrectedFrame:
    size = (about.height, about.width)
    try:
        shape = size if about.channels == 1 else (*size, 3)
        samples = decode_plane(
            read_entry(archive, frame_file(number), largest_plane_bytes(about.frame_bytes)), shape
        )
        if samples.dtype != np.dtype(f"uint{about.sample_bits}"):
            raise ValueError(f"samples are {samples.dtype}")
        labels = np.zeros(size, np.int32)
        if about.outlines:
            labels = decode_plane(
                read_entry(
                    archive, labels_file(number), largest_plane_bytes(4 * size[0] * size[1])
                ),
                size,
            )
        present = np.unique(labels)
        if set(present.tolist()) - {0} != set(range(1, about.outlines + 1)):
            raise ValueError("it does not hold the outlines that the list names")
    except Exception as error:  # noqa: BLE001 - damaged ZIP entries and TIFFs raise any exception
        raise _no_training_file(name, f"frame {number}, {about.image}: {error}") from None
    return CorrectedFrame(about, _frame(number, about, samples), labels.astype(np.int32))


def _frame(number: int, about: TrainingFrame, samples: np.ndarray) -> Frame:
    """The number keeps frames of the same file name apart."""
    source = f"{number:04d} {about.image.replace('/', '_')}"
    return frame_of_plane(samples, source, about.sha256, about.full_scale, about.pixel_size_um)
