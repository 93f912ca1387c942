"""Counts a stored image again and reports what differs.

past = past_of_count(store, count_id)          # or past_of_file(Path("a.png.result.json"))
replay(past, segmenter).differences            # () when image, model, settings and outcome agree
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import msgspec
import numpy as np
import tifffile

from device import __version__
from device.counting.assay import adapt_card
from device.counting.confidence.promise import interval_words
from device.counting.diameter import Diameter
from device.counting.pipeline import count_frame
from device.counting.records import (
    DECODE_ERRORS,
    Cell,
    Counted,
    CountResult,
    CountSettings,
    Frame,
    LabelImage,
    settings_of,
)
from device.counting.reread import reading_differences
from device.counting.segmenter import Segmenter
from device.counting.settings import resolve
from device.errors import InputError
from device.export.stored import load_count, stored_labels
from device.machine.provenance import software_versions
from device.models.auto import counted_by
from device.sandbox import decode_frame
from device.store import CountRow, Store

What = Literal["image", "model", "settings", "software", "outcome"]
_STORED_NAME = "result.json"
_BESIDE_SUFFIX = ".result.json"


@dataclass(frozen=True, slots=True, eq=False)
class Past:
    """A stored result, and what is needed to count again.

    Attributes:
        result: the stored result.
        asked: requested settings; None in it uses the value of the present model card.
        model: name or path of the model.
        image_path: the present place of the image.
        labels: the stored label image (H, W) int32, None if it is not available.
    """

    result: CountResult
    asked: CountSettings
    model: str
    image_path: Path
    labels: LabelImage | None = None


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """One difference, in words."""

    what: What
    text: str


class Replay(msgspec.Struct, frozen=True, kw_only=True):
    """The outcome of the new count.

    Attributes:
        count_then, count_now: cells, without corrections by hand.
        differences: in the order image, model, settings, software, outcome.
    """

    count_then: int
    count_now: int
    differences: tuple[Difference, ...]

    @property
    def same(self) -> bool:
        """True if image, model, settings and outcome are the same; the software may differ."""
        return all(difference.what == "software" for difference in self.differences)


def past_of_count(store: Store, count_id: str) -> Past:
    """A done count of the store.

    Raises:
        NotFoundError, ConflictError: there is none, or it is not done.
        StorageError: its files are damaged.
    """
    row = store.counts.get(count_id)
    result = load_count(store, row).result
    return Past(
        result=result,
        asked=_settings_asked(row),
        model=counted_by(row.model, result),
        image_path=store.counts.original_path(row),
        labels=stored_labels(store, count_id),
    )


def past_of_file(path: Path, image: Path | None = None) -> Past:
    """A result file as `count --out`, `watch` and the store write it.

    Args:
        path: the JSON file; a label image beside it is compared too.
        image: where its image is now, or a folder with it in some sub-folder; None searches the usual places.

    Raises:
        InputError: the file is no result, or its image or label image cannot be read.
    """
    try:
        result = msgspec.json.decode(path.read_bytes(), type=CountResult)
    except OSError as error:
        raise InputError(
            f"{path} cannot be read ({error.strerror}); name a result.json file or the id of a count."
        ) from None
    except DECODE_ERRORS as error:
        raise InputError(f"{path} is not a fluocount result ({error}).") from None
    if image is not None and image.is_dir():
        image = next(iter(sorted(image.rglob(Path(result.image).name))), image / result.image)
    place = image or _find_image(path, result)
    return Past(result, _restore_request(result), result.model.name, place, _labels_beside(path))


def _restore_request(result: CountResult) -> CountSettings:
    """The settings of a result; a cell diameter that was not set is left open again."""
    used = settings_of(result)
    if result.cell_diameter_from == "set":
        return used
    return msgspec.structs.replace(used, cell_diameter_px=None)


def _labels_beside(path: Path) -> LabelImage | None:
    """The label image (H, W) int32 that `count --out` wrote with a result; None where there is none."""
    labels = path.with_name(path.name.removesuffix(_BESIDE_SUFFIX) + ".labels.tif")
    if not path.name.endswith(_BESIDE_SUFFIX) or not labels.is_file():
        return None
    try:
        return np.asarray(tifffile.imread(labels)).astype(np.int32)
    except Exception as error:  # noqa: BLE001 - tifffile raises any exception for a damaged file
        raise InputError(f"{labels} cannot be read ({error}); restore or delete it.") from None


def results_in(folder: Path) -> list[Path]:
    """Result files of a folder and its sub-folders, by name.

    Raises:
        InputError: there is none.
    """
    found = sorted(folder.rglob(f"*{_BESIDE_SUFFIX}"))
    if not found:
        raise InputError(
            f"The folder {folder} contains no results; name one that `fluocount count --out` wrote."
        )
    return found


def replay(past: Past, segmenter: Segmenter) -> Replay:
    """Count the image again and compare.

    Args:
        past: the stored result.
        segmenter: the present model.

    Raises:
        InputError: the image cannot be read any more, or a setting is outside its range.
    """
    try:
        data = past.image_path.read_bytes()
    except OSError as error:
        raise InputError(
            f"The image {past.image_path} cannot be read ({error.strerror}); name it with --image."
        ) from None
    frame = decode_frame(data, past.result.image, past.asked.reading)
    now = count_frame(frame, segmenter, past.asked)
    differences = (
        *_image_differences(past, data, frame),
        *_model_differences(past, segmenter),
        *_settings_differences(past, segmenter),
        *_software_differences(past),
        *_outcome_differences(past, now),
    )
    return Replay(count_then=past.result.count, count_now=now.result.count, differences=differences)


def _settings_asked(row: CountRow) -> CountSettings:
    """The first request, with the values of a later re-labelling."""
    if not row.relabels:
        return row.settings
    used = settings_of(row.relabels[-1])  # a re-labelling never changes the cell diameter
    return msgspec.structs.replace(
        used,
        cell_diameter_px=row.settings.cell_diameter_px,
        reading=row.settings.reading,
        assay=row.settings.assay,
        objective=row.settings.objective,
    )


def _find_image(path: Path, result: CountResult) -> Path:
    """Beside the result, or in the folder that holds the output folder, or in the store's folder."""
    beside = path.name.removesuffix(_BESIDE_SUFFIX)
    depth = 2 + len(Path(result.image).parts)
    places = [folder / name for folder in path.parents[:depth] for name in (result.image, beside)]
    if path.name == _STORED_NAME:
        places += sorted(path.parent.parent.glob("original*"))
    for place in places:
        if place.is_file() and place != path:
            return place
    raise InputError(f"The image {result.image} of {path} was not found; name it with --image.")


