"""Something limited that several threads share: memory, or processes."""

import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

from device.errors import BusyError

PATIENCE_S = 5.0
"""How long a request waits before it is told to come again."""
_LOOK_AGAIN_S = 0.25
_BRIEF_S = 3.0
"""So long everybody may wait: what is ordinary is over by then, also on a Pi."""
_FEW = 2
"""So many may wait longer, so that a page with some threads always has one left."""


class Room:
    """First come, first served.

    Args:
        capacity: how much there is; who asks for more gets all of it, alone.
        text: what is said to those who wait in vain.
    """

    def __init__(self, capacity: float, text: str) -> None:
        self._capacity = capacity
        self._taken = 0.0
        self._text = text
        self._changed = threading.Condition()
        self._waiting: deque[object] = deque()

    def resize(self, capacity: float) -> None:
        """Change how much there is."""
        with self._changed:
            self._capacity = capacity
            self._changed.notify_all()

    @property
    def capacity(self) -> float:
        """How much there is, taken or not."""
        return self._capacity

    @contextmanager
    def take(self, needed: float, patience_s: float | None = None) -> Iterator[None]:
        """Wait for room, and give it back at the end.

        Args:
            needed: how much.
            patience_s: how long to wait; None: until there is room.

        Raises:
            BusyError: it took too long, or others wait already for something that takes long.
        """
        needed = self._wait(needed, patience_s)
        try:
            yield
        finally:
            with self._changed:
                self._taken -= needed
                self._changed.notify_all()

    def _wait(self, needed: float, patience_s: float | None) -> float:
        me, begin_s = object(), time.monotonic()
        with self._changed:
            self._waiting.append(me)
            try:
                while True:
                    granted = min(needed, self._capacity)
                    # Numbers that are no whole ones do not add up to exactly zero.
                    if self._waiting[0] is me and self._taken + granted <= self._capacity + 1e-6:
                        self._taken += granted
                        return granted
                    waited_s = time.monotonic() - begin_s
                    if patience_s is not None and self._is_over(me, waited_s, patience_s):
                        raise BusyError(self._text)
                    self._changed.wait(_LOOK_AGAIN_S)
            finally:
                self._waiting.remove(me)
                self._changed.notify_all()

    def _is_over(self, me: object, waited_s: float, patience_s: float) -> bool:
        crowded = self._waiting.index(me) >= _FEW
        return waited_s > patience_s or (crowded and waited_s > _BRIEF_S)


memory_mb = Room(
    float("inf"),
    "Other images take all the memory that is allowed; send this one again in a moment.",
)
"""What the images of this process may take together, in 1e6 bytes: uploads, previews, pictures and counts."""
