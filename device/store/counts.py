"""Counts as rows: accept, look up, list, edit, delete."""

import hashlib
import secrets
from collections.abc import Callable
from pathlib import Path

from device.config import StorageSettings
from device.counting.records import CountSettings
from device.errors import ConflictError, QueueFullError
from device.machine import clock
from device.store import rows
from device.store.disk import require_space
from device.store.forwarded import image_stayed
from device.store.lists import CountLists
from device.store.outcome import to_json
from device.store.protocols import Connection, Database
from device.store.quota import require_quota
from device.store.records import WAITING, CountRow, Edit, NewCount
from device.store.results import ResultFolders, remove_unaccepted, safe_suffix
from device.store.studies import require_free

_PRIORITY = "CASE origin WHEN 'capture' THEN 0 WHEN 'upload' THEN 0 ELSE 1 END"
NEXT_FIRST = f"{_PRIORITY}, sequence"


class Counts(CountLists):
    """The table of counts and their original images. Safe to use from any thread and process."""

    def __init__(
        self, database: Database, folders: ResultFolders, settings: StorageSettings
    ) -> None:
        super().__init__(database)
        self._folders = folders
        self._settings = settings
        self.on_accept: Callable[[], None] = lambda: None

    def accept(self, new: NewCount) -> CountRow:
        """Accept an image: when this returns, it is saved on the disk and will be counted exactly once.

        Raises:
            StorageError: too little space, or it could not be written.
            QueueFullError: `max_queue` counts are waiting, or too many of this person.
            ConflictError: its once_key stands for another image or other settings, or this person keeps too much.
        """
        sha256 = hashlib.sha256(new.data).hexdigest()
        known = self.find_once(new.once_key)
        if known is not None:
            return require_same(known, sha256, new.settings)
        self.require_room(len(new.data))
        count_id, suffix = new_id(), safe_suffix(new.image)
        self._folders.keep_original(count_id, suffix, new.data)
        try:
            row = self._insert(new, count_id, suffix, sha256)
        except BaseException:
            remove_unaccepted(self._database, self._folders, count_id)
            raise
        if row.id != count_id:  # another process accepted the same once_key first
            self._folders.remove(count_id)
            return require_same(row, sha256, new.settings)
        self.on_accept()
        return row

    def require_room(self, needed_bytes: int = 0) -> None:
        """Raise if an image of that size would not be accepted now.

        Raises:
            StorageError, QueueFullError: as `accept`.
        """
        self._database.require_sound()
        require_space(self._folders.root, self._settings, needed_bytes)
        self._require_place(self._database.connection())

    def get(self, count_id: str) -> CountRow:
        """One count.

        Raises:
            NotFoundError: there is none of that id.
        """
        return rows.get(self._database, count_id)

    def find_once(self, once_key: str | None) -> CountRow | None:
        """The count that was accepted under this key, if any."""
        if once_key is None:
            return None
        return rows.find(self._database.connection(), "once_key", once_key)

    def find_same(
        self,
        image_sha256: str,
        model: str,
        settings: CountSettings,
        model_sha256: str | None = None,
    ) -> CountRow | None:
        """The newest waiting or finished count with the same image bytes, model and requested settings.

        Args:
            image_sha256: hex digest of the file's bytes.
            model: name or path as requested.
            settings: as requested.
            model_sha256: if given, a finished count with other weights does not match.
        """
        found = self._database.connection().execute(
            "SELECT * FROM counts WHERE image_sha256 = ? AND model = ? AND settings = ? "
            "AND status IN ('queued', 'running', 'done') AND instrument IS NULL "
            "AND (? IS NULL OR model_sha256 IS NULL OR model_sha256 = ?) ORDER BY sequence DESC "
            "LIMIT 1",
            (image_sha256, model, to_json(settings), model_sha256, model_sha256),
        )
        row = found.fetchone()
        return None if row is None else rows.to_row(row)

    def edit(self, count_id: str, changes: Edit, version: int | None = None) -> CountRow:
        """Change what is not None.

        Args:
            count_id: which count.
            changes: the new values.
            version: of the row that the person saw; None changes it whatever happened since.

        Raises:
            NotFoundError: there is none of that id.
            InputError: another instrument made it; only its keep mark is set here.
            ConflictError: somebody else edited it since.
        """
        reviewed = changes.reviewed_by is not None
        only_keep = (changes.sample, changes.notes, changes.reviewed_by) == (None, None, None)
        with self._database.transaction() as connection:
            row = self.get(count_id) if only_keep else rows.get_own(self._database, count_id)
            if version is not None and version != row.version:
                raise ConflictError(
                    "Sample name, notes or keep mark were changed somewhere else in the meantime; look at both and "
                    "save again."
                )
            connection.execute(
                "UPDATE counts SET sample = COALESCE(?, sample), notes = COALESCE(?, notes), "
                "keep = COALESCE(?, keep), version = version + 1 WHERE id = ?",
                (changes.sample, changes.notes, changes.keep, count_id),
            )
            if reviewed:
                who, when = changes.reviewed_by or None, clock.now_s()
                connection.execute(
                    "UPDATE counts SET reviewed_by = ?, reviewed_s = ? WHERE id = ?",
                    (who, when if who else None, count_id),
                )
        return self.get(count_id)

    def delete(self, count_id: str) -> None:
        """Delete row, image and products permanently.

        Raises:
            NotFoundError: there is none of that id.
            ConflictError: it is marked to be kept, belongs to a study, or is being counted now.
        """
        with self._database.transaction() as connection:
            row = self.get(count_id)
            if row.keep:
                raise ConflictError(
                    f"The count of {row.image} is marked to be kept; unmark it before you "
                    "delete it."
                )
            if row.status == "running":
                raise ConflictError(
                    f"The count of {row.image} is running; cancel it before you delete it."
                )
            require_free(connection, row)
            rows.hand_on(connection, count_id)
            connection.execute("DELETE FROM counts WHERE id = ?", (count_id,))
        self._folders.remove(count_id)

    def mark_clock_steps(self) -> int:
        """Correct the dates of counts made before the clock was set in this boot; returns how many are new."""
        offset_s = clock.now_s() - clock.boot_s()
        with self._database.transaction() as connection:
            return connection.execute(
                "UPDATE counts SET clock_correction_s = ? - (created_s - boot_s) WHERE boot_id = ? "
                "AND ABS(? - (created_s - boot_s) - COALESCE(clock_correction_s, 0)) > ?",
                (offset_s, clock.boot_id(), offset_s, clock.STEP_S),
            ).rowcount

    def original_path(self, row: CountRow) -> Path:
        """Path of the original image.

        Raises:
            NotFoundError: it stayed on the instrument that made the count.
        """
        path = self._folders.original(row.id, row.suffix)
        if row.instrument is not None and not path.is_file():
            raise image_stayed(row.instrument)
        return path

    def _require_place(self, connection: Connection) -> None:
        waiting = connection.execute(
            f"SELECT COUNT(*) FROM counts WHERE status IN {WAITING}"
        ).fetchone()[0]
        if waiting >= self._settings.max_queue:
            raise QueueFullError(
                f"The queue is full ({waiting} of {self._settings.max_queue} images are waiting); "
                "nothing was accepted, send the image again later."
            )

    def _insert(self, new: NewCount, count_id: str, suffix: str, sha256: str) -> CountRow:
        values = {
            "id": count_id,
            "status": "queued",
            "origin": new.origin,
            "once_key": new.once_key,
            "image": new.image,
            "image_sha256": sha256,
            "image_bytes": len(new.data),
            "suffix": suffix,
            "model": new.model,
            "settings": to_json(new.settings),
            "capture": None if new.capture is None else to_json(new.capture),
            "version_of": new.version_of,
            "needs": None if new.needs is None else to_json(new.needs),
            "sample": new.sample,
            "notes": new.notes,
            "owner": new.owner,
            "created_s": clock.now_s(),
            "boot_id": clock.boot_id(),
            "boot_s": clock.boot_s(),
        }
        names = ", ".join(values)
        marks = ", ".join(f":{name}" for name in values)
        with self._database.transaction() as connection:
            known = rows.find(connection, "once_key", new.once_key) if new.once_key else None
            if known is not None:
                return known
            self._require_place(connection)
            require_quota(connection, self._settings, new.owner, len(new.data))
            connection.execute(f"INSERT INTO counts ({names}) VALUES ({marks})", values)
            return rows.get(self._database, count_id)


def new_id() -> str:
    """Sixteen hexadecimal digits that no spreadsheet takes for a number: 1234567890123456 would lose its last digit,
    12e4567890123456 become infinite.
    """
    while True:
        made = secrets.token_hex(8)
        if not set(made) <= set("0123456789e"):
            return made


def require_same(known: CountRow, image_sha256: str, settings: CountSettings) -> CountRow:
    """The row, if it is of this image and these settings: another count must not be the answer.

    Raises:
        ConflictError: it is of another.
    """
    if image_sha256 != known.image_sha256:
        raise ConflictError(
            f"This key was already used for another image, {known.image!r}; use a new key."
        )
    if settings != known.settings:
        raise ConflictError(
            f"This key was already used for {known.image!r} with other settings; use a new key."
        )
    return known