def _image_differences(past: Past, data: bytes, frame: Frame) -> list[Difference]:
    now, then = hashlib.sha256(data).hexdigest(), past.result.image_sha256
    if now == then:
        changes = reading_differences(past.result, frame)
        return [Difference(what="image", text=f"read differently: {text}") for text in changes]
    text = f"{past.image_path} has sha256 {now[:12]}..., the counted image had {then[:12]}..."
    return [Difference(what="image", text=text)]


def _model_differences(past: Past, segmenter: Segmenter) -> list[Difference]:
    then, now = past.result.model, adapt_card(segmenter.card, past.asked.assay).ref
    if then.sha256 != now.sha256:
        text = (
            f"{now.name} {now.version} (sha256 {now.sha256[:12]}...), it was {then.name} "
            f"{then.version} ({then.sha256[:12]}...)"
        )
    elif then.card_sha256 not in ("", now.card_sha256):
        text = f"the weights of {now.name} are the same, but its card has other numbers"
    else:
        return []
    return [Difference(what="model", text=text)]


def _settings_differences(past: Past, segmenter: Segmenter) -> list[Difference]:
    card = adapt_card(segmenter.card, past.asked.assay)
    past_px = past.result.cell_diameter_px
    estimated = Diameter(past_px, past_px, past_px)
    now = resolve(past.asked, card, past.result.pixel_size_um, estimated)
    found = []
    # The image is read again as it was asked for; assay and objective are those that the result keeps.
    for name in set(CountSettings.__struct_fields__) - {"reading", "assay", "objective"}:
        before, after = getattr(past.result, name), getattr(now, name)
        if before != after:
            text = f"{name} is {_show(after)}, it was {_show(before)}"
            found.append(Difference(what="settings", text=text))
    return found


def _show(value: float | bool) -> str:
    return ("yes" if value else "no") if isinstance(value, bool) else f"{value:g}"


def _software_differences(past: Past) -> list[Difference]:
    then = past.result.versions | {"fluocount": past.result.software}
    now = software_versions() | {"fluocount": __version__}
    return [
        Difference(
            what="software",
            text=f"{name} is {now.get(name, 'not installed')}, it was {then[name]}",
        )
        for name in sorted(then)
        if then[name] != now.get(name)
    ]


def _outcome_differences(past: Past, now: Counted) -> list[Difference]:
    texts = []
    then = past.result
    if then.count != now.result.count:
        texts.append(f"{now.result.count} cells, there were {then.count}")
    if gone := _count_unmatched(then.cells, now.result.cells):
        texts.append(f"{gone} cells are missing or changed")
    if new := _count_unmatched(now.result.cells, then.cells):
        texts.append(f"{new} cells are new or changed")
    if past.labels is not None and not np.array_equal(past.labels, now.labels):
        texts.append("the label image differs")
    if then.doubtful != now.result.doubtful:
        texts.append("the doubtful objects differ")
    known, found = interval_words(then.interval), interval_words(now.result.interval)
    if known != found:
        texts.append(f"the interval is {found}, it was {known}")
    before, after = ({flag.code for flag in result.flags} for result in (then, now.result))
    if before != after:  # their sentences may be worded anew
        texts.append("the flags differ")
    return [Difference(what="outcome", text=text) for text in texts]


def _count_unmatched(cells: tuple[Cell, ...], others: tuple[Cell, ...]) -> int:
    """How many of `cells` have no exact equal among `others`."""
    known = {msgspec.structs.replace(cell, id=0) for cell in others}
    return sum(msgspec.structs.replace(cell, id=0) not in known for cell in cells)
