"""What an attack is judged by; every attack gives one line of the table in docs/reliability.md."""

import time
from dataclasses import dataclass, field
from pathlib import Path

HANG_S = 20.0
"""An answer that takes longer is a hang."""


@dataclass
class Figures:
    """Counts of what must not happen, beside how often it was tried.

    Attributes:
        tried: attacks made.
        lost: accepted images that are gone or were never counted.
        doubled: images counted twice.
        wrong: files whose bytes are not those that were sent.
        errors: answers 500, 502 and 504; 503 and 507 say what to do and are meant.
        crashes: ends of a process that nobody asked for.
        hangs: answers after more than HANG_S.
        broken: anything else that must not be, as sentences.
        notes: what else is worth a word in the table.
    """

    tried: int = 0
    lost: int = 0
    doubled: int = 0
    wrong: int = 0
    errors: int = 0
    crashes: int = 0
    hangs: int = 0
    longest_s: float = 0.0
    broken: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def took(self, seconds: float) -> None:
        """How long an answer took."""
        self.longest_s = max(self.longest_s, seconds)
        self.hangs += seconds > HANG_S

    def answered(self, status: int) -> None:
        """The status of an answer."""
        self.errors += status in (500, 502, 504)

    def check(self, holds: bool, sentence: str) -> None:
        """Note what is broken, the same sentence once."""
        if not holds and sentence not in self.broken:
            self.broken.append(sentence)

    @property
    def sound(self) -> bool:
        """True when nothing happened that must not."""
        bad = self.lost + self.doubled + self.wrong + self.errors + self.crashes + self.hangs
        return bad == 0 and not self.broken

    def add(self, earlier: "Figures") -> None:
        """Together with an earlier run."""
        for one in ("tried", "lost", "doubled", "wrong", "errors", "crashes", "hangs"):
            setattr(self, one, getattr(self, one) + getattr(earlier, one))
        self.longest_s = max(self.longest_s, earlier.longest_s)
        self.notes = _sum_up(earlier.notes + self.notes)

    def row(self, name: str) -> str:
        """A line of the table."""
        cells = [
            name,
            f"{self.tried:,}",
            self.lost,
            self.doubled,
            self.wrong,
            self.errors,
            self.crashes,
            self.hangs,
        ]
        cells += [f"{self.longest_s:.1f}", "; ".join([*self.broken, *self.notes])]
        return "| " + " | ".join(str(cell) for cell in cells) + " |"


HEADER = (
    "| attack | tried | lost | doubled | wrong bytes | 5xx | crashes | hangs | longest answer (s) | notes |\n"
    "|---|--:|--:|--:|--:|--:|--:|--:|--:|---|"
)


def read_row(page: Path, name: str) -> Figures:
    """What the line of an attack tells; what is broken counts as a note."""
    start = f"| {name} | "
    rows = [row for row in page.read_text(encoding="utf-8").splitlines() if row.startswith(start)]
    if not rows:
        return Figures()
    cells = [cell.strip().replace(",", "") for cell in rows[0].split("|")[2:11]]
    *numbers, longest_s, notes = cells
    return Figures(
        *map(int, numbers), float(longest_s), notes=[one for one in notes.split("; ") if one]
    )


def _sum_up(notes: list[str]) -> list[str]:
    """Notes that begin with a number and go on with the same words become one."""
    found: dict[str, int | None] = {}
    for note in notes:
        number, _, words = note.partition(" ")
        if number.isdecimal():
            found[words] = (found.get(words) or 0) + int(number)
        else:
            found[note] = None
    return [words if number is None else f"{number} {words}" for words, number in found.items()]


class Stopwatch:
    """`with Stopwatch(figures): ...` notes how long the block took."""

    def __init__(self, figures: Figures) -> None:
        self._figures = figures

    def __enter__(self) -> None:
        self._begin_s = time.monotonic()

    def __exit__(self, *_: object) -> None:
        self._figures.took(time.monotonic() - self._begin_s)


def write_row(page: Path, name: str, row: str) -> None:
    """Put an attack's line into the page's table, in place of its last one or at the table's end."""
    lines = page.read_text(encoding="utf-8").splitlines()
    start = lines.index(HEADER.splitlines()[1]) + 1
    end = next((i for i in range(start, len(lines)) if not lines[i].startswith("|")), len(lines))
    rows = [line for line in lines[start:end] if not line.startswith(f"| {name} |")]
    lines[start:end] = sorted([*rows, row])
    page.write_text("\n".join(lines) + "\n", encoding="utf-8")
