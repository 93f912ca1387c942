"""The log, on standard error, which is the journal under systemd."""

import json
import logging
import os
from datetime import UTC, datetime


class JsonFormatter(logging.Formatter):
    """One JSON object a line, for programs that collect the logs of many computers."""

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False)


def set_up_logging(as_json: bool = False) -> None:
    """Warnings and above of everything, information of fluocount; the journal adds its own time.

    Args:
        as_json: write JSON lines.
    """
    timed = "" if "JOURNAL_STREAM" in os.environ else "%(asctime)s "
    logging.basicConfig(format=f"{timed}%(levelname)s %(name)s: %(message)s", level=logging.WARNING)
    if as_json:
        for handler in logging.getLogger().handlers:
            handler.setFormatter(JsonFormatter())
    logging.getLogger("device").setLevel(logging.INFO)
    # It logs every request that waits a moment; with twenty viewers the log would contain nothing else.
    logging.getLogger("waitress.queue").setLevel(logging.ERROR)
