"""Does the live view grow? `PYTHONPATH=. python tests/live_memory.py [SECONDS]` (600 for the promise of the page).

Prints the memory of the renderer, which draws the page, ten times. Nothing is attached to the browser: a debugger keeps
what the network brought. Exit status 1 when the renderer grows by more than a fifth after the first third.
"""

import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from browser import ARGUMENTS, BROWSERS, serving, settings_for

_KB = 1024
STEPS = 10


def main(seconds: int) -> None:
    """Watch one page for so long."""
    program = next(path for name in BROWSERS if (path := shutil.which(name)))
    with (
        tempfile.TemporaryDirectory() as folder,
        serving(settings_for(Path(folder) / "data", 1600, 1200)) as served,
    ):
        home = Path(folder) / "home"
        words = [program, "--headless=new", *ARGUMENTS, f"--user-data-dir={home}", served.url]
        browser = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            sizes = _watch(seconds, str(home))
        finally:
            browser.terminate()
            browser.wait()
    sys.exit(max(sizes) > 1.2 * max(sizes[: STEPS // 3]))


def _watch(seconds: int, home: str) -> list[int]:
    sizes = []
    for step in range(STEPS):
        time.sleep(seconds / STEPS)
        sizes.append(max(_renderers_kb(home)))
        print(f"{seconds * (step + 1) // STEPS:5} s  {sizes[-1] / _KB:6.0f} MB", flush=True)
    return sizes


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
