"""Studies: a question, its groups and subjects, and which images belong to them."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Literal

import msgspec

from device.errors import ConflictError, InputError, NotFoundError
from device.machine import clock
from device.store import rows
from device.store.protocols import Connection, Database, Row
from device.store.records import CountRow

PerSubject = Literal["mean", "sum"]
Tests = Literal["means", "ranks"]
Pairing = Literal["unsaid", "independent", "paired"]
MAX_PLACE_CHARS = 60
StudyName = Annotated[str, msgspec.Meta(min_length=1, max_length=80, pattern=r"^[\w][\w .+()-]*$")]
PlaceText = Annotated[str, msgspec.Meta(max_length=MAX_PLACE_CHARS)]


class Study(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a study asks and how its images are understood.

    Attributes:
        name: letters, digits, spaces and . _ + - ( ).
        question: one sentence, for the report.
        groups: in the order of the figure, the control first; empty: those of the images, sorted.
        assay: name of the stored assay for its images; empty: the default.
        pattern: how file names are split, e.g. `{group}_{subject}_s{slice}`.
        per_subject: a subject's value is the mean or the sum of its slices.
        tests: compare the groups by their means (Welch, mixed model) or by ranks (Mann-Whitney, Kruskal-Wallis);
            chosen before the data are seen.
        pairing: what a subject's name in several groups means: the same subject (paired), or another one in each
            (independent). Unsaid: no test is made where a name is in several groups.
    """

    name: StudyName
    question: Annotated[str, msgspec.Meta(max_length=1000)] = ""
    groups: tuple[PlaceText, ...] = ()
    assay: Annotated[str, msgspec.Meta(max_length=100)] = ""
    pattern: Annotated[str, msgspec.Meta(max_length=200)] = ""
    per_subject: PerSubject = "mean"
    tests: Tests = "means"
    pairing: Pairing = "unsaid"


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """Where an image belongs within its study; empty texts where it is unknown."""

    group: PlaceText = ""
    subject: PlaceText = ""
    slice: PlaceText = ""
    region: PlaceText = ""

    @property
    def is_complete(self) -> bool:
        """True if the image can be used: its group and its subject are known."""
        return bool(self.group and self.subject)


NOWHERE = Place()


class StudyImage(msgspec.Struct, frozen=True, kw_only=True):
    """An image of a study.

    Attributes:
        place: where it belongs.
        row: its newest finished count; where none is finished, the newest one.
        versions: how often it was counted.
    """

    place: Place
    row: CountRow
    versions: int


class Capturing(msgspec.Struct, frozen=True, kw_only=True):
    """The study that captures belong to, and the place of the next one."""

    study: str
    place: Place


