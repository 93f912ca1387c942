"""How fast the history is with thousands of counts, in a real browser: `python tests/history_load.py [NUMBER]`.

The counts are copies of one with some hundred cells. Exit status 1 when a step takes longer than it may.
"""

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from browser import cells_png, chromium, serving, settings_for
from reviewed import multiply

TARGETS_S = {
    "first rows are there": 1.5,
    "the list answers a click": 1.5,
    "another order": 1.5,
    "a part of a name": 1.5,
    "all selected": 5.0,
    "table of all": 5.0,
}


def main(number: int) -> None:
    """Print a line per step."""
    with (
        tempfile.TemporaryDirectory() as folder,
        serving(settings_for(Path(folder))) as served,
        chromium() as browser,
    ):
        row = served.hand_in(cells_png(1), "many.png", sample="many")
        multiply(served, row, number - 1)
        page = browser.new_page(viewport={"width": 1366, "height": 768})
        late = False
        for name, action in _steps(page, served.url, number).items():
            began = time.monotonic()
            action()
            spent_s = time.monotonic() - began
            print(f"{name:26} {spent_s:6.2f} s, at most {TARGETS_S[name]} s")
            late |= spent_s > TARGETS_S[name]
    sys.exit(late)


def _steps(page, url: str, number: int) -> dict[str, Callable[[], object]]:
    rows = page.locator(".history-row")

    def open_it() -> None:
        page.goto(f"{url}/history")
        rows.nth(99).wait_for(state="attached")

    def choose_one() -> None:
        rows.first.get_by_role("checkbox").click()
        page.locator("#selection-summary", has_text="1 of").wait_for()

    def sort() -> None:
        page.get_by_label("Order").select_option("count_down")
        page.locator("#rows[data-order=count_down]:not([aria-busy])").wait_for(state="attached")

    def search() -> None:
        page.get_by_label("Sample or file").fill("man")
        page.wait_for_url("**search=man**")
        page.locator("#rows:not([aria-busy]) .history-row").nth(99).wait_for(state="attached")

    def choose_all() -> None:
        page.locator("#select-all").click()
        page.locator("#selection-summary", has_text=f"{number:,} of {number:,}").wait_for()

    def save() -> None:
        with page.expect_download() as caught:
            page.locator("#export-csv").click()
        assert len(Path(caught.value.path()).read_bytes().splitlines()) == number + 1

    return dict(zip(TARGETS_S, (open_it, choose_one, sort, search, choose_all, save), strict=True))


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 2000)
