"""What a worker tells of itself."""

from typing import Literal

import msgspec


class WorkerState(msgspec.Struct, frozen=True, kw_only=True):
    """Present state of the worker.

    Attributes:
        doing: `elsewhere` if another process has the lock, `paused` if results cannot be written,
            `stopped` before the start and after the stop or a crash of the thread.
        count_id: the count that is running here, or None.
        problem: why it is paused, one sentence, or None.
        silent_s: seconds since the last sign of progress.
    """

    doing: Literal["idle", "counting", "elsewhere", "paused", "stopped"]
    count_id: str | None
    problem: str | None
    silent_s: float
