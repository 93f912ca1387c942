"""kill -9 at random moments during uploads: nothing accepted is lost, counted twice or changed."""

import random
import sqlite3
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

from appliance import wait_for

from attacks.figures import Figures
from attacks.server import Server
from attacks.uploads import Uploads, check, wait_until_counted
from device.store import DATABASE_NAME

DEFAULT_SIZE = 200
_PER_KILL = 3
"""Images per kill: enough that the moment falls into reading, writing, committing and counting."""


def attack(folder: Path, size: int) -> Figures:
    """`size` kills."""
    figures, chance = Figures(), random.Random(size)
    with Server(folder / "data") as server, ThreadPoolExecutor(4) as pool:
        uploads = Uploads(server.url, figures, patience_s=3600)
        sending = [pool.submit(uploads.send, number) for number in range(size * _PER_KILL)]
        for number in range(size):
            if number % 2:  # three deaths in a row at the same image would rightly fail it
                _wait_for_a_count(folder / "data" / DATABASE_NAME)
            time.sleep(chance.uniform(0.0, 0.3))
            server.kill()
            server.start()
            figures.tried += 1
        for future in sending:
            future.result()
        server.check_alive(figures)
        wait_until_counted(server.url)
    check(folder / "data", uploads.accepted, figures)
    figures.notes.append(f"{len(uploads.accepted):,} images")
    return figures


def _wait_for_a_count(database: Path) -> None:
    """Until one more is done, or nothing is left to count."""
    begin = _states(database)

    def moved() -> bool:
        now = _states(database)
        return now.get("done", 0) > begin.get("done", 0) or not now.keys() & {"queued", "running"}

    wait_for(moved, 60, "a count")


def _states(database: Path) -> dict[str, int]:
    with closing(sqlite3.connect(database, timeout=30)) as connection:
        return dict(connection.execute("SELECT status, COUNT(*) FROM counts GROUP BY status"))
