"""How often in a row the service ended without being stopped: a crash, a kill, the watchdog.

    crashes = CrashCount(data_dir / FILE_NAME)
    if crashes.begin() >= TOO_OFTEN:
        ...                                     start without what may crash
    crashes.forget_later()
    ...
    crashes.forget()                            at a proper stop

Only the present boot counts: a box that is switched off by its plug did not crash.
"""

import logging
import threading
from pathlib import Path

import msgspec

_log = logging.getLogger(__name__)

FILE_NAME = "unfinished-starts.json"
TOO_OFTEN = 3
STEADY_S = 300.0
"""A service that ran for five minutes has recovered; a driver that crashes does so in the first one."""
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


class _Starts(msgspec.Struct, frozen=True):
    """Starts since the last proper stop, and the boot they belong to."""

    boot: str
    number: int


class CrashCount:
    """Counts starts that were not followed by a stop.

    Args:
        path: where the number survives a crash.
        boot_id: file that differs from boot to boot.
    """

    def __init__(self, path: Path, boot_id: Path = _BOOT_ID) -> None:
        self._path, self._boot_id = path, boot_id
        self._timer: threading.Timer | None = None

    def begin(self) -> int:
        """Note a start; how many before it ended without a stop. 0 where that cannot be known."""
        try:
            boot = self._boot_id.read_text().strip()
            before = self._before(boot)
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._path.write_bytes(msgspec.json.encode(_Starts(boot, before + 1)))
        except OSError as error:
            _log.warning("Crashes are not counted: %s", error)
            return 0
        return before

    def forget_later(self, after_s: float = STEADY_S) -> None:
        """Forget the number when the service has run for a while."""
        self._timer = threading.Timer(after_s, self.forget)
        self._timer.daemon = True
        self._timer.start()

    def forget(self) -> None:
        """Begin at zero again."""
        if self._timer is not None:
            self._timer.cancel()
        try:
            self._path.unlink(missing_ok=True)
        except OSError as error:
            _log.warning("The number of crashes stays: %s", error)

    def _before(self, boot: str) -> int:
        try:
            starts = msgspec.json.decode(self._path.read_bytes(), type=_Starts)
        except (FileNotFoundError, msgspec.DecodeError):
            return 0
        return starts.number if starts.boot == boot else 0