class Studies:
    """The tables of studies. Safe to use from any thread and process."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def save(self, study: Study, *, new: bool = False) -> Study:
        """Keep a study; one of the same name is changed, unless it must be new.

        Raises:
            ConflictError: `new`, and there is one of that name.
            InputError: a group has no name or that of another, or images are in one that is no longer named.
        """
        if len({*study.groups, ""}) <= len(study.groups):
            raise InputError("Every group of a study needs a name of its own.")
        with self._database.transaction() as connection:
            known = self._find(connection, study.name)
            if known is not None and new:
                raise ConflictError(
                    f"There is already a study {study.name!r}; choose another name."
                )
            used = {image.place.group for image in self.images(study.name)} if known else set()
            for group in sorted(used - {""}):
                _require_group(study, group)
            connection.execute(
                "INSERT INTO studies VALUES (?, ?, ?) ON CONFLICT (name) DO UPDATE SET content = excluded.content",
                (study.name, msgspec.json.encode(study).decode(), clock.now_s()),
            )
        return study

    def get(self, name: str) -> Study:
        """One study.

        Raises:
            NotFoundError: there is none of that name.
        """
        found = self._find(self._database.connection(), name)
        if found is None:
            known = ", ".join(study.name for study in self.all()) or "none"
            raise NotFoundError(f"There is no study {name!r}; the studies are: {known}.")
        return found

    def all(self) -> list[Study]:
        """All studies by name."""
        found = self._database.connection().execute("SELECT content FROM studies ORDER BY name")
        return [msgspec.json.decode(row["content"], type=Study) for row in found]

    def images(self, name: str) -> list[StudyImage]:
        """The images of a study in the order in which they were accepted."""
        found = self._database.connection().execute(
            "SELECT study_images.* FROM study_images JOIN counts ON counts.id = count_id "
            "WHERE study = ? ORDER BY sequence",
            (name,),
        )
        return [self._image(row) for row in found.fetchall()]

    def places_of(self, row: CountRow) -> dict[str, Place]:
        """Where an image belongs, by the name of the study; empty where it is in none."""
        found = self._database.connection().execute(
            "SELECT * FROM study_images WHERE count_id = ? ORDER BY study",
            (row.version_of or row.id,),
        )
        return {known["study"]: _place(known) for known in found}

    def assign(self, name: str, places: Mapping[str, Place]) -> None:
        """Put counts into a study, all or none; one that is in it gets its new place. They are kept from now on.

        Args:
            name: of the study.
            places: by the id of a count; of an image that was counted again any of its counts.

        Raises:
            NotFoundError: there is no such study or count.
            InputError: a group is none of the study's.
        """
        with self._database.transaction() as connection:
            study = self.get(name)
            for count_id, place in places.items():
                row = rows.get(self._database, count_id)
                if place.group:
                    _require_group(study, place.group)
                connection.execute(
                    "INSERT INTO study_images VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (study, count_id) DO UPDATE SET "
                    "group_name = excluded.group_name, subject = excluded.subject, slice = excluded.slice, "
                    "region = excluded.region",
                    (name, row.version_of or row.id, place.group, place.subject, place.slice, place.region),
                )  # fmt: skip
                connection.execute("UPDATE counts SET keep = 1 WHERE id = ?", (count_id,))

    def take_out(self, name: str, count_ids: Sequence[str]) -> None:
        """Take images out of a study; the counts stay.

        Raises:
            NotFoundError: there is no such study or count.
        """
        with self._database.transaction() as connection:
            self.get(name)
            for count_id in count_ids:
                row = rows.get(self._database, count_id)
                connection.execute(
                    "DELETE FROM study_images WHERE study = ? AND count_id = ?",
                    (name, row.version_of or row.id),
                )

    def remove(self, name: str) -> None:
        """Remove a study; its counts stay.

        Raises:
            NotFoundError: there is none of that name.
            ConflictError: it has a blinded review, whose log is never deleted.
        """
        with self._database.transaction() as connection:
            self.get(name)
            sql = "SELECT COUNT(*) FROM reviews WHERE study = ?"
            if connection.execute(sql, (name,)).fetchone()[0]:
                raise ConflictError(
                    f"The study {name!r} has a blinded review, whose log is never deleted; the study stays."
                )
            for table in ("study_images", "capturing"):
                connection.execute(f"DELETE FROM {table} WHERE study = ?", (name,))
            connection.execute("DELETE FROM studies WHERE name = ?", (name,))

    def capturing(self) -> Capturing | None:
        """The study that captures belong to; None where they belong to none."""
        found = self._database.connection().execute("SELECT content FROM capturing").fetchone()
        return None if found is None else msgspec.json.decode(found["content"], type=Capturing)

    def capture_for(self, study: str | None, place: Place = NOWHERE) -> None:
        """Say where the next capture goes; None: to no study.

        Raises:
            NotFoundError: there is no such study.
            InputError: the place is not complete, or the group is none of the study's.
        """
        with self._database.transaction() as connection:
            connection.execute("DELETE FROM capturing")
            if study is None:
                return
            if not place.is_complete:
                raise InputError("Name the group and the subject that the next captures are of.")
            _require_group(self.get(study), place.group)
            content = msgspec.json.encode(Capturing(study=study, place=place)).decode()
            connection.execute("INSERT INTO capturing VALUES (1, ?, ?)", (study, content))

    def next_slice(self, before: Capturing) -> None:
        """After a capture at that place the slice number counts up, unless somebody changed the place meanwhile."""
        with self._database.transaction() as connection:
            if self.capturing() != before:
                return
            later = msgspec.structs.replace(before.place, slice=_following(before.place.slice))
            content = msgspec.json.encode(msgspec.structs.replace(before, place=later)).decode()
            connection.execute("UPDATE capturing SET content = ?", (content,))

    def _image(self, found: Row) -> StudyImage:
        family = rows.family(self._database.connection(), found["count_id"])
        done = [row for row in family if row.status == "done"]
        return StudyImage(
            place=_place(found),
            row=(done or family)[-1],
            versions=len(family),
        )

    @staticmethod
    def _find(connection: Connection, name: str) -> Study | None:
        found = connection.execute("SELECT content FROM studies WHERE name = ?", (name,)).fetchone()
        return None if found is None else msgspec.json.decode(found["content"], type=Study)


def _place(found: Row) -> Place:
    group, subject = found["group_name"], found["subject"]
    return Place(group=group, subject=subject, slice=found["slice"], region=found["region"])


def require_free(connection: Connection, row: CountRow) -> None:
    """Raise if a study needs this count.

    Raises:
        ConflictError: the sentence names the study.
    """
    found = connection.execute(
        "SELECT study FROM study_images WHERE count_id = ?", (row.version_of or row.id,)
    ).fetchone()
    if found is not None:
        raise ConflictError(
            f"The count of {row.image} belongs to the study {found['study']!r}; take it out of the study before you "
            "delete it."
        )
    reviewed = connection.execute(
        "SELECT study FROM review_items JOIN reviews ON reviews.id = review WHERE count_id = ?",
        (row.id,),
    ).fetchone()
    if reviewed is not None:
        raise ConflictError(
            f"The count of {row.image} is part of a blinded review of the study {reviewed['study']!r}, which stays "
            "whole; it cannot be deleted."
        )


def _require_group(study: Study, group: str) -> None:
    if study.groups and group not in study.groups:
        raise InputError(
            f"{group!r} is no group of the study {study.name!r}, which has {', '.join(study.groups)}; "
            "correct the name, or add the group to the study."
        )


def _following(slice_name: str) -> str:
    """The number after this one, as wide as it: 7 -> 8, 09 -> 10, s3 -> s4."""
    digits = len(slice_name) - len(slice_name.rstrip("0123456789"))
    if not digits:
        return f"{slice_name}1" if not slice_name else f"{slice_name} 2"
    number = slice_name[-digits:]
    return slice_name[:-digits] + str(int(number) + 1).zfill(digits)
