"""What has changed since somebody asked last: the pages stay current with one short question.

Triggers in the database number every change, so a change of another process is seen as well.
"""

import msgspec

from device.store import rows
from device.store.protocols import Database
from device.store.records import CountRow


class Changes(msgspec.Struct, frozen=True, kw_only=True):
    """Answer of the feed.

    Attributes:
        latest: ask for what came after this next time.
        rows: the counts that were added or changed, as they are now, oldest change first.
        deleted: ids that are gone.
        reset: the question was of another database (a restored backup): look at everything again.
    """

    latest: int
    rows: tuple[CountRow, ...] = ()
    deleted: tuple[str, ...] = ()
    reset: bool = False


class Feed:
    """Reads the numbered changes."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def since(self, known: int | None, limit: int) -> Changes:
        """What changed after `known`; None only asks where the feed stands.

        Args:
            known: `latest` of the answer before.
            limit: at most so many counts and so many deleted ids; the rest comes with the next question.
        """
        connection = self._database.connection()
        latest = int(connection.execute("SELECT latest FROM changes").fetchone()[0])
        if known is None or known > latest:
            return Changes(latest=latest, reset=known is not None)
        changed = connection.execute(
            "SELECT * FROM counts WHERE change > ? AND change <= ? ORDER BY change LIMIT ?",
            (known, latest, limit),
        ).fetchall()
        gone = connection.execute(
            "SELECT id, change FROM deleted WHERE change > ? AND change <= ? ORDER BY change LIMIT ?",
            (known, latest, limit),
        ).fetchall()
        ends = [part[-1]["change"] for part in (changed, gone) if len(part) == limit]
        upto = min(ends, default=latest)
        return Changes(
            latest=upto,
            rows=tuple(rows.to_row(row) for row in changed if row["change"] <= upto),
            deleted=tuple(row["id"] for row in gone if row["change"] <= upto),
        )
