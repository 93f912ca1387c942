"""A stream that is read while it is written: for archives that are sent as they are made."""

import io
from typing import Any


class Pipe(io.RawIOBase):
    """Collects what an archive writes until it is sent; it cannot seek, so sizes stand behind each member."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def writable(self) -> bool:
        """Always."""
        return True

    def write(self, data: Any) -> int:
        """Keep it until it is taken."""
        self._parts.append(bytes(data))
        return len(self._parts[-1])

    def take(self) -> bytes:
        """What was written since the last call."""
        taken, self._parts = b"".join(self._parts), []
        return taken
