"""The steps of a proof: each is a generator of lines whose text is kept, so that a proof goes on where it ended."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

Lines = Iterator[str]


class ProofError(Exception):
    """The proof failed; says where."""


class Steps:
    """The kept text of finished steps: FOLDER/NAME.txt."""

    def __init__(self, folder: Path, again: tuple[str, ...] = (), how: str = ", emulated") -> None:
        """`again` names the steps to repeat although they are finished; `how` follows each time."""
        self.folder = folder
        self.how = how
        self.again = again
        folder.mkdir(parents=True, exist_ok=True)

    def finished(self, name: str) -> bool:
        """Whether the step need not be done."""
        return name not in self.again and (self.folder / f"{name}.txt").exists()

    def forget(self) -> None:
        """Begin anew."""
        for kept in self.folder.glob("*.txt"):
            kept.unlink()

    def run(self, name: str, title: str, step: Callable[[], Lines]) -> None:
        """Print what the finished step said, or do it and keep what it says.

        Raises:
            ProofError: the step failed; nothing of it is kept.
        """
        kept = self.folder / f"{name}.txt"
        if self.finished(name):
            print(kept.read_text(), flush=True)
            return
        kept.unlink(missing_ok=True)
        lines = [f"## {title}", ""]
        print("\n".join(lines), flush=True)
        begin_s = time.monotonic()
        for line in step():
            print(line, flush=True)
            lines.append(line)
        lines.append(f"({time.monotonic() - begin_s:.0f} s{self.how})\n")
        print(lines[-1], flush=True)
        kept.write_text("\n".join(lines))
