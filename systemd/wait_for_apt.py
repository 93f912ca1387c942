"""Waits until no other program works on packages; the installer calls it before it asks apt.

A new Raspberry Pi OS updates itself in the first minutes, and apt refuses a second program at once.

    python3 systemd/wait_for_apt.py [--limit SECONDS] [LOCK ...]

Only what a bare system's own Python has.
"""

import argparse
import fcntl
import sys
import time
from collections.abc import Iterable
from pathlib import Path

LOCKS = (
    "/var/lib/dpkg/lock-frontend",
    "/var/lib/dpkg/lock",
    "/var/lib/apt/lists/lock",
    "/var/cache/apt/archives/lock",
)
LIMIT_S = 1200.0
"""Twenty minutes: the first update of a fresh card on a slow network."""
_AGAIN_S = 1.0
_SAY_AGAIN_S = 60.0


def held(locks: Iterable[str]) -> str | None:
    """The first of the locks that another process holds, None when all are free."""
    for name in locks:
        if not Path(name).exists():
            continue
        with Path(name).open("r+b") as file:
            try:
                fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                return name
    return None


def wait(locks: Iterable[str], limit_s: float) -> bool:
    """Wait with a message for people; False when a lock is still held after the limit."""
    locks = list(locks)
    began = time.monotonic()
    said_at = float("-inf")
    while held(locks):
        now = time.monotonic()
        if now - began >= limit_s:
            return False
        if now - said_at >= _SAY_AGAIN_S:
            said_at = now
            print(
                "fluocount: another program installs or updates packages (usual after the first start); "
                f"waiting for it since {now - began:.0f} s, up to {limit_s:.0f} s",
                flush=True,
            )
        time.sleep(min(_AGAIN_S, limit_s))
    return True


def main() -> None:
    """Exit status 1 when it is still locked."""
    parser = argparse.ArgumentParser(description="Wait until apt is free.")
    parser.add_argument("--limit", type=float, default=LIMIT_S, metavar="SECONDS")
    parser.add_argument("locks", nargs="*", metavar="LOCK")
    chosen = parser.parse_args()
    if not wait(chosen.locks or LOCKS, chosen.limit):
        sys.exit(
            "fluocount: another program still installs packages; wait until it is done "
            "(ps -e | grep -E 'apt|dpkg'), then run the installer again."
        )


if __name__ == "__main__":
    main()
