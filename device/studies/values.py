"""From counts to values: one line an image, one value a subject. Slices are never taken for animals."""

import re
from collections import Counter
from collections.abc import Sequence

import msgspec

from device.counting.records import CountInterval, CountResult
from device.errors import DamagedError, NotFoundError
from device.export.tables import counted_area_mm2
from device.store import CountRow, Store
from device.store.studies import PerSubject, Place, Study, StudyImage


class ImageLine(msgspec.Struct, frozen=True, kw_only=True):
    """An image of a study.

    Attributes:
        count: corrected by hand where somebody did; None until it is counted.
        automatic: the count before corrections.
        interval: 90 % interval of `count`, without an upper limit (None) where a warning says that none can be
            promised; where a person looked through the image, the count itself.
        area_mm2: the counted area, None where the scale is unknown.
        flags: codes of what is unusual.
        model, assay: with their versions, as text.
        problem: why the image has no count; empty where it has one.
    """

    count_id: str
    image: str
    image_sha256: str
    place: Place
    status: str
    count: int | None
    automatic: int | None
    interval: CountInterval | None
    area_mm2: float | None
    flags: tuple[str, ...]
    reviewed_by: str | None
    corrected: bool
    versions: int
    model: str
    assay: str
    cell_diameter_px: float | None
    problem: str = ""

    @property
    def density(self) -> float | None:
        """Cells per mm2 of the counted area; None where the scale is unknown."""
        if self.count is None or not self.area_mm2:
            return None
        return self.count / self.area_mm2


class Subject(msgspec.Struct, frozen=True, kw_only=True):
    """A subject of a group with its finished images of one region."""

    group: str
    name: str
    region: str
    lines: tuple[ImageLine, ...]
    missing: int = 0

    @property
    def slices(self) -> int:
        """How many images its value is made of."""
        return len(self.lines)


def image_lines(store: Store, name: str) -> list[ImageLine]:
    """Every image of a study, finished or not."""
    return [_line(store, image) for image in store.studies.images(name)]


def subjects_of(lines: Sequence[ImageLine]) -> list[Subject]:
    """The subjects with their finished images, sorted; images without a place are left to the list of problems."""
    found: dict[tuple[str, str, str], list[ImageLine]] = {}
    for line in lines:
        if line.place.is_complete:
            key = (line.place.group, line.place.subject, line.place.region)
            found.setdefault(key, []).append(line)
    subjects = []
    for (group, name, region), own in sorted(found.items(), key=lambda item: _natural(item[0])):
        counted = tuple(line for line in own if line.count is not None)
        missing = len(own) - len(counted)
        subjects.append(
            Subject(group=group, name=name, region=region, lines=counted, missing=missing)
        )
    return subjects


def value_of(
    subject: Subject, counts: Sequence[float], per_subject: PerSubject, density: bool
) -> float | None:
    """The value of a subject if its images had these counts.

    Args:
        subject: whose images they are.
        counts: one an image.
        per_subject: mean or sum of the slices; a density is all cells per all area, whichever is chosen.
        density: cells per mm2 instead of cells.

    Returns:
        None where it has no image, an area is unknown, or a sum lacks an image.
    """
    if not counts:
        return None
    if density:
        areas = [line.area_mm2 for line in subject.lines]
        known = [area for area in areas if area]
        return sum(counts) / sum(known) if len(known) == len(areas) else None
    if per_subject == "sum":
        return None if subject.missing else float(sum(counts))
    return sum(counts) / len(counts)


def values_by_group(
    study: Study, subjects: Sequence[Subject], density: bool
) -> dict[str, list[tuple[Subject, float]]]:
    """The subjects that have a value, by group, in the order of the study."""
    names = study.groups or tuple(sorted({one.group for one in subjects}, key=_natural))
    groups: dict[str, list[tuple[Subject, float]]] = {name: [] for name in names}
    for subject in subjects:
        counts = [float(line.count or 0) for line in subject.lines]
        value = value_of(subject, counts, study.per_subject, density)
        if value is not None and subject.group in groups:
            groups[subject.group].append((subject, value))
    return groups


def regions_of(lines: Sequence[ImageLine]) -> list[str]:
    """The regions that the images name, sorted; one empty text where they name none."""
    return sorted({line.place.region for line in lines if line.place.is_complete}) or [""]


def find_repeated(lines: Sequence[ImageLine]) -> list[str]:
    """Sentences about images that would count twice."""
    told = []
    copies = Counter(line.image_sha256 for line in lines)
    for sha256, number in copies.items():
        if number > 1:
            names = ", ".join(line.image for line in lines if line.image_sha256 == sha256)
            told.append(f"The same picture is in the study {number} times: {names}.")
    slices = Counter(line.place for line in lines if line.place.is_complete and line.place.slice)
    for place, number in slices.items():
        if number > 1:
            where = " ".join(part for part in (place.region, f"slice {place.slice}") if part)
            told.append(f"{where} of {place.subject} ({place.group}) has {number} images.")
    return told


def _line(store: Store, image: StudyImage) -> ImageLine:
    row, result, problem = image.row, None, ""
    if row.status == "done":
        try:
            result = store.result(row.id)
        except (DamagedError, NotFoundError) as error:
            problem = str(error)
    else:
        problem = row.error or {"queued": "waits to be counted", "running": "is being counted"}.get(
            row.status, row.status
        )
    return ImageLine(
        count_id=row.id,
        image=row.image,
        image_sha256=row.image_sha256,
        place=image.place,
        status=row.status,
        count=row.corrected_count if result is not None else None,
        automatic=row.count if result is not None else None,
        interval=None if result is None else interval_of(row),
        area_mm2=None if result is None else counted_area_mm2(result),
        flags=tuple(flag.code for flag in row.flags),
        reviewed_by=row.reviewed_by,
        corrected=row.corrected_count != row.count,
        versions=image.versions,
        model="" if result is None else f"{result.model.name} {result.model.version}",
        assay=_assay(result),
        cell_diameter_px=None if result is None else result.cell_diameter_px,
        problem=problem,
    )


def flag_words(line: ImageLine) -> str:
    """The warnings of an image for people, e.g. out of focus, saturated."""
    return ", ".join(code.replace("_", " ") for code in line.flags)


def interval_of(row: CountRow) -> CountInterval | None:
    """90 % interval of the corrected count: none is left where a person looked the image through.

    Single corrections without that move the interval with the count.
    """
    if row.corrected_count is None or row.count is None:
        return None
    if row.reviewed_by or row.interval_low is None:
        return row.corrected_count, row.corrected_count
    moved = row.corrected_count - row.count
    high = None if row.interval_high is None else max(0, row.interval_high + moved)
    return max(0, row.interval_low + moved), high


def ends_of(line: ImageLine) -> tuple[int, int]:
    """The interval for computing: without an upper limit the side above is taken to be as wide as that below."""
    count = line.count or 0
    low, high = line.interval or (count, count)
    return low, 2 * count - low if high is None else high


def _assay(result: CountResult | None) -> str:
    if result is None or result.assay is None:
        return ""
    return f"{result.assay.name} {result.assay.version}"


def _natural(key: tuple[str, ...] | str) -> list[tuple[int, str]]:
    """m2 before m10."""
    texts = (key,) if isinstance(key, str) else key
    return [
        (int(digits), "") if digits else (-1, letters)
        for text in texts
        for letters, digits in _chunks(text)
    ]


def _chunks(text: str) -> list[tuple[str, str]]:
    return [(letters, digits) for digits, letters in re.findall(r"(\d+)|(\D+)", text)]
