"""Blinded reviews: which images, who marked what, and a log that shows tampering."""

import hashlib
import secrets
from collections.abc import Mapping, Sequence

import msgspec

from device.errors import ConflictError, InputError, NotFoundError
from device.machine import clock
from device.store.protocols import Database, Row
from device.store.reviewlog import LogLine, append, find_faults, points_digest

Points = tuple[tuple[float, float], ...]
_SAME_OPENING_S = 3600.0
"""A count that is looked at again within this time is the same opening."""


class Review(msgspec.Struct, frozen=True, kw_only=True):
    """A set of images for named observers.

    Attributes:
        study: whose images they are.
        observers: names of those who mark.
        seed: of the random draw and of the orders.
        of: how many images the draw was made from, by stratum.
        keys: the images' random keys with the counts behind them.
    """

    id: str
    study: str
    observers: tuple[str, ...]
    seed: int
    of: dict[str, int]
    keys: dict[str, str]

    @property
    def start(self) -> str:
        """Hash that the log begins with: what the review is cannot be changed later."""
        return hashlib.sha256(msgspec.json.encode(self, order="deterministic")).hexdigest()

    def require_observer(self, observer: str) -> None:
        """Raise InputError unless this is one of the observers."""
        if observer not in self.observers:
            names = ", ".join(self.observers)
            raise InputError(f"{observer!r} is no observer of this review; those are {names}.")

    def require_image(self, key: str) -> None:
        """Raise NotFoundError unless the review has an image of that key."""
        if key not in self.keys:
            raise NotFoundError("There is no such image in this review.")

    def order(self, observer: str) -> list[str]:
        """The keys in this observer's own random order."""
        return sorted(
            self.keys,
            key=lambda key: hashlib.sha256(f"{self.seed}/{observer}/{key}".encode()).hexdigest(),
        )


class Marked(msgspec.Struct, frozen=True, kw_only=True):
    """What an observer marked on an image; an image that is done does not change any more."""

    points: Points
    done: bool


