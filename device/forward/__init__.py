"""Sends every finished count to a central fluocount, however long the network or the other side is away.

The outbox (device.store.outbox) says what is due; nothing here needs to be remembered across a restart.
"""

import logging
import random
import socket
import threading
import time
from collections.abc import Callable

import msgspec

from device import __version__
from device.config import ForwardSettings
from device.errors import DamagedError, FluocountError, StorageError
from device.store import Store
from device.store.forwarded import Instrument
from device.store.outbox import Outbox, Parcel, require_files

_log = logging.getLogger(__name__)

_POLL_S = 2.0
_HELLO_S = 60.0
"""How often the central hears that this instrument is there."""
_FIRST_PAUSE_S = 1.0
_LONGEST_PAUSE_S = 300.0
"""After each failure the pause doubles: a lab's switch is back in seconds, a server room perhaps on Monday."""
_AGAIN_S = 3600.0
"""What was refused is tried again this often: perhaps somebody raised a limit there."""
_TELL_AFTER_S = 600.0
"""A failure that lasts longer is shown as a problem."""


class ForwardState(msgspec.Struct, frozen=True, kw_only=True):
    """How far the sending is.

    Attributes:
        central: where the results go.
        waiting: results that are not there yet.
        refused: results that the central does not take.
        sent_s: when the last one was sent, seconds since 1970, None if none was.
        trouble: why nothing can be sent now, one sentence, None while it works.
        lasting: True if the trouble has lasted for a while or results were refused.
    """

    central: str
    waiting: int
    refused: int
    sent_s: float | None
    trouble: str | None
    lasting: bool


class Forwarder:
    """One thread that sends.

    Args:
        store: with the counts.
        settings: where to.
        problems: what the Status page says, for the central.
    """

    def __init__(
        self,
        store: Store,
        settings: ForwardSettings,
        problems: Callable[[], tuple[str, ...]] = tuple,
    ) -> None:
        assert settings.url is not None
        self._store = store
        self._settings = settings
        self._problems = problems
        self._central = settings.url.rstrip("/")
        self.outbox: Outbox = store.outbox(self._central)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="forward", daemon=True)
        self._trouble: str | None = None
        self._failures = 0
        self._failed_s = 0.0
        self._greeted_s = self._asked_again_s = float("-inf")

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """Stop; a result that is being sent now is sent again at the next start."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(5.0)

    @property
    def state(self) -> ForwardState:
        """How far the sending is."""
        known = self.outbox.state()
        long = self._failures > 0 and time.monotonic() - self._failed_s > _TELL_AFTER_S
        return ForwardState(
            central=self._central,
            waiting=known.waiting,
            refused=known.refused,
            sent_s=known.sent_s,
            trouble=self._trouble,
            lasting=long or known.refused > 0,
        )

    def problem(self) -> str | None:
        """What a person should know, None while all is well or the trouble is young."""
        state = self.state
        if not state.lasting:
            return None
        if state.trouble is None:
            reason = next(iter(self.outbox.list_unsent().values()), "")
            return f"{state.refused} result(s) are not taken by {self._central}: {reason}"
        return f"{state.waiting} result(s) wait to be sent to {self._central}: {state.trouble}"

    def _run(self) -> None:
        try:
            while not self._stop.is_set():
                self._stop.wait(self._step())
        finally:
            self._store.close()

    def _step(self) -> float:
        """Send what is due; returns how long to wait, in seconds."""
        from device.forward.transport import UnreachableError

        try:
            self._greet()
            self._try_refused()
            while not self._stop.is_set() and self._send_next():
                pass
        except (UnreachableError, FluocountError, OSError) as error:
            return self._fail(str(error))
        except Exception as error:  # noqa: BLE001 - a bug must not end the sending without a word
            _log.exception("forwarding failed")
            return self._fail(f"{type(error).__name__}: {error}; the log has the details.")
        if self._failures:
            _log.info("results are sent to %s again", self._central)
        self._failures, self._trouble = 0, None
        return _POLL_S

    def _fail(self, trouble: str) -> float:
        if self._failures == 0:
            _log.warning("results cannot be sent to %s: %s", self._central, trouble)
            self._failed_s = time.monotonic()
        pause_s = min(_FIRST_PAUSE_S * 2**self._failures, _LONGEST_PAUSE_S)
        self._failures, self._trouble = min(self._failures + 1, 30), trouble
        self._greeted_s = float("-inf")  # the other side may be another one when it comes back
        # Six instruments do not come back as one.
        return float(pause_s * random.uniform(0.5, 1.0))

    def _greet(self) -> None:
        from device.forward.transport import say_hello

        if time.monotonic() - self._greeted_s < _HELLO_S:
            return
        hello = say_hello(self._settings, self._central, self._instrument())
        if self.outbox.begin_anew_if_lost(hello.stamp):
            _log.warning("%s has lost results; all are sent again", self._central)
        self._greeted_s = time.monotonic()

    def _instrument(self) -> Instrument:
        return Instrument(
            id=self.outbox.identity(),
            name=(self._settings.name or socket.gethostname())[:60],
            version=__version__,
            waiting=self.outbox.state().waiting,
            problems=tuple(text[:1000] for text in self._problems()[:20]),
        )

    def _try_refused(self) -> None:
        if time.monotonic() - self._asked_again_s < _AGAIN_S:
            return
        for count_id in self.outbox.list_unsent():
            parcel = self.outbox.again(count_id, self._settings.images)
            if parcel is None:
                self.outbox.forget(count_id)
            else:
                self._send(parcel)
        self._asked_again_s = time.monotonic()

    def _send_next(self) -> bool:
        """False where nothing waits."""
        parcel = self.outbox.next(self._settings.images)
        if parcel is not None:
            self._send(parcel)
            if time.monotonic() - self._greeted_s > _HELLO_S:
                self._greet()
        return parcel is not None

    def _send(self, parcel: Parcel) -> None:
        from device.forward.transport import RefusedError, deliver

        try:
            require_files(parcel)
            deliver(self._settings, self._central, self._instrument(), parcel)
        except (DamagedError, FileNotFoundError) as error:
            if self._has_changed_since(parcel):
                return  # labelled again or deleted at this moment: it has another number now, or none
            self.outbox.mark_refused(parcel, str(error))
        except RefusedError as error:
            _log.warning("%s is not taken by %s: %s", parcel.about.image, self._central, error)
            self.outbox.mark_refused(parcel, str(error))
        else:
            self.outbox.mark_passed(parcel)

    def _has_changed_since(self, parcel: Parcel) -> bool:
        try:
            now = self.outbox.again(parcel.about.id, self._settings.images)
        except StorageError:
            return True
        return now is None or now.change != parcel.change
