"""Ends the service so that systemd starts it again."""

import os
import signal
import sys
import threading
from typing import NoReturn

from device.errors import ConflictError

RESTART_STATUS = 75
"""Exit status EX_TEMPFAIL: no success, so that `Restart=on-failure` starts the service again."""
_ANSWER_S = 0.5
"""For the answer to reach the browser."""
_asked = threading.Event()


def restart() -> None:
    """Stop in a moment, as by SIGTERM, and ask to be started again.

    Raises:
        ConflictError: nothing would start it again.
    """
    if not _is_service():
        raise ConflictError(
            "fluocount was started by hand, so nothing would start it again; stop it with Ctrl-C and start it "
            "anew."
        )
    _asked.set()
    later = threading.Timer(_ANSWER_S, os.kill, (os.getpid(), signal.SIGTERM))
    later.daemon = True
    later.start()


def begin_anew() -> NoReturn:
    """End this program, which has closed what it had open, and begin it again."""
    if _is_service():
        sys.exit(RESTART_STATUS)
    os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])


def _is_service() -> bool:
    """True in the process that systemd started itself; its children, such as a terminal, inherit only the id."""
    started = os.environ.get("SYSTEMD_EXEC_PID") == str(os.getpid())
    return started and bool(os.environ.get("INVOCATION_ID"))


def restart_was_asked() -> bool:
    """True once `restart` was called."""
    return _asked.is_set()
