"""The log, on standard error, which is the journal under systemd."""

import logging
import os


def set_up_logging() -> None:
    """Warnings and above of everything, information of fluocount; the journal adds its own time."""
    timed = "" if "JOURNAL_STREAM" in os.environ else "%(asctime)s "
    logging.basicConfig(format=f"{timed}%(levelname)s %(name)s: %(message)s", level=logging.WARNING)
    logging.getLogger("device").setLevel(logging.INFO)
    # It logs every request that waits a moment; with twenty viewers the log would contain nothing else.
    logging.getLogger("waitress.queue").setLevel(logging.ERROR)
