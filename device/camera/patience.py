"""Calls into a driver that may never return."""

import threading
from collections.abc import Callable
from concurrent.futures import Future, InvalidStateError
from typing import TypeVar

T = TypeVar("T")


def call_within(
    seconds: float, call: Callable[[], T], too_late: Callable[[T], None] | None = None
) -> T:
    """Run `call` in a thread of its own and give up waiting after some seconds.

    The thread cannot be ended: where the driver hangs for ever it stays behind, as a daemon.

    Args:
        seconds: how long to wait.
        call: what may hang.
        too_late: disposes of the result when it arrives after all.

    Raises:
        TimeoutError: it did not return in time.
        Exception: whatever `call` raises.
    """
    outcome: Future[T] = Future()

    def run() -> None:
        try:
            result = call()
        except BaseException as error:  # noqa: BLE001 - handed to the caller as it is
            if not outcome.cancelled():
                outcome.set_exception(error)
            return
        try:
            outcome.set_result(result)
        except InvalidStateError:
            if too_late is not None:
                too_late(result)

    threading.Thread(target=run, daemon=True, name="camera-driver").start()
    try:
        return outcome.result(timeout=seconds)
    except TimeoutError:
        # Cancelling fails when the result came this very moment: then it is good.
        if outcome.cancel():
            raise
        return outcome.result()
