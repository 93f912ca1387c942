"""Does the live view grow? `PYTHONPATH=. python tests/live_memory.py [SECONDS]` (600 for the promise of the page).

Prints ten times the memory of the renderer, which draws the page, and what its scripts hold after a collection of
garbage. A debugger is attached to the page for these moments alone: it keeps what the network brought. Exit status 1
when either grows by more than a fifth after the first third.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from browser import ARGUMENTS, BROWSERS, serving, settings_for

_KB = 1024
STEPS = 10


class Debugger:
    """Speaks to a browser through two pipes. Playwright leaves scripts in the page, which would be counted."""

    def __init__(self, commands: IO[bytes], answers: IO[bytes]) -> None:
        self._commands, self._answers, self._last = commands, answers, 0

    def ask(self, method: str, session: str | None = None, **parameters: Any) -> dict[str, Any]:
        """What the browser answers to a command of the DevTools protocol."""
        self._last += 1
        words = {"id": self._last, "method": method, "params": parameters}
        command = {**words, "sessionId": session} if session else words
        self._commands.write(json.dumps(command).encode() + b"\0")
        self._commands.flush()
        while (told := json.loads(self._read())).get("id") != self._last:
            pass  # an event
        return told["result"]

    def _read(self) -> bytes:
        text = bytearray()
        while (byte := self._answers.read(1)) != b"\0":
            if not byte:
                raise EOFError("The browser has ended.")
            text += byte
        return bytes(text)

    def heap_mb(self) -> float:
        """What the scripts of the page hold."""
        targets = self.ask("Target.getTargets")["targetInfos"]
        page = next(one["targetId"] for one in targets if one["type"] == "page")
        session = self.ask("Target.attachToTarget", targetId=page, flatten=True)["sessionId"]
        self.ask("HeapProfiler.collectGarbage", session)
        used = self.ask("Runtime.getHeapUsage", session)["usedSize"]
        self.ask("Target.detachFromTarget", sessionId=session)
        return used / _KB**2


def main(seconds: int) -> None:
    """Watch one page for so long."""
    with (
        tempfile.TemporaryDirectory() as folder,
        serving(settings_for(Path(folder) / "data", 1600, 1200)) as served,
    ):
        home = Path(folder) / "home"
        with _browsing(served.url, home) as debugger:
            renderer, heap = zip(*_watch(seconds, home, debugger), strict=True)
    sys.exit(any(max(sizes) > 1.2 * max(sizes[: STEPS // 3]) for sizes in (renderer, heap)))


@contextmanager
def _browsing(url: str, home: Path) -> Iterator[Debugger]:
    """A browser on that page; it reads commands from descriptor 3 and answers on 4."""
    program = next(path for name in BROWSERS if (path := shutil.which(name)))
    words = ["--headless=new", *ARGUMENTS, f"--user-data-dir={home}"]
    (command_end, commands), (answers, answer_end) = os.pipe(), os.pipe()
    joined = f'exec "$0" "$@" 3<&{command_end} 4>&{answer_end}'
    browser = subprocess.Popen(
        ["bash", "-c", joined, program, *words, "--remote-debugging-pipe", url],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        pass_fds=(command_end, answer_end),
    )
    os.close(command_end)
    os.close(answer_end)
    with os.fdopen(commands, "wb") as writes, os.fdopen(answers, "rb") as reads:
        try:
            yield Debugger(writes, reads)
        finally:
            browser.terminate()
            browser.wait()


def _watch(seconds: int, home: Path, debugger: Debugger) -> Iterator[tuple[float, float]]:
    """Memory of the renderer and of its scripts in MB, STEPS times."""
    for step in range(STEPS):
        time.sleep(seconds / STEPS)
        renderer, heap = max(_renderers_kb(str(home))) / _KB, debugger.heap_mb()
        told = f"renderer {renderer:4.0f} MB, scripts {heap:5.2f} MB"
        print(f"{seconds * (step + 1) // STEPS:5} s  {told}", flush=True)
        yield renderer, heap


def _renderers_kb(home: str) -> list[int]:
    """Resident memory of the renderers of this browser."""
    found = [0]
    for process in Path("/proc").glob("[0-9]*"):
        try:
            words = (process / "cmdline").read_text()
            lines = (process / "status").read_text().splitlines()
        except OSError:
            continue  # it has just ended
        if "--type=renderer" in words and home in words:
            found.append(int(next(one for one in lines if one.startswith("VmRSS")).split()[1]))
    return found


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 600)