class Reviews:
    """The tables of reviews. Safe to use from any thread and process."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def create(
        self,
        study: str,
        observers: Sequence[str],
        drawn: Mapping[str, str],
        of: dict[str, int],
        seed: int,
    ) -> Review:
        """Begin a review.

        Args:
            study: that the images belong to.
            observers: their names.
            drawn: count id and stratum of each image.
            of: how many images there were to draw from, by stratum.
            seed: that they were drawn with.

        Raises:
            InputError: no image, no observer, or the same name twice.
        """
        names = tuple(name.strip() for name in observers)
        if not drawn or not names or len({*names, ""}) <= len(names):
            raise InputError("A review needs an image, and observers with different names.")
        keys = {secrets.token_hex(8): count_id for count_id in drawn}
        review = Review(
            id=secrets.token_hex(6), study=study, observers=names, seed=seed, of=of, keys=keys
        )
        content = msgspec.json.encode(review).decode()
        with self._database.transaction() as connection:
            connection.execute(
                "INSERT INTO reviews (id, study, content, head, created_s) VALUES (?, ?, ?, ?, ?)",
                (review.id, study, content, review.start, clock.now_s()),
            )
            items = [(key, review.id, own, drawn[own]) for key, own in keys.items()]
            connection.executemany("INSERT INTO review_items VALUES (?, ?, ?, ?)", items)
            append(connection, review.id, "", "created", observers=names, images=len(keys))
        return review

    def get(self, review_id: str) -> Review:
        """One review.

        Raises:
            NotFoundError: there is none of that id.
        """
        return self._row(review_id)[0]

    def of_study(self, study: str) -> list[Review]:
        """The reviews of a study, oldest first."""
        found = self._database.connection().execute(
            "SELECT content FROM reviews WHERE study = ? ORDER BY created_s", (study,)
        )
        return [msgspec.json.decode(row["content"], type=Review) for row in found]

    def is_finished(self, review_id: str) -> bool:
        """True once it was unblinded.

        Raises:
            NotFoundError: there is none of that id.
        """
        return self._row(review_id)[1]

    def require_finished(self, review_id: str) -> Review:
        """The review, if it may be unblinded.

        Raises:
            ConflictError: it is not finished.
            NotFoundError: there is none of that id.
        """
        review, finished = self._row(review_id)
        if not finished:
            raise ConflictError(
                "This review is blinded until every observer has finished every image and somebody ends it."
            )
        return review

    def strata(self, review_id: str) -> dict[str, str]:
        """The stratum of each key."""
        found = self._database.connection().execute(
            "SELECT key, stratum FROM review_items WHERE review = ?", (review_id,)
        )
        return {row["key"]: row["stratum"] for row in found}

    def marks(self, review_id: str) -> dict[tuple[str, str], Marked]:
        """What was marked, by (key, observer)."""
        found = self._database.connection().execute(
            "SELECT review_marks.* FROM review_marks JOIN review_items USING (key) WHERE review = ?",
            (review_id,),
        )
        return {(row["key"], row["observer"]): _read_marked(row) for row in found}

    def save_marks(
        self, review_id: str, key: str, observer: str, points: Points, *, done: bool, **detail: str
    ) -> None:
        """Keep what an observer marked; `detail` goes into the log with it.

        Raises:
            ConflictError: the image is done, or the review is finished.
            InputError, NotFoundError: no such observer, image or review.
        """
        with self._database.transaction() as connection:
            review, finished = self._row(review_id)
            review.require_observer(observer)
            review.require_image(key)
            known = self.marks(review_id).get((key, observer))
            if finished or (known is not None and known.done):
                raise ConflictError("This image is done; what was marked on it does not change.")
            encoded = msgspec.json.encode(points).decode()
            connection.execute(
                "INSERT INTO review_marks VALUES (?, ?, ?, ?) ON CONFLICT (key, observer) DO UPDATE SET "
                "points = excluded.points, done = excluded.done",
                (key, observer, encoded, done),
            )
            what = "done" if done else "marked"
            digest = points_digest(points)
            append(connection, review_id, observer, what, image=key, marks=digest, **detail)

    def note(self, review_id: str, who: str, what: str, **detail: str) -> None:
        """Add a line to the log: started, paused, agreed.

        Raises:
            NotFoundError: there is no such review.
        """
        with self._database.transaction() as connection:
            self._row(review_id)
            append(connection, review_id, who, what, **detail)

    def note_opening(self, who: str, count_id: str | None = None) -> None:
        """Log that a count, or a list of counts, was opened outside a review that is still blinded.

        Every count of the same file is its opening, the earlier and the later ones, also where it was sent again.
        """
        found = self._database.connection().execute(
            "SELECT DISTINCT review, CASE WHEN :id IS NULL THEN '' ELSE key END AS image FROM review_items "
            "JOIN reviews ON reviews.id = review JOIN counts ON counts.id = count_id WHERE finished = 0 AND "
            "(:id IS NULL OR image_sha256 = (SELECT image_sha256 FROM counts WHERE id = :id))",
            {"id": count_id},
        )
        for row in found.fetchall():
            recent = any(
                line.what == "opened" and line.who == who and line.detail["image"] == row["image"]
                for line in self.log(row["review"])
                if line.when_s > clock.now_s() - _SAME_OPENING_S
            )
            if not recent:
                self.note(row["review"], who, "opened", image=row["image"])

    def finish(self, review_id: str, who: str) -> None:
        """Unblind it.

        Raises:
            ConflictError: an observer has not finished.
            NotFoundError: there is no such review.
        """
        with self._database.transaction() as connection:
            review, finished = self._row(review_id)
            if finished:
                return
            marks = self.marks(review_id)
            for observer in review.observers:
                left = sum(
                    not (known := marks.get((key, observer))) or not known.done
                    for key in review.keys
                )
                if left:
                    raise ConflictError(
                        f"{observer} has {left} of {len(review.keys)} images left; the review cannot be unblinded "
                        "before that."
                    )
            append(connection, review_id, who, "finished")
            connection.execute("UPDATE reviews SET finished = 1 WHERE id = ?", (review_id,))

    def log(self, review_id: str) -> list[LogLine]:
        """The log, oldest line first."""
        return [msgspec.json.decode(row[1], type=LogLine) for row in self.raw_log(review_id)]

    def raw_log(self, review_id: str) -> list[tuple[int, str, str]]:
        """(number, content, hash) of every line, as they are chained."""
        found = self._database.connection().execute(
            "SELECT number, content, hash FROM review_log WHERE review = ? ORDER BY number",
            (review_id,),
        )
        return [(row["number"], row["content"], row["hash"]) for row in found]

    def end_of_log(self, review_id: str) -> tuple[str, int, float]:
        """Last hash, number of lines, and when the review began (seconds since 1970)."""
        self._row(review_id)
        sql = "SELECT head, lines, created_s FROM reviews WHERE id = ?"
        found = self._database.connection().execute(sql, (review_id,)).fetchone()
        return found["head"], found["lines"], found["created_s"]

    def faults(self, review_id: str) -> list[str]:
        """Sentences about changes in log or marks; empty where there are none.

        Raises:
            NotFoundError: there is no such review.
        """
        review, finished = self._row(review_id)
        head, number, _ = self.end_of_log(review_id)
        found = find_faults(review.start, self.raw_log(review_id), head, number)
        if found:
            return found
        log = self.log(review_id)
        if finished != any(line.what == "finished" for line in log):
            found.append("The review was unblinded without a line in its log.")
        said = {
            (one.detail["image"], one.who): one for one in log if one.what in ("marked", "done")
        }
        for place, marked in self.marks(review_id).items():
            line = said.pop(place, None)
            if line is None or line.detail["marks"] != points_digest(marked.points):
                found.append(
                    f"The marks of {place[1]} on image {place[0]} are not those in the log."
                )
        return found + [f"The marks of {who} on image {key} are gone." for key, who in said]

    def _row(self, review_id: str) -> tuple[Review, bool]:
        row = self._database.connection().execute(
            "SELECT content, finished FROM reviews WHERE id = ?", (review_id,)
        ).fetchone()  # fmt: skip
        if row is None:
            raise NotFoundError("There is no such review; check the address.")
        return msgspec.json.decode(row["content"], type=Review), bool(row["finished"])


def _read_marked(row: Row) -> Marked:
    points = msgspec.json.decode(row["points"], type=Points)
    return Marked(points=points, done=bool(row["done"]))
