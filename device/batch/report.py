"""The outcome of a batch: the table on the terminal, counts.csv, errors.csv and a summary."""

import shutil
import time
from collections import Counter
from pathlib import Path
from tempfile import TemporaryFile

from device.batch.spool import Item, Spool
from device.counting.confidence.promise import interval_words
from device.counting.records import CountResult
from device.export.tables import (
    ERRORS_COLUMNS,
    Kept,
    counts_header,
    counts_row,
    csv_lines,
    csv_text,
)
from device.imageio.filenames import Kind
from device.machine.clock import local_time
from device.machine.files import display_name, one_line, open_atomic, write_atomic

_MOST_NAMED = 50
"""Names on one line; a folder of ten thousand logs needs no ten thousand words."""
_MOST_SHOWN = 1000
"""Lines of the table on the terminal; more would only scroll away."""
_TABLE_HEADER = ("image", "cells", "90 % interval", "doubtful", "pixels", "seconds", "flags")


class BatchReport:
    """Collects lines instead of results, on the disk: neither the cells of a thousand images nor the lines of a million
    stay in memory.

    Attributes:
        counted, taken_over: images counted now, and by an earlier run.
        failures: (name, sentence) of the others.
    """

    def __init__(self) -> None:
        self.counted = 0
        self.taken_over = 0
        self.failures: list[tuple[str, str]] = []
        self._passed: dict[str, list[str]] = {}
        self._passed_more: Counter[str] = Counter()
        self._cells = 0
        self._models: Counter[str] = Counter()
        self._lines = TemporaryFile()  # noqa: SIM115 - as long as the report
        self._table: list[tuple[str | int, ...]] = []
        self._warnings: dict[str, str] = {}
        self._begin_s = time.monotonic()

    def add(self, item: Item, result: CountResult, earlier_s: float | None = None) -> None:
        """Add an image that was counted now, or by an earlier run that ended at `earlier_s` (since 1970)."""
        name = one_line(display_name(item.name))
        if earlier_s is None:
            self.counted += 1
        else:
            self.taken_over += 1
        self._cells += result.count
        self._models[result.model.name] += 1
        counted_at = local_time(time.time() if earlier_s is None else earlier_s)
        self._lines.write(
            csv_lines([counts_row(result, image=name, kept=Kept(counted_at=counted_at))]).encode()
        )
        self._warnings |= {flag.code: flag.text for flag in result.flags}
        if len(self._table) < _MOST_SHOWN:
            self._table.append(_table_row(name, result))

    def pass_over(self, found: Spool) -> None:
        """Images that cannot be read are failures; what is no image is named at the end."""
        for name, reason in found.others(Kind.FOREIGN):
            self.failures.append((display_name(name), f"{display_name(name)}: {reason}"))
        for name, reason in found.others(Kind.OTHER):
            names = self._passed.setdefault(reason, [])
            if len(names) < _MOST_NAMED:
                names.append(one_line(display_name(name)))
            else:
                self._passed_more[reason] += 1

    def sentences(self) -> list[str]:
        """What could not be counted, a sentence each, on one line."""
        return [one_line(sentence) for _, sentence in self.failures]

    def describe_passed_over(self) -> str:
        """What was no image to count, with the reasons; empty where there was nothing."""
        lines = []
        for reason, names in self._passed.items():
            more = self._passed_more[reason]
            rest = f" and {more} more" if more else ""
            lines.append(f"Passed over ({reason}): {', '.join(names)}{rest}")
        return "\n".join(lines)

    def fail(self, item: Item, reason: str) -> None:
        """Add an image that could not be counted."""
        self.failures.append((display_name(item.name), reason))

    def table(self) -> str:
        """A line per counted image for the terminal, and a sentence per kind of flag; empty without any."""
        from tabulate import tabulate

        if not self._table:
            return ""
        sentences = [f"{code}: {text}" for code, text in self._warnings.items()]
        left = self.counted + self.taken_over - len(self._table)
        more = [f"... and {_number(left, 'more image')}; --out writes them all"] if left else []
        return "\n".join([tabulate(self._table, _TABLE_HEADER), *more, *sentences])

    def summary(self) -> str:
        """One sentence about the whole batch."""
        total = self.counted + self.taken_over + len(self.failures)
        parts = [f"{_number(total, 'image')}: {self.counted} counted"]
        if self.taken_over:
            parts.append(f"{self.taken_over} done earlier")
        if self.failures:
            parts.append(f"{len(self.failures)} not counted")
        if len(self._models) > 1:
            used = " and ".join(f"{name} ({number})" for name, number in self._models.items())
            parts.append(f"with different models: {used}")
        spent_s = time.monotonic() - self._begin_s
        each = f", {spent_s / self.counted:.2f} s per image" if self.counted else ""
        return f"{', '.join(parts)}; {_number(self._cells, 'cell')}; {spent_s:.1f} s{each}."

    def write(self, out_dir: Path) -> None:
        """Write counts.csv of all counted images, and errors.csv if there are others.

        Raises:
            OSError: the folder cannot be written.
        """
        out_dir.mkdir(parents=True, exist_ok=True)
        self._lines.seek(0)
        with open_atomic(out_dir / "counts.csv") as table:
            table.write(csv_lines([counts_header()]).encode())
            shutil.copyfileobj(self._lines, table)
        errors = out_dir / "errors.csv"
        if not self.failures:
            errors.unlink(missing_ok=True)
            return
        now = local_time(time.time())
        rows = [
            [csv_text(name), csv_text(display_name(text)), "", now]
            for name, text in sorted(self.failures, key=_place_in_order)
        ]
        write_atomic(errors, csv_lines([ERRORS_COLUMNS, *rows]).encode())


def _place_in_order(failure: tuple[str, str]) -> list[str]:
    """As the images are counted: the files of a folder before what comes behind it."""
    return failure[0].split("/")


def _table_row(name: str, result: CountResult) -> tuple[str | int, ...]:
    return (
        name,
        result.count,
        interval_words(result.interval),
        len(result.doubtful),
        f"{result.width}x{result.height}",
        f"{result.seconds.total:.2f}",
        " ".join(flag.code for flag in result.flags),
    )


def _number(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"
