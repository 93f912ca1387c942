"""What has to be sent to a central page: the finished counts whose number of change is above what it has.

The feed of changes (device.store.feed) is the outbox: a count that is finished, corrected or edited gets a new number,
in the same transaction. So nothing has to be written for a count to be sent, and nothing is forgotten by a crash.
"""

from pathlib import Path
from typing import NamedTuple

import msgspec

from device.errors import DamagedError
from device.machine import clock
from device.store import rows
from device.store.corrections import Corrections
from device.store.forwarded import DRAWN, ORIGINAL, PICTURES, ForwardedCount
from device.store.protocols import Database
from device.store.records import CountRow
from device.store.results import ResultFolders

_DUE = "status = 'done' AND instrument IS NULL AND change > ?"
"""What came from other instruments is not sent on: two centrals that know each other would never be done."""


class Parcel(NamedTuple):
    """A count as it is now.

    `change` is its number, `about` what is said of it (without the digests of its files), `files` where they lie.
    """

    change: int
    about: ForwardedCount
    files: dict[str, Path]


class OutboxState(msgspec.Struct, frozen=True, kw_only=True):
    """How far the sending is: `waiting` and `refused` results, and when the last one was sent (seconds since 1970)."""

    waiting: int
    refused: int
    sent_s: float | None


class Outbox:
    """The counts that one central has not got yet.

    Args:
        database: with the counts.
        folders: with their files.
        central: its address.
    """

    def __init__(self, database: Database, folders: ResultFolders, central: str) -> None:
        self._database = database
        self._folders = folders
        self._corrections = Corrections(database)
        self._central = central

    def identity(self) -> str:
        """The id of this data folder among all instruments."""
        found = self._database.connection().execute("SELECT instrument FROM identity")
        return str(found.fetchone()[0])

    def next(self, images: bool) -> Parcel | None:
        """The count whose change was the first of those that wait, with a new stamp; None where none waits."""
        first = f"SELECT * FROM counts WHERE {_DUE} ORDER BY change LIMIT 1"
        if self._database.connection().execute(first, (self._upto(),)).fetchone() is None:
            return None  # without a transaction: asked every second, mostly for nothing
        with self._database.transaction() as connection:
            row = connection.execute(first, (self._upto(),)).fetchone()
            return None if row is None else self._parcel(rows.to_row(row), row["change"], images)

    def again(self, count_id: str, images: bool) -> Parcel | None:
        """A count that was refused before, with a new stamp; None where it was deleted."""
        with self._database.transaction() as connection:
            row = connection.execute(
                "SELECT * FROM counts WHERE id = ? AND status = 'done'", (count_id,)
            ).fetchone()
            return None if row is None else self._parcel(rows.to_row(row), row["change"], images)

    def mark_passed(self, parcel: Parcel) -> None:
        """The central has it, or something newer about it."""
        with self._database.transaction() as connection:
            connection.execute(
                "UPDATE forwarding SET upto = CASE WHEN upto < :upto THEN :upto ELSE upto END, "
                "known = CASE WHEN known < :known THEN :known ELSE known END, sent_s = :sent_s "
                "WHERE central = :central",
                {
                    "upto": parcel.change,
                    "known": parcel.about.stamp,
                    "sent_s": clock.now_s(),
                    "central": self._central,
                },
            )
            connection.execute(
                "DELETE FROM unsent WHERE central = ? AND count_id = ?",
                (self._central, parcel.about.id),
            )

    def mark_refused(self, parcel: Parcel, problem: str) -> None:
        """The central does not take this one; the others go on."""
        with self._database.transaction() as connection:
            connection.execute(
                "UPDATE forwarding SET upto = ? WHERE upto < ? AND central = ?",
                (parcel.change, parcel.change, self._central),
            )
            connection.execute(
                "INSERT INTO unsent VALUES (?, ?, ?) ON CONFLICT (central, count_id) DO UPDATE SET "
                "problem = excluded.problem",
                (self._central, parcel.about.id, problem),
            )

    def forget(self, count_id: str) -> None:
        """A refused count that is no longer here."""
        with self._database.transaction() as connection:
            connection.execute(
                "DELETE FROM unsent WHERE central = ? AND count_id = ?", (self._central, count_id)
            )

    def list_unsent(self) -> dict[str, str]:
        """Ids of the counts that were refused, with the reason."""
        found = self._database.connection().execute(
            "SELECT count_id, problem FROM unsent WHERE central = ?", (self._central,)
        )
        return {row["count_id"]: row["problem"] for row in found}

    def begin_anew_if_lost(self, stamp: int) -> bool:
        """Send everything again if the central has less than it said: a backup was restored there.

        Args:
            stamp: the largest that it has.
        """
        with self._database.transaction() as connection:
            return (
                connection.execute(
                    "UPDATE forwarding SET upto = 0, known = ? WHERE central = ? AND known > ?",
                    (stamp, self._central, stamp),
                ).rowcount
                > 0
            )

    def is_waiting(self, count_id: str) -> bool:
        """True if the central has not got this count as it is now."""
        if count_id in self.list_unsent():
            return True
        found = self._database.connection().execute(
            f"SELECT 1 FROM counts WHERE id = ? AND {_DUE}", (count_id, self._upto())
        )
        return found.fetchone() is not None

    def state(self) -> OutboxState:
        """How far the sending is."""
        connection = self._database.connection()
        waiting = connection.execute(
            f"SELECT COUNT(*) FROM counts WHERE {_DUE}", (self._upto(),)
        ).fetchone()[0]
        sent = connection.execute(
            "SELECT sent_s FROM forwarding WHERE central = ?", (self._central,)
        ).fetchone()
        refused = len(self.list_unsent())
        return OutboxState(
            waiting=waiting, refused=refused, sent_s=None if sent is None else sent[0]
        )

    def _upto(self) -> int:
        found = self._database.connection().execute(
            "SELECT upto FROM forwarding WHERE central = ?", (self._central,)
        )
        row = found.fetchone()
        return 0 if row is None else int(row[0])

    def _parcel(self, row: CountRow, change: int, images: bool) -> Parcel:
        known = msgspec.structs.asdict(row)
        fields = {name: known[name] for name in ForwardedCount.__struct_fields__ if name in known}
        about = ForwardedCount(
            **fields,
            stamp=self._stamp(),
            files={},
            corrections=tuple(self._corrections.of(row.id)),
        )
        return Parcel(change, about, self._files(row, images))

    def _stamp(self) -> int:
        """Within the caller's transaction. Milliseconds, so that stamps rise also across a restored backup."""
        connection = self._database.connection()
        now_ms = int(clock.now_s() * 1000)
        return int(
            connection.execute(
                "INSERT INTO forwarding (central, stamp) VALUES (?, ?) ON CONFLICT (central) DO UPDATE SET "
                "stamp = CASE WHEN excluded.stamp > forwarding.stamp THEN excluded.stamp "
                "ELSE forwarding.stamp + 1 END RETURNING stamp",
                (self._central, now_ms),
            ).fetchone()[0]
        )

    def _files(self, row: CountRow, images: bool) -> dict[str, Path]:
        folder = self._folders.folder(row.id) / str(row.revision)
        files = {name: folder / name for name in (*DRAWN, *(PICTURES if images else ()))}
        if images:
            files[ORIGINAL] = self._folders.original(row.id, row.suffix)
        return files


def require_files(parcel: Parcel) -> None:
    """Raise unless every file of the count is there.

    Raises:
        DamagedError: one is not.
    """
    for name, path in parcel.files.items():
        if not path.is_file():
            raise DamagedError(f"{name} of {parcel.about.image} is gone; restore a backup.")
