"""Which of several servers counts what, where they share a database.

Each server says every few seconds that it lives; what a silent one had begun waits again for the others. Such a count
gets a higher revision, so that the silent server, should it only have been slow, writes to no folder of the others and
cannot finish it any more: every image has one result.
"""

import logging
import secrets
import socket
import threading
import time

from device.errors import StorageError
from device.machine import clock
from device.store.protocols import Connection, Database

_BEAT_S = 5.0
LEASE_S = 60.0
"""A server that was silent for so long is dead: twice as long as it may wait for another writer."""
_FORGOTTEN_S = 86_400.0
_NOW = "EXTRACT(EPOCH FROM clock_timestamp())::double precision"
"""By the clock of the database, since those of the servers differ."""
_LOST = (
    "status = 'running' AND NOT EXISTS (SELECT 1 FROM claims JOIN servers ON servers.id = claims.server "
    f"WHERE claims.count_id = counts.id AND servers.heard_s > {_NOW} - ?)"
)
_SWITCHED_OFF = (
    f"attempts > 0 AND {_LOST} AND NOT EXISTS (SELECT 1 FROM servers "
    f"WHERE starts_with(servers.id, counts.attempt_boot_id) AND servers.heard_s > {_NOW} - ?)"
)
"""Lost with its machine, as far as anybody can tell: after a mere crash of the program systemd starts it again there,
and it says so before the lease ends."""
_log = logging.getLogger(__name__)


class Leases:
    """The place of this process among the servers; used like the lock of a data folder.

    Args:
        database: that they share.
        poisonous: (ends of a server after which an image fails, what is said then).
    """

    def __init__(self, database: Database, poisonous: tuple[int, str]) -> None:
        self._database = database
        self._most, self._sentence = poisonous
        # With the run of the machine: who finds this server silent can tell whether the machine still runs.
        self._id = f"{clock.boot_id()}-{secrets.token_hex(8)}"
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._steady_s = float("inf")

    def try_acquire(self) -> bool:
        """Be one of the servers from now on.

        Raises:
            StorageError: the database does not answer.
        """
        self._beat()
        self._stop.clear()
        self._thread = threading.Thread(target=self._run, name="leases", daemon=True)
        self._thread.start()
        return True

    def release(self) -> None:
        """Be none any more; what this server had begun waits again at once."""
        if self._thread is None:
            return
        self._stop.set()
        self._thread.join()
        try:
            with self._database.transaction() as connection:
                connection.execute("DELETE FROM servers WHERE id = ?", (self._id,))
        except StorageError as error:
            _log.warning("the other servers wait until this one is silent: %s", error)

    def note(self, connection: Connection, count_id: str) -> None:
        """This server counts it, within the transaction that claims it."""
        connection.execute(
            "INSERT INTO claims VALUES (?, ?) ON CONFLICT (count_id) DO UPDATE SET server = excluded.server",
            (count_id, self._id),
        )

    def requeue_lost(self) -> int:
        """Let what silent servers had begun wait again, or fail; returns how many wait.

        An attempt that a power cut or restart of the machine ended does not count.
        """
        lost = self._database.connection().execute(
            f"SELECT 1 FROM counts WHERE {_LOST} LIMIT 1", (LEASE_S,)
        )
        if lost.fetchone() is None:
            return 0
        with self._database.transaction() as connection:
            connection.execute(
                f"UPDATE counts SET attempts = attempts - 1 WHERE {_SWITCHED_OFF}",
                (LEASE_S, LEASE_S),
            )
            connection.execute(
                "UPDATE counts SET status = 'failed', finished_s = ?, error = ?, revision = revision + 1 "
                f"WHERE attempts >= ? AND {_LOST}",
                (clock.now_s(), self._sentence, self._most, LEASE_S),
            )
            return int(
                connection.execute(
                    "UPDATE counts SET status = 'queued', progress = 0, remaining_s = NULL, "
                    f"revision = revision + 1 WHERE {_LOST}",
                    (LEASE_S,),
                ).rowcount
            )

    def _run(self) -> None:
        try:
            while not self._stop.wait(_BEAT_S):
                try:
                    self._beat()
                    self._look()
                except StorageError as error:
                    _log.warning("%s", error)
                except Exception:  # noqa: BLE001 - tables may be missing while a dump is restored
                    _log.exception("this server could not say that it lives")
        finally:
            self._database.close()

    def _beat(self) -> None:
        with self._database.transaction() as connection:
            before = connection.execute(
                f"SELECT {_NOW} - heard_s FROM servers WHERE id = ?", (self._id,)
            ).fetchone()
            if before is None or before[0] > LEASE_S:
                self._steady_s = time.monotonic()
            connection.execute(
                f"INSERT INTO servers VALUES (?, ?, {_NOW}) ON CONFLICT (id) DO UPDATE SET heard_s = excluded.heard_s",
                (self._id, socket.gethostname()),
            )
            connection.execute(f"DELETE FROM servers WHERE heard_s < {_NOW} - ?", (_FORGOTTEN_S,))

    def _look(self) -> None:
        """Not right after the start, or after the database was away: all may be silent, and the living need time."""
        if time.monotonic() - self._steady_s < LEASE_S:
            return
        if waiting := self.requeue_lost():
            _log.warning("%d count(s) of a server that is silent start again", waiting)
